//! The port to durable memory: open conversations, the log of events, idempotency keys, peers,
//! payments that leave, payments that came and what of them was given back.
//!
//! Writes go through [`Store::commit`]: a batch is written whole or not at all, batches become
//! durable in the order they were handed in, and `done` runs when the batch is durable (that is
//! where effects are released: save, then act). The SQLite implementation gathers batches that
//! wait while a commit is under way into one transaction, and does not wait when it is idle.
//!
//! Reads are small async traits by domain. "Not there" is `None`, not an error.

mod completion;
pub mod memory;
mod payments;
pub(crate) mod private_file;
pub mod schedule;
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod suite;

use async_trait::async_trait;
use nostr::PublicKey;
use serde::{Deserialize, Serialize};

pub use payments::{PaymentStore, ReceivedRecord, RefundRecord, Spent};

use crate::event::StreamEvent;
use crate::primitives::{ErrorCode, Millisats, StreamId, Timestamp};

/// One change. A batch of them is atomic.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Inserts or replaces an open conversation.
    PutConversation(ConversationRecord),
    /// Forgets a conversation that has ended; its events stay. No error when it is not there.
    RemoveConversation(StreamId),
    /// Appends to the log. `(stream, index)` is unique: a second append of the same place is an
    /// error of the whole batch.
    Append(StreamEvent),
    /// Inserts what is known of a peer, or adds to it: an empty list leaves the stored one.
    PutPeer(PeerRecord),
    /// Inserts an idempotency key; an error of the whole batch when it is there already.
    PutIdempotency(IdempotencyRecord),
    /// Inserts or replaces a payment that leaves the wallet, by its payment hash.
    PutOutgoing(OutgoingRecord),
    /// Inserts or replaces a subscription that the scheduler charges, by its stream.
    PutSchedule(schedule::ScheduleRecord),
    /// Forgets such a subscription and its charges. No error when it is not there.
    RemoveSchedule(StreamId),
    /// Inserts a charge, or replaces an earlier attempt of the same period; an error of the whole
    /// batch when [`may_replace`](schedule::ChargeRecord::may_replace) says no.
    PutCharge(schedule::ChargeRecord),
    /// Inserts or replaces a subscription that the person authorised, by its id.
    PutAuthorization(schedule::AuthorizationRecord),
    /// Inserts or replaces a payment that came, by its stream.
    PutReceived(ReceivedRecord),
    /// Inserts or replaces a refund, by its stream.
    PutRefund(RefundRecord),
    /// Inserts or replaces a named value.
    PutSetting {
        /// The name.
        name: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Forgets a named value.
    RemoveSetting {
        /// The name.
        name: String,
    },
}

/// An open conversation as its machine wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRecord {
    /// Its stream.
    pub stream: StreamId,
    /// Which machine: a stable word.
    pub machine: String,
    /// The machine's state, JSON.
    pub state: Vec<u8>,
    /// The index that the next event of its stream gets.
    pub next_index: u64,
}

/// What is known of another party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Its main key.
    pub main_key: PublicKey,
    /// Keys that proved to be its subkeys, newest last, at most 8.
    pub subkeys: Vec<PublicKey>,
    /// Relays it said it listens on, as given.
    pub relays: Vec<String>,
    /// When this was last confirmed.
    pub seen_at: Timestamp,
}

/// The first use of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The caller's key.
    pub key: String,
    /// A hash of the command it was used with.
    pub command_hash: [u8; 32],
    /// The stream that the command opened, when it opened one.
    pub stream: Option<StreamId>,
    /// The answer, JSON, for a command that is done at once.
    pub answer: Option<String>,
    /// When it was used.
    pub at: Timestamp,
}

/// A payment that leaves the wallet: written before the wallet is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The payment hash, 32 bytes.
    pub payment_hash: [u8; 32],
    /// BOLT11.
    pub invoice: String,
    /// What it costs without fees.
    pub amount: Millisats,
    /// Where it stands.
    pub status: OutgoingStatus,
    /// When it was asked for, the last time that it was handed to the wallet.
    pub at: Timestamp,
    /// The node that is paid: its public key, compressed.
    pub payee: Option<[u8; 33]>,
    /// The most that may be paid on top.
    pub max_fee: Millisats,
    /// How often it was handed to the wallet: more than once only after a refusal, or a failure
    /// that was explicitly retried.
    pub attempt: u32,
}

impl OutgoingRecord {
    /// Whether its outcome is not known.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.status == OutgoingStatus::Pending
    }

    /// What it has cost, or may still cost.
    #[must_use]
    pub fn spent(&self) -> Millisats {
        let fee = match &self.status {
            OutgoingStatus::Pending => self.max_fee,
            OutgoingStatus::Settled { fee, .. } => *fee,
            OutgoingStatus::Refused { .. } | OutgoingStatus::Failed { .. } => {
                return Millisats::new(0);
            }
        };
        self.amount.checked_add(fee).unwrap_or(Millisats::new(u64::MAX))
    }
}

/// Where an outgoing payment stands. Everything that is not known is `Pending`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum OutgoingStatus {
    /// Asked for, or asked for with an outcome nobody knows yet.
    Pending,
    /// The wallet paid.
    Settled {
        /// 64 hex digits.
        preimage: String,
        /// What it cost on top.
        fee: Millisats,
    },
    /// The wallet did not take the payment (too little in it, a budget): nothing was sent, and it
    /// may be asked again.
    Refused {
        /// For people.
        reason: String,
    },
    /// The wallet said for certain that it did not and will not pay.
    Failed {
        /// For people.
        reason: String,
    },
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The number of events so far.
    pub events: u64,
    /// Whether its conversation is open.
    pub open: bool,
}

/// Runs when a batch is durable, or with the error that kept all of it out. Called on the writer's
/// thread, in the order of the batches; must be quick.
pub type Done = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// Open conversations.
#[async_trait]
pub trait ConversationStore: Send + Sync {
    /// All open conversations, oldest first.
    async fn conversations(&self) -> Result<Vec<ConversationRecord>, StorageError>;
}

/// The log of events.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Events of a stream with an index above `after` (from the first when `None`), in order.
    async fn events(
        &self,
        stream: StreamId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StreamEvent>, StorageError>;

    /// Where a stream stands; `None` when there never was one, or it was pruned.
    async fn stream(&self, stream: StreamId) -> Result<Option<StreamInfo>, StorageError>;
}

/// Idempotency keys.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// The first use of a key.
    async fn idempotency(&self, key: &str) -> Result<Option<IdempotencyRecord>, StorageError>;
}

/// Peers.
#[async_trait]
pub trait PeerStore: Send + Sync {
    /// What is known of a main key.
    async fn peer(&self, main_key: PublicKey) -> Result<Option<PeerRecord>, StorageError>;
}

/// Payments that leave the wallet.
#[async_trait]
pub trait OutgoingStore: Send + Sync {
    /// The payment with this hash.
    async fn outgoing(
        &self,
        payment_hash: [u8; 32],
    ) -> Result<Option<OutgoingRecord>, StorageError>;

    /// All that are pending, oldest first.
    async fn pending_outgoing(&self) -> Result<Vec<OutgoingRecord>, StorageError>;
}

/// Named values.
#[async_trait]
pub trait SettingStore: Send + Sync {
    /// A named value.
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError>;
}

/// Everything that is kept, behind one writer.
#[async_trait]
pub trait Store:
    ConversationStore
    + EventLog
    + IdempotencyStore
    + PeerStore
    + OutgoingStore
    + PaymentStore
    + SettingStore
    + schedule::ScheduleStore
    + schedule::AuthorizationStore
{
    /// Hands in a batch; returns at once.
    fn commit(&self, batch: Vec<Write>, done: Done);

    /// Forgets ended streams whose last event is older than `before` (whole, so that a log never
    /// has a gap), and idempotency keys older than it; returns how many rows went.
    async fn prune(&self, before: Timestamp) -> Result<u64, StorageError>;

    /// Whether the store can read and write now.
    async fn check(&self) -> Result<(), StorageError>;

    /// Writes what was handed in, then closes. Later batches are refused. Idempotent.
    async fn close(&self);
}

/// Hands in a batch and waits until it is durable.
///
/// # Errors
/// What kept the batch out.
///
/// # Cancel safety
/// The batch is written also when the future is dropped.
pub async fn commit(store: &dyn Store, batch: Vec<Write>) -> Result<(), StorageError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    store.commit(
        batch,
        Box::new(move |result| {
            // The caller may have gone; the batch stands all the same.
            drop(sender.send(result));
        }),
    );
    receiver.await.unwrap_or(Err(StorageError::Closed))
}

impl StorageError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::TooNew { .. } => ErrorCode::StorageTooNew,
            Self::Closed => ErrorCode::ShuttingDown,
            Self::Conflict { .. } | Self::InUse | Self::Corrupt { .. } | Self::Backend(_) => {
                ErrorCode::StorageFailed
            }
        }
    }
}

/// Why the store did not do as told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// Something unique was there already.
    #[error("already stored: {what}")]
    Conflict {
        /// What was there.
        what: String,
    },
    /// The database was written by a newer version of Portal.
    #[error("the database has schema version {found}, this program knows up to {known}")]
    TooNew {
        /// The version in the file.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// A stored value cannot be read back.
    #[error("a stored {what} cannot be read")]
    Corrupt {
        /// Which kind of value.
        what: &'static str,
    },
    /// Another process uses the database.
    #[error("the database is in use by another process")]
    InUse,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The database failed.
    #[error("the database failed")]
    Backend(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
}
