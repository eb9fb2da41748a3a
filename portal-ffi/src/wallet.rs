//! Lightning wallets that a service takes money with.

use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::ErrorCode as Code;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayPool, RelaySink};
use portal_core::wallet::nwc::{NwcOptions, NwcUri, NwcWallet};
use portal_core::wallet::{self, CheckedWallet, PaymentHash};

use crate::error::PortalError;
use crate::foreign::{Foreign, LightningWallet};
use crate::types::wallet::{
    InvoiceOrder, PaymentQuery, WalletBalance, WalletDescription, WalletPayment, bytes32,
};
use crate::{limits, runtime};

/// A Lightning wallet. It belongs to whoever made it: shut it down after the services that use it.
#[derive(uniffi::Object)]
pub struct Wallet(Arc<dyn wallet::LightningWallet>);

impl Wallet {
    pub(crate) fn new(wallet: Arc<dyn wallet::LightningWallet>) -> Self {
        Self(wallet)
    }

    fn linked(link: &str, allow_spending: bool) -> Result<Arc<Self>, PortalError> {
        limits::text("the wallet link", link, limits::WALLET_LINK)?;
        let unusable =
            |error: &dyn std::fmt::Display| PortalError::new(Code::InvalidUrl, error.to_string());
        let link = NwcUri::parse(link).map_err(|error| unusable(&error))?;
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
        let options = NwcOptions { allow_spending, ..NwcOptions::default() };
        let _entered = runtime::handle()?.enter();
        let wallet =
            NwcWallet::connect(&link, connector, env, options).map_err(|error| unusable(&error))?;
        Ok(Arc::new(Self(Arc::new(wallet))))
    }

    pub(crate) fn port(&self) -> Arc<dyn wallet::LightningWallet> {
        self.0.clone()
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl Wallet {
    /// A wallet behind a `nostr+walletconnect://` link. Does not wait for the connection.
    #[uniffi::constructor]
    pub fn nwc(link: String) -> Result<Arc<Self>, PortalError> {
        Self::linked(&link, true)
    }

    /// As `nwc`, for who only receives: a link that may spend is not used, and every call says so.
    /// What a link may do is asked of the wallet before the first call after each connect.
    #[uniffi::constructor]
    pub fn nwc_receive_only(link: String) -> Result<Arc<Self>, PortalError> {
        Self::linked(&link, false)
    }

    /// A wallet that the app brings. What it says is checked before anybody relies on it.
    #[uniffi::constructor]
    pub fn from_app(wallet: Arc<dyn LightningWallet>) -> Result<Arc<Self>, PortalError> {
        let _entered = runtime::handle()?.enter();
        let wallet = CheckedWallet::new(Arc::new(Foreign::new(wallet)), Env::system());
        Ok(Arc::new(Self(Arc::new(wallet))))
    }

    /// What is in it, in millisatoshi.
    pub async fn balance_msat(&self) -> Result<u64, PortalError> {
        let wallet = self.port();
        runtime::wait(async move { Ok(wallet.balance().await?.amount.as_u64()) }).await
    }

    /// What it is and can do. Also a test of the connection.
    pub async fn info(&self) -> Result<WalletDescription, PortalError> {
        let wallet = self.port();
        runtime::wait(async move { Ok(wallet.info().await?.into()) }).await
    }

    /// What is in it, and when that was true.
    pub async fn balance(&self) -> Result<WalletBalance, PortalError> {
        let wallet = self.port();
        runtime::wait(async move { Ok(wallet.balance().await?.into()) }).await
    }

    /// Makes an invoice: BOLT11.
    pub async fn make_invoice(&self, order: InvoiceOrder) -> Result<String, PortalError> {
        let (wallet, order) = (self.port(), order.checked()?);
        runtime::finish(async move { Ok(wallet.make_invoice(order).await?.bolt11) }).await
    }

    /// Where a payment stands, either way; none when the wallet does not know the hash.
    pub async fn lookup(&self, payment_hash: String) -> Result<Option<WalletPayment>, PortalError> {
        let hash = bytes32(&payment_hash)
            .map(PaymentHash)
            .ok_or_else(|| PortalError::invalid("the payment hash must be 64 hex digits"))?;
        let wallet = self.port();
        runtime::wait(async move { Ok(wallet.lookup(hash).await?.map(Into::into)) }).await
    }

    /// Payments, newest first.
    pub async fn list(&self, query: PaymentQuery) -> Result<Vec<WalletPayment>, PortalError> {
        let (wallet, query) = (self.port(), query.checked()?);
        runtime::wait(
            async move { Ok(wallet.list(query).await?.into_iter().map(Into::into).collect()) },
        )
        .await
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
