//! Lightning wallets that a service takes money with.

use std::path::PathBuf;
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::primitives::ErrorCode as Code;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayPool, RelaySink};
use portal_core::storage::Store;
use portal_core::wallet::nwc::{ConnectError, NwcOptions, NwcUri, NwcUriError, NwcWallet};
use portal_core::wallet::{self, CheckedWallet, PaymentHash};
use tokio::runtime::Handle;

use crate::error::PortalError;
use crate::foreign::{Foreign, LightningWallet};
use crate::service::open_store;
use crate::types::wallet::{
    InvoiceOrder, PaymentQuery, WalletBalance, WalletDescription, WalletLinkOptions, WalletPayment,
    bytes32,
};
use crate::{limits, runtime};

/// A Lightning wallet. It belongs to whoever made it: shut it down after the services that use it.
#[derive(uniffi::Object)]
pub struct Wallet {
    port: Arc<dyn wallet::LightningWallet>,
    /// Closed with the wallet.
    store: Option<Arc<dyn Store>>,
}

impl Wallet {
    pub(crate) fn new(port: Arc<dyn wallet::LightningWallet>) -> Self {
        Self { port, store: None }
    }

    pub(crate) fn port(&self) -> Arc<dyn wallet::LightningWallet> {
        self.port.clone()
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl Wallet {
    /// A wallet behind a `nostr+walletconnect://` link. Does not wait for the connection.
    #[uniffi::constructor]
    pub fn nwc(link: String) -> Result<Arc<Self>, PortalError> {
        let link = parsed(&link)?;
        let handle = runtime::handle()?;
        let connect = connector(&link, handle.clone());
        let _entered = handle.enter();
        let wallet = NwcWallet::connect(&link, connect, Env::system(), NwcOptions::default())
            .map_err(|error| unusable(&error))?;
        Ok(Arc::new(Self::new(Arc::new(wallet))))
    }

    /// As `nwc`, with a say in what the link may do and a memory for how it is sealed.
    #[uniffi::constructor]
    pub async fn nwc_with(
        link: String,
        options: WalletLinkOptions,
    ) -> Result<Arc<Self>, PortalError> {
        let link = parsed(&link)?;
        let WalletLinkOptions { allow_spending, database } = options;
        if let Some(path) = &database {
            limits::text("the path of the database", path, limits::PATH)?;
        }
        let handle = runtime::handle()?.clone();
        runtime::finish(async move {
            let options = NwcOptions { allow_spending, ..NwcOptions::default() };
            let connect = connector(&link, handle);
            let store = open_store(database.map(PathBuf::from)).await?;
            let wallet = match &store {
                Some(store) => {
                    let store = store.clone();
                    NwcWallet::connect_kept(&link, connect, Env::system(), options, store).await
                }
                None => NwcWallet::connect(&link, connect, Env::system(), options)
                    .map_err(ConnectError::from),
            };
            let wallet = wallet.map_err(|error| match error {
                ConnectError::Link(error) => unusable(&error),
                ConnectError::Storage(error) => error.into(),
            })?;
            Ok(Arc::new(Self { port: Arc::new(wallet), store }))
        })
        .await
    }

    /// A wallet that the app brings. What it says is checked before anybody relies on it.
    #[uniffi::constructor]
    pub fn from_app(wallet: Arc<dyn LightningWallet>) -> Result<Arc<Self>, PortalError> {
        let _entered = runtime::handle()?.enter();
        let wallet = CheckedWallet::new(Arc::new(Foreign::new(wallet)), Env::system());
        Ok(Arc::new(Self::new(Arc::new(wallet))))
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
        let (wallet, store) = (self.port(), self.store.clone());
        runtime::finish(async move {
            wallet.shutdown().await;
            if let Some(store) = store {
                store.close().await;
            }
            Ok(())
        })
        .await
    }
}

fn parsed(link: &str) -> Result<NwcUri, PortalError> {
    limits::text("the wallet link", link, limits::WALLET_LINK)?;
    NwcUri::parse(link).map_err(|error| unusable(&error))
}

fn unusable(error: &NwcUriError) -> PortalError {
    PortalError::new(Code::InvalidUrl, error.to_string())
}

fn connector(
    link: &NwcUri,
    handle: Handle,
) -> impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> + use<> {
    let relays = link.relays.clone();
    move |sink| {
        // The owner of the wallet chose these relays.
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(handle, Env::system(), sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
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

    #[test]
    fn a_link_with_a_memory_can_be_used_again_after_a_shutdown() {
        let folder = std::env::temp_dir().join(format!("portal-ffi-link-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let database = folder.join("link.sqlite").to_str().expect("text").to_owned();
        let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let secret = "11".repeat(32);
        // Nobody listens there.
        let link = format!("nostr+walletconnect://{key}?relay=ws://127.0.0.1:9&secret={secret}");
        let opened = async || {
            let database = Some(database.clone());
            let options = WalletLinkOptions { allow_spending: false, database };
            let wallet = Wallet::nwc_with(link.clone(), options).await.expect("a link");
            wallet.shutdown().await.expect("it ends");
        };
        runtime::handle().expect("threads").block_on(async {
            opened().await;
            opened().await;
        });
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
