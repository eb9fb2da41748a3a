//! Opens the built-in wallet as it is configured.

use std::path::Path;
use std::sync::Arc;

use portal_breez::{BreezConfig, BreezLibrary, BreezNetwork, BreezWallet, FeePolicy, OpenError};
use portal_core::env::Env;
use portal_core::primitives::Millisats;
use portal_core::wallet::LightningWallet;

use crate::config::BreezSettings;
use crate::start::StartError;

/// The folder in the data directory, unless another one is named.
const FOLDER: &str = "breez";

/// Whether the library is there and is the right one. Runs nothing of it.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn check(settings: &BreezSettings) -> Result<(), StartError> {
    let path = BreezLibrary::locate(settings.library.as_deref())?;
    Ok(BreezLibrary::check(&path)?)
}

/// Finds and loads the library, and opens the wallet. Needs no network.
///
/// # Errors
/// When there is no library that can be used, or the wallet cannot be opened.
pub async fn open(
    settings: &BreezSettings,
    data_dir: &Path,
    env: Env,
) -> Result<Arc<dyn LightningWallet>, StartError> {
    let named = settings.library.clone();
    let loading = tokio::task::spawn_blocking(move || BreezLibrary::open(named.as_deref()));
    let library = loading.await.map_err(std::io::Error::other)??;
    let network = if settings.mainnet { BreezNetwork::Mainnet } else { BreezNetwork::Regtest };
    let folder = settings.storage_dir.clone().unwrap_or_else(|| data_dir.join(FOLDER));
    let mut config = BreezConfig::new(settings.mnemonic.clone(), folder, network);
    config.api_key = settings.api_key.clone();
    config.fees = FeePolicy {
        floor: Millisats::from_sats(settings.fee_limit_sats).unwrap_or(Millisats::new(u64::MAX)),
        ppm: settings.fee_limit_ppm,
    };
    if let Some(spark) = &settings.spark {
        let read = serde_json::from_str(spark).map_err(|_| OpenError::Refused {
            reason: "`wallet.breez.spark` is not understood".to_owned(),
        })?;
        config.spark = Some(read);
    }
    let wallet = BreezWallet::open(&library, config, env).await?;
    tracing::info!(identity = wallet.identity(), "the built-in wallet is open");
    Ok(wallet)
}
