//! The port to a Lightning wallet: the only authority on money.
//!
//! [`nwc::NwcWallet`] speaks NIP-47 to a linked wallet, [`simulated::SimulatedWallet`] is the one
//! of `--dev`, tests and the demo; whatever an app brings itself stands behind a
//! [`CheckedWallet`]. There is nothing global: each service and client has the wallet that it was
//! given, so one process can serve many tenants. Implementations are dumb: journals, retries and the matching of
//! requests are done once, in [`crate::payments`].

pub mod bolt11;
mod checked;
mod events;
mod holds;
pub mod nwc;
pub mod simulated;
mod status;
#[cfg(feature = "testing")]
pub mod suite;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use self::checked::CheckedWallet;
pub use self::events::{EventSource, Lag, Source};
pub use self::holds::HoldInvoices;
pub use self::status::{Budget, KnownBalance, PaymentKey, WalletState};
use crate::primitives::{ErrorCode, Millisats, Timestamp};

/// A Lightning wallet.
///
/// Every call may be dropped; a payment that was handed to the wallet goes on all the same.
#[async_trait]
pub trait LightningWallet: Send + Sync {
    /// What this wallet is and can do. A call to the wallet, so also a test of the connection.
    async fn info(&self) -> Result<WalletInfo, WalletError>;

    /// Whether its invoices are for whole satoshi only. Amounts are then rounded up before it is
    /// asked for one.
    fn whole_sats(&self) -> bool {
        false
    }

    /// What is in it.
    async fn balance(&self) -> Result<Balance, WalletError>;

    /// What it said was in it when it was last asked; `None` before that, and where nobody keeps
    /// it. Never a fact about now: see [`Balance::at`].
    fn last_balance(&self) -> Option<Balance> {
        None
    }

    /// What is in it, or, while it cannot be asked, what it said last.
    ///
    /// # Errors
    /// Those of [`LightningWallet::balance`] when there is no last answer, and those that are
    /// about the request and not about the wallet being away.
    async fn known_balance(&self) -> Result<KnownBalance, WalletError> {
        match self.balance().await {
            Ok(balance) => Ok(KnownBalance { balance, stale: false }),
            Err(error @ (WalletError::Timeout | WalletError::Unreachable)) => self
                .last_balance()
                .map(|balance| KnownBalance { balance, stale: true })
                .ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// What this connection may still spend; `None` where there is no bound, or nobody says.
    async fn budget(&self) -> Result<Option<Budget>, WalletError> {
        Ok(None)
    }

    /// How the connection to it is, from what was seen so far. Asks nobody.
    fn state(&self) -> WalletState {
        WalletState::Unknown
    }

    /// Hold invoices, where the wallet has them.
    fn hold_invoices(&self) -> Option<&dyn HoldInvoices> {
        None
    }

    /// Makes an invoice.
    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError>;

    /// Makes an invoice that carries the hash of a longer description instead of a text, as LUD-06
    /// wants it; the description of the request is not used.
    ///
    /// # Errors
    /// [`WalletError::Unsupported`] where the wallet cannot.
    async fn make_invoice_for(
        &self,
        request: NewInvoice,
        description_hash: [u8; 32],
    ) -> Result<Invoice, WalletError> {
        let _ = (request, description_hash);
        Err(WalletError::Unsupported { what: "make_invoice with a description hash" })
    }

    /// Where a payment stands, either way; `None` when the wallet does not know it.
    async fn lookup(&self, payment_hash: PaymentHash)
    -> Result<Option<WalletPayment>, WalletError>;

    /// As [`LightningWallet::lookup`], also by the text of the invoice.
    async fn find(&self, key: &PaymentKey) -> Result<Option<WalletPayment>, WalletError> {
        self.lookup(key.payment_hash()?).await
    }

    /// The text of the invoice of a payment, where the wallet keeps it.
    async fn invoice_of(&self, payment_hash: PaymentHash) -> Result<Option<String>, WalletError> {
        let _ = payment_hash;
        Ok(None)
    }

    /// What paying would cost on top, as the wallet estimates it now.
    ///
    /// # Errors
    /// [`WalletError::Unsupported`] where the wallet gives no estimates (NIP-47 has none).
    async fn quote(&self, request: &PayInvoice) -> Result<FeeQuote, WalletError> {
        let _ = request;
        Err(WalletError::Unsupported { what: "estimate_fee" })
    }

    /// Pays an invoice. `Ok(Pending)` and every error with
    /// [`outcome_unknown`](WalletError::outcome_unknown) mean: it may still be paid, never send
    /// it again.
    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError>;

    /// Payments that were made since, newest first. Settled ones for certain; whether others are
    /// in it depends on the wallet.
    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError>;

    /// Incoming payments whose money came at [`ListPayments::since`] or later by the wallet's own
    /// clock, the newest of them first, whenever their invoices were made. With it, watching costs
    /// what has happened and not what is open.
    ///
    /// # Errors
    /// [`WalletError::Unsupported`] where the wallet lists by the making of invoices only (NIP-47).
    async fn list_settled(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        let _ = query;
        Err(WalletError::Unsupported { what: "list_settled" })
    }

    /// What happens in the wallet from now on. Only hints: anything can be missing or come twice.
    fn events(&self) -> BoxStream<'static, WalletEvent>;

    /// Ends connections and tasks. Later calls fail. Idempotent.
    async fn shutdown(&self);
}

/// SHA-256 of the preimage, names a payment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentHash(pub [u8; 32]);

impl std::fmt::Display for PaymentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for PaymentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What a wallet is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletInfo {
    /// `nwc`, `breez`, `simulated` or what an app calls its own.
    pub kind: String,
    /// `bitcoin`, `testnet`, `signet`, `regtest`, when the wallet says.
    pub network: Option<String>,
    /// NIP-47 names of what it can do: `make_invoice`, `pay_invoice`, `lookup_invoice`, …
    pub methods: Vec<String>,
    /// Whether [`LightningWallet::events`] tells of incoming payments.
    pub notifies: bool,
    /// Whether [`PayInvoice::max_fee`] is kept before anything is sent. NIP-47 wallets set their
    /// own limits.
    pub caps_fees: bool,
}

/// What is in a wallet, and when that was true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The amount.
    pub amount: Millisats,
    /// When the wallet said so.
    pub at: Timestamp,
}

/// An invoice to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvoice {
    /// More than zero.
    pub amount: Millisats,
    /// For the payer.
    pub description: Option<String>,
    /// How long it can be paid.
    pub expiry: Duration,
}

/// An invoice that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// The text.
    pub bolt11: String,
    /// Its payment hash, read from the text.
    pub payment_hash: PaymentHash,
    /// When it was made, by the text.
    pub created_at: Timestamp,
    /// When it ends, by the text.
    pub expires_at: Timestamp,
}

/// An invoice to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayInvoice {
    /// The text.
    pub bolt11: String,
    /// Its payment hash.
    pub payment_hash: PaymentHash,
    /// For an invoice without an amount.
    pub amount: Option<Millisats>,
    /// The most that may be paid on top. A wallet that knows its fee beforehand refuses with
    /// [`WalletError::Refused`] when it would be more; [`WalletInfo::caps_fees`] tells which do.
    pub max_fee: Option<Millisats>,
    /// Give up with [`WalletError::Timeout`] after this; the payment may still go through.
    pub timeout: Duration,
}

/// What a payment would cost on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeQuote {
    /// The estimate.
    pub fee: Millisats,
}

/// How a payment ended, as far as the wallet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayOutcome {
    /// Paid.
    Settled {
        /// 32 bytes whose hash is the payment hash.
        preimage: [u8; 32],
        /// What it cost on top.
        fee: Millisats,
    },
    /// Under way, or not known.
    Pending,
    /// Not paid, and it never will be.
    Failed {
        /// For people.
        reason: String,
    },
}

/// A payment in the wallet's own books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletPayment {
    /// Its name.
    pub payment_hash: PaymentHash,
    /// In or out.
    pub direction: Direction,
    /// Where it stands.
    pub state: PaymentState,
    /// The amount without fees.
    pub amount: Millisats,
    /// The fees, for one that left.
    pub fee: Millisats,
    /// When the invoice or the payment was made.
    pub created_at: Timestamp,
}

/// In or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into this wallet.
    Incoming,
    /// Out of this wallet.
    Outgoing,
}

/// Where a payment stands in the wallet's own books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// Not settled yet; includes everything the wallet is unsure about.
    Pending,
    /// The money moved.
    Settled {
        /// When the wallet says; it must hash to the payment hash, or it is `None`.
        preimage: Option<[u8; 32]>,
        /// When.
        at: Timestamp,
    },
    /// Expired or failed for good.
    Failed,
}

/// Which payments to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPayments {
    /// Made at this moment or later.
    pub since: Timestamp,
    /// Only this direction.
    pub direction: Option<Direction>,
    /// Skip this many.
    pub offset: u32,
    /// At most this many; 20 is the most that NIP-47 wallets promise.
    pub limit: u32,
}

/// A hint from the wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalletEvent {
    /// A payment settled, by the wallet's word.
    Settled(WalletPayment),
    /// The wallet can be reached again: events may have been missed.
    Reconnected,
    /// The wallet cannot be reached.
    Disconnected,
}

/// The code of [`WalletError::Refused`] when a payment would cost more than
/// [`PayInvoice::max_fee`].
pub const FEE_TOO_HIGH: &str = "FEE_TOO_HIGH";

/// Why the wallet did not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalletError {
    /// Nobody answered in time.
    #[error("the wallet did not answer in time")]
    Timeout,
    /// It cannot be reached.
    #[error("the wallet cannot be reached")]
    Unreachable,
    /// It said no, with its own code (`INSUFFICIENT_BALANCE`, `QUOTA_EXCEEDED`, …).
    #[error("the wallet refused: {message} [{code}]")]
    Refused {
        /// As the wallet wrote it.
        code: String,
        /// As the wallet wrote it.
        message: String,
    },
    /// It cannot do this.
    #[error("the wallet cannot {what}")]
    Unsupported {
        /// The NIP-47 name of the call.
        what: &'static str,
    },
    /// What it answered makes no sense.
    #[error("the wallet answered with something that cannot be used: {what}")]
    BadAnswer {
        /// What was wrong with it.
        what: String,
    },
    /// The request itself is wrong.
    #[error("not a request for a wallet: {what}")]
    BadRequest {
        /// What was wrong with it.
        what: String,
    },
    /// The link to it may spend, and its user allows only links that cannot.
    #[error("the wallet link may spend, and only receiving is allowed here")]
    MaySpend,
    /// It was shut down.
    #[error("the wallet is shut down")]
    ShutDown,
}

impl WalletError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Timeout | Self::Unreachable => ErrorCode::WalletUnavailable,
            Self::Refused { code, .. } if code == "INSUFFICIENT_BALANCE" => {
                ErrorCode::InsufficientFunds
            }
            Self::Refused { code, .. } if code == FEE_TOO_HIGH => ErrorCode::FeeTooHigh,
            Self::Refused { .. } | Self::BadAnswer { .. } => ErrorCode::WalletRefused,
            Self::Unsupported { .. } => ErrorCode::WalletUnsupported,
            Self::MaySpend => ErrorCode::NotConfigured,
            Self::BadRequest { .. } => ErrorCode::InvalidRequest,
            Self::ShutDown => ErrorCode::ShuttingDown,
        }
    }

    /// For a payment: whether it may have been sent all the same.
    #[must_use]
    pub const fn outcome_unknown(&self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable | Self::BadAnswer { .. } => true,
            Self::Refused { .. }
            | Self::Unsupported { .. }
            | Self::BadRequest { .. }
            | Self::MaySpend
            | Self::ShutDown => false,
        }
    }

    /// For a payment: whether it certainly was not sent and will not be, so that it may be made
    /// again. What is not known to mean that may mean anything: a wallet's own code of an error
    /// that it had itself, or one that nobody has seen before.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        match self {
            Self::BadRequest { .. } | Self::Unsupported { .. } | Self::MaySpend => true,
            Self::Refused { code, .. } => matches!(
                code.as_str(),
                "INSUFFICIENT_BALANCE"
                    | "QUOTA_EXCEEDED"
                    | "RESTRICTED"
                    | "UNAUTHORIZED"
                    | "RATE_LIMITED"
                    | "NOT_IMPLEMENTED"
                    | "NOT_SENT"
                    | "NO_MATCHING_LEAVES"
                    | FEE_TOO_HIGH
            ),
            // A wallet that is being shut down may have handed it on before.
            Self::Timeout | Self::Unreachable | Self::BadAnswer { .. } | Self::ShutDown => false,
        }
    }
}
