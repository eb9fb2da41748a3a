//! Lightning wallets that a service takes money with.

use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::{BigInt, within_runtime_if_available};
use napi_derive::napi;
use portal_core::env::Env;
use portal_core::primitives::ErrorCode;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayPool, RelaySink};
use portal_core::wallet::LightningWallet;
use portal_core::wallet::nwc::{NwcOptions, NwcUri, NwcWallet};
use tokio::runtime::Handle;

use crate::error::{error, failed};
use crate::limits;

/// A Lightning wallet. It belongs to whoever made it: shut it down after the services that use it.
#[napi]
pub struct Wallet(Arc<dyn LightningWallet>);

impl Wallet {
    pub(crate) fn new(wallet: Arc<dyn LightningWallet>) -> Self {
        Self(wallet)
    }

    pub(crate) fn port(&self) -> Arc<dyn LightningWallet> {
        self.0.clone()
    }
}

#[napi]
impl Wallet {
    /// A wallet behind a `nostr+walletconnect://` link. Does not wait for the connection.
    #[napi(factory)]
    pub fn nwc(link: String) -> Result<Self> {
        limits::text("the wallet link", &link, limits::WALLET_LINK)?;
        let unusable =
            |cause: &dyn std::fmt::Display| error(ErrorCode::InvalidUrl, &cause.to_string());
        let link = NwcUri::parse(&link).map_err(|cause| unusable(&cause))?;
        let relays = link.relays.clone();
        let connector = |sink: Arc<dyn RelaySink>| -> Arc<dyn RelayPool> {
            // The owner of the wallet chose these relays.
            let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
            let pool = NostrRelays::start(Handle::current(), Env::system(), sink, options);
            for relay in relays {
                pool.add(relay);
            }
            pool
        };
        let wallet = within_runtime_if_available(|| {
            NwcWallet::connect(&link, connector, Env::system(), NwcOptions::default())
        });
        Ok(Self(Arc::new(wallet.map_err(|cause| unusable(&cause))?)))
    }

    /// What is in it, in millisatoshi.
    #[napi]
    pub async fn balance_msat(&self) -> Result<BigInt> {
        Ok(self.0.balance().await.map_err(failed)?.amount.as_u64().into())
    }

    /// Ends its connections. Idempotent.
    #[napi]
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}
