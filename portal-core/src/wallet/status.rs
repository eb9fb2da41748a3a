//! How a wallet is, what its link may spend, and what was last in it: plain data for health pages.

use super::{Balance, PaymentHash, WalletError, bolt11::Bolt11};
use crate::primitives::{Millisats, Timestamp};

/// How the connection to a wallet is.
///
/// ```text
///   Unknown ──answer──▶ Answering ──several calls without an answer──▶ NotAnswering
///                        ▲  │ └──"no such connection"──▶ Rejected          │
///                        │  └──last relay gone──▶ Unreachable              │
///                        └──────────── any answer ◀───────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalletState {
    /// Nothing was asked yet, or the wallet keeps no record of this.
    Unknown,
    /// It answered the last call.
    Answering,
    /// No way to it is open.
    Unreachable,
    /// The way to it is open and it does not answer: it is switched off, or the connection was
    /// deleted there. Then it must be linked again.
    NotAnswering {
        /// When the first call was made that got no answer.
        since: Timestamp,
    },
    /// It says that there is no such connection, or no longer.
    Rejected,
    /// The link may spend and only receiving is allowed, so it is not used.
    MaySpend,
    /// It was shut down.
    ShutDown,
}

impl WalletState {
    /// A stable word for health pages.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Answering => "ok",
            Self::Unreachable => "unreachable",
            Self::NotAnswering { .. } => "not_answering",
            Self::Rejected => "rejected",
            Self::MaySpend => "may_spend",
            Self::ShutDown => "shut_down",
        }
    }
}

/// A balance that may be an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownBalance {
    /// The amount, and when it was true.
    pub balance: Balance,
    /// The wallet could not be asked now: this is what it said last.
    pub stale: bool,
}

/// What a connection may still spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In all, until it is renewed.
    pub total: Millisats,
    /// How much of it is gone.
    pub used: Millisats,
    /// When it begins anew; `None` is never.
    pub renews_at: Option<Timestamp>,
}

impl Budget {
    /// What is left of it.
    #[must_use]
    pub const fn left(&self) -> Millisats {
        Millisats::new(self.total.as_u64().saturating_sub(self.used.as_u64()))
    }
}

/// What a payment is looked up by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentKey {
    /// Its payment hash.
    Hash(PaymentHash),
    /// Its invoice.
    Invoice(String),
}

impl PaymentKey {
    /// The payment hash, read from the invoice when that was given.
    ///
    /// # Errors
    /// [`WalletError::BadRequest`] when the text is no invoice.
    pub fn payment_hash(&self) -> Result<PaymentHash, WalletError> {
        match self {
            Self::Hash(hash) => Ok(*hash),
            Self::Invoice(text) => Bolt11::parse(text)
                .map(|read| read.payment_hash)
                .map_err(|error| WalletError::BadRequest { what: error.to_string() }),
        }
    }
}
