//! Lightning wallets that a service takes money with.

use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::ErrorCode as Code;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayPool, RelaySink};
use portal_core::wallet::LightningWallet;
use portal_core::wallet::nwc::{NwcOptions, NwcUri, NwcWallet};

use crate::error::PortalError;
use crate::{limits, runtime};

/// A Lightning wallet. It belongs to whoever made it: shut it down after the services that use it.
#[derive(uniffi::Object)]
pub struct Wallet(Arc<dyn LightningWallet>);

impl Wallet {
    pub(crate) fn new(wallet: Arc<dyn LightningWallet>) -> Self {
        Self(wallet)
    }

    pub(crate) fn port(&self) -> Arc<dyn LightningWallet> {
        self.0.clone()
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl Wallet {
    /// A wallet behind a `nostr+walletconnect://` link. Does not wait for the connection.
    #[uniffi::constructor]
    pub fn nwc(link: String) -> Result<Arc<Self>, PortalError> {
        limits::text("the wallet link", &link, limits::WALLET_LINK)?;
        let unusable =
            |error: &dyn std::fmt::Display| PortalError::new(Code::InvalidUrl, error.to_string());
        let link = NwcUri::parse(&link).map_err(|error| unusable(&error))?;
        let handle = runtime::handle()?.clone();
        let (env, relays) = (Env::system(), link.relays.clone());
        let connector = |sink: Arc<dyn RelaySink>| -> Arc<dyn RelayPool> {
            // The owner of the wallet chose these relays.
            let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
            let pool = NostrRelays::start(handle, Env::system(), sink, options);
            for relay in relays {
                pool.add(relay);
            }
            pool
        };
        let _entered = runtime::handle()?.enter();
        let wallet = NwcWallet::connect(&link, connector, env, NwcOptions::default())
            .map_err(|error| unusable(&error))?;
        Ok(Arc::new(Self(Arc::new(wallet))))
    }

    /// What is in it, in millisatoshi.
    pub async fn balance_msat(&self) -> Result<u64, PortalError> {
        let wallet = self.port();
        runtime::wait(async move { Ok(wallet.balance().await?.amount.as_u64()) }).await
    }

    /// Ends its connections. Idempotent.
    pub async fn shutdown(&self) -> Result<(), PortalError> {
        let wallet = self.port();
        runtime::finish(async move {
            wallet.shutdown().await;
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_link_that_cannot_be_used_is_refused_without_repeating_it() {
        let secret = "11".repeat(32);
        let link = format!("nostr+walletconnect://nokey?relay=wss://r.example&secret={secret}");
        let Err(PortalError::Failed { code, reason, .. }) = Wallet::nwc(link) else {
            panic!("it names no wallet")
        };
        assert_eq!(code, ErrorCode::InvalidUrl);
        assert!(!reason.contains(&secret));
    }
}
