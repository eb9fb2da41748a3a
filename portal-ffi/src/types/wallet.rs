//! What goes between the library and a wallet that an app brings.

use std::time::Duration;

use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet;

use crate::error::PortalError;
use crate::limits;

/// Why the wallet of an app did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum WalletFault {
    /// Nobody answered in time. A payment may have been made all the same.
    #[error("the wallet did not answer in time")]
    Timeout,
    /// It cannot be reached. A payment may have been made all the same.
    #[error("the wallet cannot be reached")]
    Unreachable,
    /// It said no, and nothing was done. Only for what is certain: a payment that ends with this
    /// may be made again.
    #[error("the wallet refused: {reason} [{code}]")]
    Refused {
        /// A stable word: `INSUFFICIENT_BALANCE`, `QUOTA_EXCEEDED`, `RESTRICTED` or another.
        code: String,
        /// For people.
        reason: String,
    },
    /// It cannot do this.
    #[error("the wallet cannot do this")]
    Unsupported,
    /// Anything else. A payment may have been made all the same.
    #[error("the wallet failed: {reason}")]
    Other {
        /// For people who read logs.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for WalletFault {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        // Its text may hold anything of the app's, so it is not repeated.
        Self::Other { reason: "the app's wallet threw something unexpected".to_owned() }
    }
}

impl WalletFault {
    /// As the core says it; `what` is the call, as NIP-47 names it.
    pub(crate) fn of(self, what: &'static str) -> wallet::WalletError {
        match self {
            Self::Timeout => wallet::WalletError::Timeout,
            Self::Unreachable => wallet::WalletError::Unreachable,
            Self::Refused { code, reason } => {
                wallet::WalletError::Refused { code, message: reason }
            }
            Self::Unsupported => wallet::WalletError::Unsupported { what },
            Self::Other { reason } => wallet::WalletError::BadAnswer { what: reason },
        }
    }
}

/// How a wallet is linked.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WalletLinkOptions {
    /// Whether the link may be one that can spend. When not, the wallet is asked what the link may
    /// do before the first call after each connect, and one that can spend is not used.
    #[uniffi(default = true)]
    pub allow_spending: bool,
    /// A SQLite file of the wallet's own, in which the encryption agreed on is remembered: it is
    /// then never replaced with an older one, not even after a restart.
    #[uniffi(default = None)]
    pub database: Option<String>,
}

/// What a wallet is and can do.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WalletDescription {
    /// What to call it: `breez`, or a name of your own.
    pub kind: String,
    /// `bitcoin`, `testnet`, `signet` or `regtest`, when known.
    #[uniffi(default = None)]
    pub network: Option<String>,
    /// NIP-47 names of what it can do: `make_invoice`, `pay_invoice`, `lookup_invoice`, …
    pub methods: Vec<String>,
    /// Whether it tells the listener of incoming payments.
    #[uniffi(default = false)]
    pub notifies: bool,
    /// Whether the most that a payment may cost on top is kept before anything is sent.
    #[uniffi(default = false)]
    pub caps_fees: bool,
}

impl From<WalletDescription> for wallet::WalletInfo {
    fn from(described: WalletDescription) -> Self {
        let WalletDescription { kind, network, methods, notifies, caps_fees } = described;
        Self { kind, network, methods, notifies, caps_fees }
    }
}

impl From<wallet::WalletInfo> for WalletDescription {
    fn from(info: wallet::WalletInfo) -> Self {
        let wallet::WalletInfo { kind, network, methods, notifies, caps_fees } = info;
        Self { kind, network, methods, notifies, caps_fees }
    }
}

/// What is in a wallet, and when that was true.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WalletBalance {
    /// In millisatoshi.
    pub amount_msat: u64,
    /// In seconds since the Unix epoch.
    pub at: u64,
}

impl From<WalletBalance> for wallet::Balance {
    fn from(balance: WalletBalance) -> Self {
        let WalletBalance { amount_msat, at } = balance;
        Self { amount: Millisats::new(amount_msat), at: Timestamp::from_secs(at) }
    }
}

impl From<wallet::Balance> for WalletBalance {
    fn from(balance: wallet::Balance) -> Self {
        let wallet::Balance { amount, at } = balance;
        Self { amount_msat: amount.as_u64(), at: at.as_secs() }
    }
}

/// An invoice to make.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct InvoiceOrder {
    /// More than zero.
    pub amount_msat: u64,
    /// For the payer.
    pub description: Option<String>,
    /// How long it can be paid.
    pub expiry_seconds: u64,
}

impl From<wallet::NewInvoice> for InvoiceOrder {
    fn from(order: wallet::NewInvoice) -> Self {
        let wallet::NewInvoice { amount, description, expiry } = order;
        Self { amount_msat: amount.as_u64(), description, expiry_seconds: expiry.as_secs() }
    }
}

impl InvoiceOrder {
    pub(crate) fn checked(self) -> Result<wallet::NewInvoice, PortalError> {
        let Self { amount_msat, description, expiry_seconds } = self;
        limits::number("the amount", amount_msat, 1, limits::MILLISATS)?;
        limits::optional("the description", description.as_ref(), limits::SENTENCE)?;
        limits::number("the expiry", expiry_seconds, 1, limits::LIFETIME)?;
        Ok(wallet::NewInvoice {
            amount: Millisats::new(amount_msat),
            description,
            expiry: Duration::from_secs(expiry_seconds),
        })
    }
}

/// An invoice to pay.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PayOrder {
    /// BOLT11.
    pub invoice: String,
    /// 64 hex digits: names the payment. The same one may be ordered again; it must not be paid
    /// twice.
    pub payment_hash: String,
    /// For an invoice without an amount.
    pub amount_msat: Option<u64>,
    /// The most that may be paid on top.
    pub max_fee_msat: Option<u64>,
    /// Nobody waits longer than this.
    pub timeout_seconds: u64,
}

impl From<wallet::PayInvoice> for PayOrder {
    fn from(order: wallet::PayInvoice) -> Self {
        let wallet::PayInvoice { bolt11, payment_hash, amount, max_fee, timeout } = order;
        Self {
            invoice: bolt11,
            payment_hash: payment_hash.to_string(),
            amount_msat: amount.map(Millisats::as_u64),
            max_fee_msat: max_fee.map(Millisats::as_u64),
            timeout_seconds: timeout.max(Duration::from_secs(1)).as_secs(),
        }
    }
}

/// How a payment ended, as far as the wallet knows.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum WalletOutcome {
    /// Paid.
    Settled {
        /// 64 hex digits whose hash is the payment hash.
        preimage: String,
        /// What it cost on top.
        fee_msat: u64,
    },
    /// Under way, or not known.
    Pending,
    /// Not paid, and it never will be. Only when that is certain.
    Failed {
        /// For people.
        reason: String,
    },
}

impl TryFrom<WalletOutcome> for wallet::PayOutcome {
    type Error = wallet::WalletError;

    fn try_from(outcome: WalletOutcome) -> Result<Self, Self::Error> {
        Ok(match outcome {
            WalletOutcome::Settled { preimage, fee_msat } => Self::Settled {
                preimage: bytes32(&preimage).ok_or_else(|| unusable("the preimage"))?,
                fee: Millisats::new(fee_msat),
            },
            WalletOutcome::Pending => Self::Pending,
            WalletOutcome::Failed { reason } => Self::Failed { reason },
        })
    }
}

/// A payment in the wallet's own books.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WalletPayment {
    /// 64 hex digits.
    pub payment_hash: String,
    /// Whether it left this wallet; it came into it otherwise.
    pub outgoing: bool,
    /// Where it stands.
    pub state: WalletPaymentState,
    /// Without fees.
    pub amount_msat: u64,
    /// For one that left.
    #[uniffi(default = 0)]
    pub fee_msat: u64,
    /// When the invoice or the payment was made, in seconds since the Unix epoch.
    pub created_at: u64,
}

impl TryFrom<WalletPayment> for wallet::WalletPayment {
    type Error = wallet::WalletError;

    fn try_from(payment: WalletPayment) -> Result<Self, Self::Error> {
        let WalletPayment { payment_hash, outgoing, state, amount_msat, fee_msat, created_at } =
            payment;
        Ok(Self {
            payment_hash: bytes32(&payment_hash)
                .map(wallet::PaymentHash)
                .ok_or_else(|| unusable("the payment hash"))?,
            direction: if outgoing {
                wallet::Direction::Outgoing
            } else {
                wallet::Direction::Incoming
            },
            state: match state {
                WalletPaymentState::Pending => wallet::PaymentState::Pending,
                WalletPaymentState::Settled { preimage, at } => wallet::PaymentState::Settled {
                    // One that is none proves nothing; the wallet's word stands without it.
                    preimage: preimage.as_deref().and_then(bytes32),
                    at: Timestamp::from_secs(at),
                },
                WalletPaymentState::Failed => wallet::PaymentState::Failed,
            },
            amount: Millisats::new(amount_msat),
            fee: Millisats::new(fee_msat),
            created_at: Timestamp::from_secs(created_at),
        })
    }
}

impl From<wallet::WalletPayment> for WalletPayment {
    fn from(payment: wallet::WalletPayment) -> Self {
        let wallet::WalletPayment { payment_hash, direction, state, amount, fee, created_at } =
            payment;
        Self {
            payment_hash: payment_hash.to_string(),
            outgoing: direction == wallet::Direction::Outgoing,
            state: match state {
                wallet::PaymentState::Pending => WalletPaymentState::Pending,
                wallet::PaymentState::Settled { preimage, at } => WalletPaymentState::Settled {
                    preimage: preimage.map(hex::encode),
                    at: at.as_secs(),
                },
                wallet::PaymentState::Failed => WalletPaymentState::Failed,
            },
            amount_msat: amount.as_u64(),
            fee_msat: fee.as_u64(),
            created_at: created_at.as_secs(),
        }
    }
}

/// Where a payment stands in the wallet's own books.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum WalletPaymentState {
    /// Not settled yet; includes everything the wallet is unsure about.
    Pending,
    /// The money moved.
    Settled {
        /// 64 hex digits, when the wallet has them.
        preimage: Option<String>,
        /// When, in seconds since the Unix epoch.
        at: u64,
    },
    /// Expired or failed for good.
    Failed,
}

/// Which payments to list: newest first, settled ones at least.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PaymentQuery {
    /// Made at this moment or later, in seconds since the Unix epoch.
    pub since: u64,
    /// Only those that left, or only those that came in.
    pub outgoing: Option<bool>,
    /// Skip this many.
    pub offset: u32,
    /// At most this many.
    pub limit: u32,
}

impl From<wallet::ListPayments> for PaymentQuery {
    fn from(query: wallet::ListPayments) -> Self {
        let wallet::ListPayments { since, direction, offset, limit } = query;
        let outgoing = direction.map(|direction| direction == wallet::Direction::Outgoing);
        Self { since: since.as_secs(), outgoing, offset, limit }
    }
}

impl PaymentQuery {
    pub(crate) fn checked(self) -> Result<wallet::ListPayments, PortalError> {
        let Self { since, outgoing, offset, limit } = self;
        limits::number("the limit", limit.into(), 1, limits::PAYMENTS)?;
        Ok(wallet::ListPayments {
            since: Timestamp::from_secs(since),
            direction: outgoing.map(|outgoing| {
                if outgoing { wallet::Direction::Outgoing } else { wallet::Direction::Incoming }
            }),
            offset,
            limit,
        })
    }
}

/// 32 bytes from hex digits.
pub(crate) fn bytes32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn unusable(what: &str) -> wallet::WalletError {
    wallet::WalletError::BadAnswer { what: format!("{what} is not 64 hex digits") }
}
