//! The service's side of a single payment (kinds 28000 and 28001).
//!
//! The payer's statuses are repeated as they come; the money is the wallet's word alone.
//!
//! ```text
//!            approved          success
//!   Asked ───────────▶ Approved ─────▶ Claimed        each step once, in this order;
//!     │ └──────────────────────────────▲  │           rejected / failed end the payer's part
//!     ├─ rejected / failed ─▶ Refused     │
//!     │                                   │
//!     └── deadline (Asked, Approved, Claimed) ──▶ `timeout`
//!
//!   any of these, also after `timeout` ── the wallet has the money ──▶ `paid` (ended)
//!   an hour after the deadline and the invoice's end ── the wallet says it has not ──▶ (ended)
//! ```

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use super::peer::{Learned, Peer};
use super::route::Route;
use super::{Effect, Outgoing, Via};
use crate::event::{PaymentUpdate, PortalEvent};
use crate::primitives::{RequestId, StreamId, Timestamp};
use crate::protocol::envelope::{Opened, Refusal};
use crate::protocol::kinds;
use crate::protocol::payment::{PaymentResponse, PaymentStatus};
use crate::protocol::subkey::{SubkeyPermission, SubkeyProof};

/// How long after its end an invoice is still watched: a payment may be held on its way.
pub const GRACE_SECS: u64 = 3600;
/// An invoice that never ends is not watched for ever.
const LONGEST_WATCH_SECS: u64 = 30 * 24 * 3600;

/// A request for money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// Who was asked.
    pub peer: Peer,
    /// Echoed by every status.
    pub request_id: RequestId,
    /// The message as it is sent, JSON.
    pub message: Box<str>,
    /// The invoice, when our wallet made it or knows it.
    pub watched: Option<WatchedInvoice>,
    /// When the request ends.
    pub expires_at: Timestamp,
    /// How far the payer's own words are.
    #[serde(default)]
    pub payer: Payer,
    /// Whether `timeout` was said.
    #[serde(default)]
    pub over: bool,
}

/// An invoice that the wallet is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedInvoice {
    /// Its name.
    #[serde(with = "hex::serde")]
    pub payment_hash: [u8; 32],
    /// When it was made.
    pub made_at: Timestamp,
    /// Until when it can be paid, by its own text: wallets may make it longer than they were asked
    /// to, and the request may end before it.
    pub payable_until: Timestamp,
}

/// How far the payer's own words are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payer {
    /// Silent.
    #[default]
    Asked,
    /// Agreed.
    Approved,
    /// Claims to have paid.
    Claimed,
    /// Will not or cannot pay.
    Refused,
}

/// What an input changed.
#[derive(Debug, Default, PartialEq)]
pub struct Moved {
    /// For the stream, in order.
    pub event: Option<PortalEvent>,
    /// What to do.
    pub effect: Option<Effect>,
    /// Whether the conversation has ended.
    pub ended: bool,
}

impl Payment {
    /// What a status names it by.
    pub(super) fn route(&self) -> Route {
        Route::request(kinds::PAYMENT_RESPONSE, self.request_id.as_str())
    }

    /// When time changes something.
    #[must_use]
    pub const fn deadline(&self) -> Timestamp {
        let silent = matches!(self.payer, Payer::Refused);
        if self.over || silent { self.watched_until() } else { self.expires_at }
    }

    /// Until when money may still come.
    const fn watched_until(&self) -> Timestamp {
        let end = self.expires_at.as_secs();
        let payable = match &self.watched {
            Some(invoice) => invoice.payable_until.as_secs(),
            None => 0,
        };
        let latest = end.saturating_add(LONGEST_WATCH_SECS);
        let last = if payable <= end {
            end
        } else if payable > latest {
            latest
        } else {
            payable
        };
        Timestamp::from_secs(last.saturating_add(GRACE_SECS))
    }

    /// The payer says where the payment stands.
    ///
    /// # Errors
    /// Why it is not used; a status that came before or comes too late changes nothing.
    pub fn receive(
        &mut self,
        opened: &Opened,
        answer: PaymentResponse,
        now: Timestamp,
    ) -> Result<Moved, Refusal> {
        if answer.request_id != self.request_id {
            return Err(Refusal::Unexpected);
        }
        if !self.peer.knows(&opened.author) {
            return Err(Refusal::WrongAuthor);
        }
        if self.over || self.expires_at <= now {
            return Err(Refusal::Expired);
        }
        let (payer, update) = match (self.payer, answer.status) {
            (Payer::Asked, PaymentStatus::Approved) => {
                (Payer::Approved, PaymentUpdate::UserApproved)
            }
            (Payer::Asked | Payer::Approved, PaymentStatus::Success { preimage }) => {
                (Payer::Claimed, PaymentUpdate::UserSuccess { preimage })
            }
            (Payer::Asked | Payer::Approved, PaymentStatus::Rejected { reason }) => {
                (Payer::Refused, PaymentUpdate::UserRejected { reason })
            }
            (Payer::Asked | Payer::Approved, PaymentStatus::Failed { reason }) => {
                (Payer::Refused, PaymentUpdate::UserFailed { reason })
            }
            (Payer::Approved, PaymentStatus::Approved) | (Payer::Claimed | Payer::Refused, _) => {
                return Err(Refusal::Duplicate);
            }
        };
        self.payer = payer;
        let claimed = payer == Payer::Claimed;
        Ok(Moved {
            event: Some(PortalEvent::PaymentStatusUpdate { status: update }),
            effect: self.watched.filter(|_| claimed).map(|invoice| invoice.watch(true)),
            // Without a wallet that knows the invoice nothing more can be said.
            ended: self.watched.is_none() && matches!(payer, Payer::Claimed | Payer::Refused),
        })
    }

    /// The wallet has the money.
    pub fn settled(&self, preimage: Option<String>) -> Moved {
        Moved {
            event: Some(PortalEvent::PaymentStatusUpdate {
                status: PaymentUpdate::Paid { preimage, late: self.over },
            }),
            effect: self.unwatch(),
            ended: true,
        }
    }

    /// The wallet said, at `at`, that it does not have the money.
    #[must_use]
    pub fn unsettled(&self, at: Timestamp) -> Option<Moved> {
        let given_up = (self.over || self.payer == Payer::Refused) && self.watched_until() <= at;
        given_up.then(|| Moved { event: None, effect: self.unwatch(), ended: true })
    }

    /// Time passed.
    pub fn tick(&mut self, now: Timestamp) -> Moved {
        if !self.over && self.payer != Payer::Refused && self.expires_at <= now {
            self.over = true;
            return Moved {
                event: Some(PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::Timeout }),
                effect: self.watched.map(|invoice| invoice.watch(true)),
                ended: self.watched.is_none(),
            };
        }
        if self.deadline() <= now {
            // The last word is the wallet's: see `unsettled`.
            return Moved {
                event: None,
                effect: self.watched.map(|invoice| invoice.watch(true)),
                ended: self.watched.is_none(),
            };
        }
        Moved::default()
    }

    /// Whether the request must be sent again to a relay that has just connected.
    #[must_use]
    pub fn unanswered(&self) -> bool {
        self.payer == Payer::Asked && !self.over
    }

    /// A key says that it belongs to the peer. The recipients that must get the request now.
    ///
    /// # Errors
    /// [`Refusal::BadProof`] when it does not hold, says nothing new or is about somebody else.
    pub fn learn(
        &mut self,
        author: PublicKey,
        proof: &SubkeyProof,
        now: Timestamp,
    ) -> Result<Vec<PublicKey>, Refusal> {
        if !self.unanswered() {
            return Err(Refusal::Expired);
        }
        match self.peer.learn(author, proof, now, SubkeyPermission::Payment) {
            Some(Learned::Subkey(key) | Learned::MainKey(key)) => Ok(vec![key]),
            None => Err(Refusal::BadProof),
        }
    }

    /// Where the request goes.
    #[must_use]
    pub fn via(&self) -> Via {
        Via::Peer(self.peer.relays.clone())
    }

    /// The request on its way to these recipients.
    #[must_use]
    pub fn outgoing(&self, stream: StreamId, recipients: Vec<PublicKey>) -> Outgoing {
        Outgoing {
            stream,
            part: 0,
            kind: kinds::PAYMENT_REQUEST,
            recipients,
            mentions: self.peer.keys(),
            in_answer_to: None,
            message: self.message.to_string(),
            via: self.via(),
            track: false,
        }
    }

    fn unwatch(&self) -> Option<Effect> {
        self.watched.map(|invoice| Effect::Unwatch { payment_hash: invoice.payment_hash })
    }
}

impl WatchedInvoice {
    /// The effect of watching it.
    #[must_use]
    pub const fn watch(self, now: bool) -> Effect {
        Effect::Watch { payment_hash: self.payment_hash, since: self.made_at, now }
    }
}
