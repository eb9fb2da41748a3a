//! The service's side of giving money back: the person who paid is asked for an invoice, which is
//! then paid (kinds 28008 and 28009).
//!
//! ```text
//!   Asked ──invoice of the right person, amount and network──▶ Billed ──wallet: paid──▶ `refunded` (ended)
//!     │ └──another invoice──▶ `error` (ended)                    └──certainly not paid──▶ `error` (ended)
//!     └──deadline──▶ `timeout` (ended)
//! ```
//!
//! In `Billed` the invoice is being paid, also after a restart: paying it again is asking what
//! became of it. The refund counts against its payment from the moment it is opened until it ends
//! without having been paid.

use serde::{Deserialize, Serialize};

use super::ask::Ask;
use super::{Change, Effect};
use crate::event::PortalEvent;
use crate::primitives::{ErrorCode, Millisats, StreamId};

/// Money that goes back to whoever paid it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// The request for an invoice.
    pub ask: Ask,
    /// The stream of the payment.
    pub payment: StreamId,
    /// How much.
    pub amount: Millisats,
    /// The invoice, once there is one.
    #[serde(default)]
    pub invoice: Option<String>,
}

/// Where a refund stands, as its payment sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// Under way.
    Open,
    /// The money went back.
    Paid,
    /// It ended, and nothing went back.
    Void,
}

impl RefundState {
    /// The stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Void => "void",
        }
    }

    /// The state with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Paid, Self::Void].into_iter().find(|state| state.word() == word)
    }
}

/// How paying the invoice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaidOut {
    /// The wallet paid it.
    Settled {
        /// 64 hex digits.
        preimage: String,
        /// What it cost on top.
        fee: Millisats,
    },
    /// It was not paid and will not be.
    NotPaid {
        /// The stable code.
        code: ErrorCode,
        /// For people.
        reason: String,
    },
}

impl Refund {
    /// Whether the person is still to be asked.
    #[must_use]
    pub const fn unanswered(&self) -> bool {
        self.invoice.is_none()
    }

    /// Its state as its payment sees it, to be saved.
    pub(super) const fn counted(&self, stream: StreamId, state: RefundState) -> Change {
        Change::Refund { stream, payment: self.payment, amount: self.amount, state }
    }

    /// What has to be done when there is an invoice.
    pub(super) fn pay_out(&self, stream: StreamId) -> Option<Effect> {
        let invoice = self.invoice.clone()?;
        Some(Effect::PayOut { stream, invoice })
    }

    /// The last word, and the state that goes with it.
    pub(super) fn over(&self, outcome: PaidOut) -> (PortalEvent, RefundState) {
        match outcome {
            PaidOut::Settled { preimage, fee } => {
                let refunded = PortalEvent::Refunded {
                    payment: self.payment,
                    amount_msat: self.amount,
                    fees_paid_msat: fee,
                    preimage,
                };
                (refunded, RefundState::Paid)
            }
            PaidOut::NotPaid { code, reason } => {
                (PortalEvent::Error { code, reason }, RefundState::Void)
            }
        }
    }
}
