//! Lightning wallets that a service takes money with.

use std::path::PathBuf;
use std::sync::Arc;

use napi::bindgen_prelude::{BigInt, Function, Promise, PromiseRaw, within_runtime_if_available};
use napi::{Env, Result};
use napi_derive::napi;
use portal_core::env::Env as Surroundings;
use portal_core::primitives::ErrorCode;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayPool, RelaySink};
use portal_core::storage::Store;
use portal_core::wallet::nwc::{ConnectError, NwcOptions, NwcUri, NwcUriError, NwcWallet};
use portal_core::wallet::{CheckedWallet, EventSource, LightningWallet};
use tokio::runtime::Handle;

use crate::error::{error, failed};
use crate::foreign::{self, AppWallet};
use crate::limits;
use crate::service::open_store;
use crate::types::wallet::{
    InvoiceOrder, PaymentQuery, WalletBalance, WalletDescription, WalletLinkOptions, WalletPayment,
    payment_hash,
};

/// A Lightning wallet. It belongs to whoever made it: shut it down after the services that use it.
#[napi]
pub struct Wallet {
    port: Arc<dyn LightningWallet>,
    /// Closed with the wallet.
    store: Option<Arc<dyn Store>>,
    /// Where an app tells what happens in a wallet of its own.
    told: Option<Arc<EventSource>>,
}

impl Wallet {
    pub(crate) fn new(port: Arc<dyn LightningWallet>) -> Self {
        Self { port, store: None, told: None }
    }

    pub(crate) fn port(&self) -> Arc<dyn LightningWallet> {
        self.port.clone()
    }
}

#[napi]
impl Wallet {
    /// A wallet behind a `nostr+walletconnect://` link. Does not wait for the connection.
    #[napi(factory)]
    pub fn nwc(link: String) -> Result<Self> {
        let link = parsed(&link)?;
        let wallet = within_runtime_if_available(|| {
            NwcWallet::connect(
                &link,
                connector(&link),
                Surroundings::system(),
                NwcOptions::default(),
            )
        });
        Ok(Self::new(Arc::new(wallet.map_err(|cause| unusable(&cause))?)))
    }

    /// As `nwc`, with a say in what the link may do and a memory for how it is sealed.
    #[napi]
    pub fn nwc_with<'env>(
        env: &'env Env,
        link: String,
        options: WalletLinkOptions,
    ) -> Result<PromiseRaw<'env, Wallet>> {
        let link = parsed(&link)?;
        let WalletLinkOptions { allow_spending, database } = options;
        if let Some(path) = &database {
            limits::text("the path of the database", path, limits::PATH)?;
        }
        let allow_spending = allow_spending.unwrap_or(true);
        env.spawn_future(async move {
            let options = NwcOptions { allow_spending, ..NwcOptions::default() };
            let (connect, env) = (connector(&link), Surroundings::system());
            let store = open_store(database.map(PathBuf::from)).await?;
            let wallet = match &store {
                Some(store) => {
                    NwcWallet::connect_kept(&link, connect, env, options, store.clone()).await
                }
                None => {
                    NwcWallet::connect(&link, connect, env, options).map_err(ConnectError::from)
                }
            };
            let wallet = wallet.map_err(|cause| match cause {
                ConnectError::Link(cause) => unusable(&cause),
                ConnectError::Storage(cause) => failed(cause),
            })?;
            Ok(Self { port: Arc::new(wallet), store, told: None })
        })
    }

    /// What `Wallet.fromApp` stands on: one function that is called with a text for everything, and
    /// resolves to a text. Use `fromApp`.
    #[napi(factory)]
    pub fn from_app_calls(call: Function<'_, String, Promise<String>>) -> Result<Self> {
        let call = call
            .build_threadsafe_function::<String>()
            .callee_handled::<false>()
            .weak::<true>()
            .max_queue_size::<{ foreign::QUEUE }>()
            .build()?;
        let events = Arc::new(EventSource::new());
        let wallet = AppWallet::new(call, events.clone());
        let port = Arc::new(CheckedWallet::new(Arc::new(wallet), Surroundings::system()));
        Ok(Self { port, store: None, told: Some(events) })
    }

    /// What the listener of `Wallet.fromApp` stands on. Use that.
    #[napi]
    pub fn app_event(&self, event: String) {
        if let Some(events) = &self.told {
            foreign::tell(events, &event);
        }
    }

    /// What is in it, in millisatoshi.
    #[napi]
    pub async fn balance_msat(&self) -> Result<BigInt> {
        Ok(self.port.balance().await.map_err(failed)?.amount.as_u64().into())
    }

    /// What it is and can do. Also a test of the connection.
    #[napi]
    pub async fn info(&self) -> Result<WalletDescription> {
        Ok(self.port.info().await.map_err(failed)?.into())
    }

    /// What is in it, and when that was true.
    #[napi]
    pub async fn balance(&self) -> Result<WalletBalance> {
        Ok(self.port.balance().await.map_err(failed)?.into())
    }

    /// Makes an invoice: BOLT11.
    #[napi]
    pub async fn make_invoice(&self, order: InvoiceOrder) -> Result<String> {
        Ok(self.port.make_invoice(order.checked()?).await.map_err(failed)?.bolt11)
    }

    /// Where a payment stands, either way; null when the wallet does not know the hash.
    #[napi]
    pub async fn lookup(&self, payment_hash: String) -> Result<Option<WalletPayment>> {
        let hash = self::payment_hash(&payment_hash)?;
        Ok(self.port.lookup(hash).await.map_err(failed)?.map(Into::into))
    }

    /// Payments, newest first.
    #[napi]
    pub async fn list(&self, query: PaymentQuery) -> Result<Vec<WalletPayment>> {
        let listed = self.port.list(query.checked()?).await.map_err(failed)?;
        Ok(listed.into_iter().map(Into::into).collect())
    }

    /// Ends its connections. Idempotent.
    #[napi]
    pub async fn shutdown(&self) {
        self.port.shutdown().await;
        if let Some(store) = &self.store {
            store.close().await;
        }
    }
}

fn parsed(link: &str) -> Result<NwcUri> {
    limits::text("the wallet link", link, limits::WALLET_LINK)?;
    NwcUri::parse(link).map_err(|cause| unusable(&cause))
}

fn unusable(cause: &NwcUriError) -> napi::Error {
    error(ErrorCode::InvalidUrl, &cause.to_string())
}

fn connector(link: &NwcUri) -> impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> + use<> {
    let relays = link.relays.clone();
    move |sink| {
        // The owner of the wallet chose these relays.
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(Handle::current(), Surroundings::system(), sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
    }
}
