//! The machines: what each conversation does, in every order of events, without I/O.
//!
//! An [`Engine`] holds all open conversations of one key, finds the one that an event belongs to,
//! and turns every input into a [`Step`]: changes that must be durable first, then effects. It
//! never waits, reads no clock and makes no randomness; time and random texts come in from
//! outside.
//!
//! ```text
//!   opened event ─┐                       ┌─▶ changes  (put, remove, append, peer)   saved first
//!   command ──────┼─▶ Engine ──▶ Step ────┤
//!   tick, wallet ─┘   one table           └─▶ effects  (publish, connect, watch, …)  then done
//! ```
//!
//! | machine | who | opened by | ends with |
//! |---|---|---|---|
//! | [`handshake`] | service | a URL that is shown | the first person, or (static token) a revocation |
//! | [`ask`] | service | a request to a person | the answer, or its deadline |
//! | [`payment`] | service | a request for money | `paid` by the wallet, or a settled question |
//! | [`walkin`] | service | an invoice that anybody may pay | the wallet's word |
//! | [`refund`] | service | money that goes back | the wallet's word, or no invoice |
//! | [`send`] | both | a message without an answer | the first relay that has it |
//! | [`subscription`] | service | a confirmed recurring payment | a close |
//! | [`answer`] | client | a request from a service | its deadline |

pub mod answer;
pub mod ask;
mod engine;
pub mod handshake;
pub mod payment;
mod peer;
pub mod refund;
mod route;
pub mod send;
pub mod subscription;
pub mod walkin;

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

pub use engine::{Engine, Fault, Limits, Role};
pub use peer::Peer;

use crate::event::PortalEvent;
use crate::primitives::{Millisats, StreamId, Timestamp};
use crate::protocol::envelope::Refusal;

/// One open conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "machine", rename_all = "snake_case")]
pub enum Conversation {
    /// Waits for people to open a handshake URL.
    Handshake(Box<handshake::Handshake>),
    /// Waits for one answer.
    Ask(Box<ask::Ask>),
    /// Waits for the statuses of a payment, and for the money.
    Payment(Box<payment::Payment>),
    /// Waits for the money of whoever pays.
    WalkIn(Box<walkin::WalkIn>),
    /// Gives money back.
    Refund(Box<refund::Refund>),
    /// Brings a message to a relay.
    Send(Box<send::Send>),
    /// Remembers who owns a subscription.
    Subscription(Box<subscription::Subscription>),
    /// Collects the closes of subscriptions.
    Closes,
    /// Collects what came to invoices that anybody may pay.
    Receipts,
    /// Answers a request.
    Answer(Box<answer::Answer>),
}

impl Conversation {
    /// A stable word for the table of open conversations.
    #[must_use]
    pub const fn machine(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Ask(_) => "ask",
            Self::Payment(_) => "payment",
            Self::WalkIn(_) => "walkin",
            Self::Refund(_) => "refund",
            Self::Send(_) => "send",
            Self::Subscription(_) => "subscription",
            Self::Closes => "closes",
            Self::Receipts => "receipts",
            Self::Answer(_) => "answer",
        }
    }
}

/// What an input leads to: save the changes, then do the effects, in order.
#[must_use = "a step that is not carried out is lost"]
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// Must be durable before any effect.
    pub changes: Vec<Change>,
    /// What to do then.
    pub effects: Vec<Effect>,
}

impl Step {
    /// Whether a machine has panicked in it.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Fault(_)))
    }
}

/// Something to make durable. The changes of one step belong together.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// A conversation was opened or moved.
    Put(Saved),
    /// A conversation ended.
    Remove {
        /// Its stream.
        stream: StreamId,
    },
    /// An event happened on a stream; listeners hear of it once it is durable.
    Append {
        /// The stream.
        stream: StreamId,
        /// Its place.
        index: u64,
        /// What happened.
        event: PortalEvent,
    },
    /// The money of a request has come.
    Received {
        /// The stream of the request.
        stream: StreamId,
        /// Who was asked.
        main_key: PublicKey,
        /// Its hash.
        payment_hash: [u8; 32],
        /// What came, as the wallet says.
        amount: Millisats,
        /// The request as it was sent, JSON.
        request: String,
    },
    /// A refund was begun or has ended.
    Refund {
        /// Its own stream.
        stream: StreamId,
        /// The stream of the payment.
        payment: StreamId,
        /// How much.
        amount: Millisats,
        /// Where it stands.
        state: refund::RefundState,
    },
    /// Something was learned about a peer.
    Learn(Peer),
}

/// A conversation in the form that survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its stream.
    pub stream: StreamId,
    /// Its machine.
    pub machine: &'static str,
    /// Its state, JSON.
    pub state: Vec<u8>,
    /// The index of the next event of its stream.
    pub next_index: u64,
}

/// Something to do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Seal and publish a message, one copy for each recipient.
    Publish(Outgoing),
    /// Be connected to these relays, as a peer named them, for a while.
    Connect {
        /// As given; not checked.
        relays: Vec<String>,
        /// Until then at least.
        until: Timestamp,
    },
    /// Watch the wallet for this payment.
    Watch {
        /// Its hash.
        payment_hash: [u8; 32],
        /// When its invoice was made.
        since: Timestamp,
        /// Ask the wallet now: someone claims to have paid.
        now: bool,
    },
    /// Stop watching.
    Unwatch {
        /// Its hash.
        payment_hash: [u8; 32],
    },
    /// Pay this, and say how it ended ([`Engine::paid_out`]).
    PayOut {
        /// The stream it is for.
        stream: StreamId,
        /// BOLT11.
        invoice: String,
    },
    /// A request for the person is new, or has been withdrawn.
    Inbox {
        /// Its stream.
        stream: StreamId,
        /// True when it must be shown, false when it is over.
        open: bool,
    },
    /// The conversation has ended; nothing more will happen on its stream.
    Ended(StreamId),
    /// An event was not used.
    Ignored(Refusal),
    /// A machine has panicked, in this conversation when it is known. Unless there is money in it,
    /// the conversation was ended.
    Fault(Option<StreamId>),
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The stream it belongs to: answers by `e` tag find it, and delivery is reported to it.
    pub stream: StreamId,
    /// Which message of the stream it is, where a stream has several: delivery is reported for it.
    pub part: usize,
    /// The kind.
    pub kind: u16,
    /// The keys to encrypt for, one event each.
    pub recipients: Vec<PublicKey>,
    /// The keys to name in `p` tags.
    pub mentions: Vec<PublicKey>,
    /// The event this answers.
    pub in_answer_to: Option<nostr::EventId>,
    /// The message, JSON.
    pub message: String,
    /// Where to.
    pub via: Via,
    /// Whether relays' answers are wanted ([`Engine::delivered`]).
    pub track: bool,
}

/// Which relays a message goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Our own, and those the peer named.
    Peer(Vec<String>),
    /// Exactly these (the relays of a handshake URL).
    Only(Vec<String>),
    /// Every relay that is in use now.
    Everywhere,
}
