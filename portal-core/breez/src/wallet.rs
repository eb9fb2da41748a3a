//! The wallet: the library's calls behind the port.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portal_core::env::Env;
use portal_core::identity::{Mnemonic, MnemonicError};
use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::{
    Balance, EventSource, FeeQuote, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice,
    PayOutcome, PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment, WalletState,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{AddressKind, Sdk, SdkEvent, SdkStatus};
use crate::books::{Books, Made};
use crate::config::{self, BreezConfig, BreezNetwork, FeePolicy, Fractions, Limits};
use crate::error::CallError;
use crate::freshness::Freshness;
use crate::library::BreezLibrary;
use crate::lookup::translate;
use crate::pay::{millisats, on_top};

/// How long shutting down waits for payments that are being sent, and then for the library.
const LAST_PAYMENTS: Duration = Duration::from_millis(700);
const DISCONNECT: Duration = Duration::from_secs(1);
/// Held by whoever uses the folder.
const LOCK: &str = "portal-lock";

/// The built-in wallet.
pub struct BreezWallet {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) sdk: Sdk,
    pub(crate) env: Env,
    pub(crate) books: Books,
    pub(crate) fees: FeePolicy,
    pub(crate) limits: Limits,
    fractions: Fractions,
    network: BreezNetwork,
    identity: String,
    events: EventSource,
    freshness: Freshness,
    last_balance: Mutex<Option<Balance>>,
    tasks: TaskTracker,
    closing: CancellationToken,
    /// Held until the wallet is shut down.
    lock: Mutex<Option<File>>,
}

/// Why a wallet cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The words are not right.
    #[error("the words of the wallet cannot be used")]
    Mnemonic(#[from] MnemonicError),
    /// There is no key of Breez.
    #[error("the Breez wallet needs an API key for real money: breez.technology gives one")]
    ApiKeyMissing,
    /// The folder cannot be made or written to.
    #[error("the folder {} of the Breez wallet cannot be used", .path.display())]
    Storage {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process, or another wallet of this one, uses the folder.
    #[error("the folder {} of the Breez wallet is in use", .path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The library does not take the configuration.
    #[error("the Breez library refuses to open the wallet: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// It did not answer.
    #[error("the Breez library did not open the wallet in time")]
    Timeout,
}

impl From<CallError> for OpenError {
    fn from(error: CallError) -> Self {
        Self::Refused { reason: error.to_string() }
    }
}

impl BreezWallet {
    /// Opens a wallet. Does not wait for a network, which need not be there.
    ///
    /// # Errors
    /// See [`OpenError`].
    ///
    /// # Cancel safety
    /// What was opened is closed when the future is dropped.
    pub async fn open(
        library: &BreezLibrary,
        config: BreezConfig,
        env: Env,
    ) -> Result<Arc<Self>, OpenError> {
        let words = Mnemonic::parse(config.mnemonic.expose())?.words().clone();
        if config.network == BreezNetwork::Mainnet
            && config.spark.is_none()
            && config.api_key.as_ref().is_none_or(|key| key.expose().trim().is_empty())
        {
            return Err(OpenError::ApiKeyMissing);
        }
        let folder = config.storage_dir.clone();
        let now = env.now();
        let prepared = tokio::task::spawn_blocking(move || prepare_folder(&folder, now)).await;
        let unusable = |source| OpenError::Storage { path: config.storage_dir.clone(), source };
        let (lock, books) = prepared.map_err(|error| unusable(std::io::Error::other(error)))??;
        let storage = config.storage_dir.to_str().ok_or_else(|| {
            unusable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a text"))
        })?;

        let mut settings = Sdk::default_config(library, config.network.variant())?;
        config::apply(&config, &mut settings).map_err(CallError::from)?;
        let opening = async {
            let sdk = Sdk::connect(library, settings, words, storage).await?;
            let (identity, _) = sdk.info().await?;
            Ok::<_, CallError>((sdk, identity))
        };
        let opened = tokio::time::timeout(config.limits.call, opening).await;
        let (sdk, identity) = opened.map_err(|_| OpenError::Timeout)??;
        let inner = Arc::new(Inner {
            sdk,
            env,
            books,
            fees: config.fees,
            limits: config.limits,
            fractions: config.fractions,
            network: config.network,
            identity,
            events: EventSource::new(),
            freshness: Freshness::new(config.limits),
            last_balance: Mutex::new(None),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            lock: Mutex::new(Some(lock)),
        });
        let hearing = Arc::downgrade(&inner);
        inner
            .sdk
            .listen(move |event| {
                if let Some(inner) = hearing.upgrade() {
                    inner.heard(&event);
                }
            })
            .await?;
        let watching = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            let watch = watching.freshness.watch(&watching.sdk, &watching.env, &watching.events);
            watching.closing.run_until_cancelled(watch).await;
        });
        Ok(Arc::new(Self { inner }))
    }

    /// The public key that Spark knows this wallet by, 66 hex digits.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.inner.identity
    }

    /// An address on the chain. Money sent there arrives after confirmations, less a fee.
    ///
    /// # Errors
    /// When the operators cannot be reached.
    pub async fn bitcoin_address(&self) -> Result<String, WalletError> {
        self.address(AddressKind::Bitcoin).await
    }

    /// The address for payments within Spark. It is always the same, so whoever sees it can tell
    /// payments of one merchant.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn spark_address(&self) -> Result<String, WalletError> {
        self.address(AddressKind::Spark).await
    }

    async fn address(&self, kind: AddressKind) -> Result<String, WalletError> {
        let inner = &self.inner;
        inner.within(async { inner.sdk.address(kind).await.map_err(|it| it.harmless()) }).await
    }
}

impl Drop for BreezWallet {
    /// Whoever forgets [`LightningWallet::shutdown`] leaves no connections behind either.
    fn drop(&mut self) {
        if self.inner.closing.is_cancelled() {
            return;
        }
        self.inner.closing.cancel();
        let inner = Arc::clone(&self.inner);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.inner.tasks.spawn_on(async move { inner.disconnect().await }, &runtime);
        }
        self.inner.tasks.close();
    }
}

impl Inner {
    /// Runs a call within the usual time and only while the wallet is open.
    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, WalletError>>,
    ) -> Result<T, WalletError> {
        let limited = tokio::time::timeout(self.limits.call, call);
        match self.closing.run_until_cancelled(limited).await {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(WalletError::Timeout),
            None => Err(WalletError::ShutDown),
        }
    }

    /// Ends the library's connections, and everything that listens.
    async fn disconnect(&self) {
        match tokio::time::timeout(DISCONNECT, self.sdk.disconnect()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Breez library did not disconnect"),
            Err(_) => tracing::warn!("the Breez library did not disconnect in time"),
        }
        self.events.close();
        // Whoever opens the folder next finds it free.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Brings the library's books up to date; since when they are right.
    pub(crate) async fn refresh(&self) -> Result<Timestamp, WalletError> {
        self.freshness.refresh(&self.sdk, &self.env, &self.events).await
    }

    /// An event, on a thread of the library.
    fn heard(&self, event: &SdkEvent) {
        match event {
            SdkEvent::Succeeded(payment) => {
                self.books.note(payment);
                if payment.status == SdkStatus::Completed
                    && let Some(known) = translate(payment)
                    && self.books.tell_once(&payment.id)
                {
                    self.events.send(WalletEvent::Settled(known));
                }
            }
            SdkEvent::Changed(payment) => {
                self.books.note(payment);
            }
            // Both say less than they seem to: a synchronisation that failed ends with it too.
            SdkEvent::Synced | SdkEvent::Other => {}
        }
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        let bad = |what: &str| WalletError::BadRequest { what: what.to_owned() };
        if request.amount.as_u64() == 0 {
            return Err(bad("there is no amount"));
        }
        if self.fractions == Fractions::Refuse && !request.amount.as_u64().is_multiple_of(1000) {
            return Err(bad("this wallet makes invoices for whole satoshi"));
        }
        let sats = request.amount.sats_rounded_up();
        let expiry = request.expiry.as_secs().max(1);
        let expiry = u32::try_from(expiry).map_err(|_| bad("the invoice would last too long"))?;
        let description = request.description.unwrap_or_default();
        let text = self.sdk.invoice(sats, &description, expiry).await;
        let text = text.map_err(|error| error.harmless())?;
        let wrong = |what: &str| WalletError::BadAnswer { what: what.to_owned() };
        let read = Bolt11::parse(&text).map_err(|_| wrong("no invoice"))?;
        if read.amount != Millisats::from_sats(sats) {
            return Err(wrong("an invoice for another amount"));
        }
        let made = Made {
            amount: millisats(sats),
            created_at: read.created_at,
            expires_at: read.expires_at,
        };
        self.books.add(read.payment_hash, made).await;
        Ok(read.into())
    }

    /// Old books are no answer: a balance of zero would be a guess.
    async fn balance(&self) -> Result<Balance, WalletError> {
        let at = self.refresh().await?;
        let (_, sats) = self.sdk.info().await.map_err(|error| error.harmless())?;
        let balance = Balance { amount: millisats(sats), at };
        *self.last_balance.lock().unwrap_or_else(PoisonError::into_inner) = Some(balance);
        Ok(balance)
    }
}

#[async_trait]
impl LightningWallet for BreezWallet {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        let inner = &self.inner;
        inner.within(async { inner.refresh().await.map(|_| ()) }).await?;
        let methods = [
            "get_info",
            "get_balance",
            "make_invoice",
            "pay_invoice",
            "lookup_invoice",
            "list_transactions",
        ];
        Ok(WalletInfo {
            kind: "breez".to_owned(),
            network: Some(inner.network.name().to_owned()),
            methods: methods.map(str::to_owned).to_vec(),
            notifies: true,
            caps_fees: true,
        })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.inner.within(self.inner.balance()).await
    }

    fn whole_sats(&self) -> bool {
        true
    }

    fn last_balance(&self) -> Option<Balance> {
        *self.inner.last_balance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> WalletState {
        if self.inner.closing.is_cancelled() {
            return WalletState::ShutDown;
        }
        match self.inner.freshness.is_reachable() {
            Some(true) => WalletState::Answering,
            Some(false) => WalletState::Unreachable,
            None => WalletState::Unknown,
        }
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.inner.within(self.inner.make_invoice(request)).await
    }

    async fn lookup(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<Option<WalletPayment>, WalletError> {
        self.inner.within(self.inner.look_up(payment_hash)).await
    }

    async fn invoice_of(&self, payment_hash: PaymentHash) -> Result<Option<String>, WalletError> {
        let known = self.inner.within(self.inner.find(payment_hash)).await?;
        Ok(known.and_then(|payment| payment.lightning).map(|lightning| lightning.invoice))
    }

    async fn quote(&self, request: &PayInvoice) -> Result<FeeQuote, WalletError> {
        let amount = request.checked_amount()?;
        let prepared = self.inner.within(self.inner.prepare(request)).await?;
        let moved = millisats(prepared.amount_sats);
        Ok(FeeQuote { fee: on_top(prepared.fee_sats, moved, amount) })
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        let inner = Arc::clone(&self.inner);
        if inner.closing.is_cancelled() {
            return Err(WalletError::ShutDown);
        }
        let patience = request.timeout;
        // On a task of its own: dropping the library's future would leave the payment half sent.
        let sending = self.inner.tasks.spawn(async move { inner.pay(request).await });
        match tokio::time::timeout(patience, sending).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(WalletError::BadAnswer { what: "the payment broke off".to_owned() }),
            Err(_) => Err(WalletError::Timeout),
        }
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.inner.within(self.inner.list(query)).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.inner.events.listen()
    }

    async fn shutdown(&self) {
        let inner = &self.inner;
        if inner.closing.is_cancelled() {
            return;
        }
        inner.closing.cancel();
        inner.tasks.close();
        if tokio::time::timeout(LAST_PAYMENTS, inner.tasks.wait()).await.is_err() {
            tracing::warn!("a payment is still being sent while the Breez wallet shuts down");
        }
        inner.disconnect().await;
    }
}

/// Makes the folder for its owner alone, and takes hold of it.
fn prepare_folder(folder: &Path, now: Timestamp) -> Result<(File, Books), OpenError> {
    let unusable = |source| OpenError::Storage { path: folder.to_owned(), source };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(unusable)?;
    #[cfg(unix)]
    {
        // It may have been there before, open to others.
        let owner_alone = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(folder, owner_alone).map_err(unusable)?;
    }
    let lock = File::create(folder.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(OpenError::InUse { path: folder.to_owned() });
        }
        Err(std::fs::TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let books = Books::open(folder, now).map_err(unusable)?;
    Ok((lock, books))
}
