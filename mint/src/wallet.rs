//! The Lightning wallet behind `sat`, as it is configured: one that is linked over Nostr (NIP-47),
//! or the built-in one, whose library is loaded at run time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::relay::RelayPool;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::wallet::LightningWallet;
use portal_core::wallet::nwc::{ConnectError, NwcOptions, NwcUri, NwcUriError, NwcWallet};

use crate::config::{BreezSettings, LightningConfig, WalletKind};

/// Why there is no wallet.
#[derive(Debug, thiserror::Error)]
pub enum WalletOpenError {
    /// Nobody says which.
    #[error(
        "units are paid over Lightning, and there is no wallet: set {variable}, or name a file in \
         `{key}`"
    )]
    Missing {
        /// The variable.
        variable: &'static str,
        /// The key of the configuration.
        key: &'static str,
    },
    /// A file with a secret.
    #[error("{path} cannot be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Not a link to a wallet.
    #[error("the wallet link cannot be used")]
    Link(#[from] NwcUriError),
    /// The link cannot be used.
    #[error("the wallet link cannot be used")]
    Connect(#[from] ConnectError),
    /// Not in this program.
    #[error("this program was built without the built-in wallet (cargo feature `breez`)")]
    NoBreez,
    /// The library of the built-in wallet.
    #[cfg(feature = "breez")]
    #[error(transparent)]
    Library(#[from] portal_breez::LibraryError),
    /// The built-in wallet.
    #[cfg(feature = "breez")]
    #[error(transparent)]
    Breez(#[from] portal_breez::OpenError),
    /// The system.
    #[error("the library cannot be loaded")]
    Load(#[source] std::io::Error),
}

/// Opens the wallet that the configuration names. Needs no network.
///
/// # Errors
/// When nothing is named, or it cannot be used.
///
/// # Cancel safety
/// Safe to drop.
pub async fn open_wallet(
    config: &LightningConfig,
    folder: &Path,
    env: Env,
) -> Result<Arc<dyn LightningWallet>, WalletOpenError> {
    match &config.wallet {
        WalletKind::Nwc { url, file } => linked(&link(url.as_ref(), file.as_deref())?, env),
        WalletKind::Breez(settings) => breez(settings, folder, env).await,
    }
}

/// Whether the wallet that the configuration names could be opened, as far as can be told without
/// opening it.
///
/// # Errors
/// What is missing or wrong.
pub fn check_wallet(config: &LightningConfig) -> Result<(), WalletOpenError> {
    match &config.wallet {
        WalletKind::Nwc { url, file } => {
            NwcUri::parse(link(url.as_ref(), file.as_deref())?.expose().trim())?;
            Ok(())
        }
        #[cfg(feature = "breez")]
        WalletKind::Breez(settings) => {
            words(settings)?;
            let path = portal_breez::BreezLibrary::locate(settings.library.as_deref())?;
            Ok(portal_breez::BreezLibrary::check(&path)?)
        }
        #[cfg(not(feature = "breez"))]
        WalletKind::Breez(_) => Err(WalletOpenError::NoBreez),
    }
}

fn link(
    said: Option<&Secret<String>>,
    file: Option<&Path>,
) -> Result<Secret<String>, WalletOpenError> {
    let (variable, key) = ("PORTAL_MINT_NWC_URL", "lightning.nwc_url_file");
    secret(said, file)?.ok_or(WalletOpenError::Missing { variable, key })
}

#[cfg(feature = "breez")]
fn words(settings: &BreezSettings) -> Result<Secret<String>, WalletOpenError> {
    let (variable, key) = ("PORTAL_MINT_BREEZ_MNEMONIC", "lightning.breez.mnemonic_file");
    let words = secret(settings.mnemonic.as_ref(), settings.mnemonic_file.as_deref())?;
    words.ok_or(WalletOpenError::Missing { variable, key })
}

/// What the environment says, else what stands in the file.
fn secret(
    said: Option<&Secret<String>>,
    file: Option<&Path>,
) -> Result<Option<Secret<String>>, WalletOpenError> {
    match (said, file) {
        (Some(said), _) => Ok(Some(said.clone())),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map(|text| Some(Secret::new(text.trim().to_owned())))
            .map_err(|source| WalletOpenError::File { path: path.to_owned(), source }),
        (None, None) => Ok(None),
    }
}

fn linked(link: &Secret<String>, env: Env) -> Result<Arc<dyn LightningWallet>, WalletOpenError> {
    let uri = NwcUri::parse(link.expose().trim())?;
    let relays = uri.relays.clone();
    let connector_env = env.clone();
    let handle = tokio::runtime::Handle::current();
    let connect = move |sink| -> Arc<dyn RelayPool> {
        // The operator's own choice, wherever they are.
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(handle, connector_env, sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
    };
    Ok(Arc::new(NwcWallet::connect(&uri, connect, env, NwcOptions::default())?))
}

#[cfg(feature = "breez")]
async fn breez(
    settings: &BreezSettings,
    folder: &Path,
    env: Env,
) -> Result<Arc<dyn LightningWallet>, WalletOpenError> {
    use portal_breez::{BreezConfig, BreezLibrary, BreezNetwork, BreezWallet, OpenError};

    /// The folder in the data folder, unless another one is named.
    const FOLDER: &str = "breez";

    let words = words(settings)?;
    let named = settings.library.clone();
    let loading = tokio::task::spawn_blocking(move || BreezLibrary::open(named.as_deref()));
    let library =
        loading.await.map_err(|error| WalletOpenError::Load(std::io::Error::other(error)))??;
    let network = if settings.mainnet { BreezNetwork::Mainnet } else { BreezNetwork::Regtest };
    let storage = settings.storage_dir.clone().unwrap_or_else(|| folder.join(FOLDER));
    let mut config = BreezConfig::new(words, storage, network);
    config.api_key = secret(settings.api_key.as_ref(), settings.api_key_file.as_deref())?;
    if let Some(spark) = &settings.spark {
        let read = serde_json::from_str(spark).map_err(|_| OpenError::Refused {
            reason: "`lightning.breez.spark` is not understood".to_owned(),
        })?;
        config.spark = Some(read);
    }
    Ok(BreezWallet::open(&library, config, env).await?)
}

#[cfg(not(feature = "breez"))]
async fn breez(
    _: &BreezSettings,
    _: &Path,
    _: Env,
) -> Result<Arc<dyn LightningWallet>, WalletOpenError> {
    Err(WalletOpenError::NoBreez)
}
