//! The port for subscriptions: on the service's side what the scheduler charges, on the client's
//! side what the person authorised.
//!
//! A stream that a schedule names is open until the schedule has ended; [`Store::prune`] takes an
//! ended schedule with its charges when it is old, and its stream after it.
//!
//! [`Store::prune`]: super::Store::prune

use async_trait::async_trait;
use nostr::PublicKey;

use super::StorageError;
use crate::primitives::{StreamId, Timestamp};

/// A subscription as the scheduler wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRecord {
    /// Its stream, which names it.
    pub stream: StreamId,
    /// Whose it is: a main key.
    pub owner: PublicKey,
    /// What the person's wallet calls it; empty before they have agreed.
    pub subscription_id: String,
    /// When it needs attention; `None` while it waits for something else.
    pub due_at: Option<Timestamp>,
    /// The stream of a request whose end it waits for.
    pub waits_for: Option<StreamId>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The state, JSON.
    pub state: Vec<u8>,
    /// The index that the next event of its stream gets.
    pub next_index: u64,
}

/// A period that was charged. There is one row for each subscription and period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRecord {
    /// The subscription.
    pub schedule: StreamId,
    /// The number of the period.
    pub period: u32,
    /// How often the person was asked before.
    pub attempt: u32,
    /// When the period was due.
    pub due: Timestamp,
    /// When the person was asked.
    pub at: Timestamp,
    /// How much, in the unit of the subscription.
    pub amount: u64,
    /// The stream of the payment.
    pub payment: StreamId,
    /// Whether the wallet has the money.
    pub paid: bool,
}

impl ChargeRecord {
    /// Whether this may take the place of what is stored for its period: a later attempt while
    /// nothing is paid, or the payment of the present one. A store refuses anything else as a
    /// conflict, so that no fault above it can charge a period twice.
    #[must_use]
    pub const fn may_replace(&self, stored: &Self) -> bool {
        !stored.paid
            && (self.attempt > stored.attempt || (self.attempt == stored.attempt && self.paid))
    }
}

/// Which schedules to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleFilter {
    /// Only those of this person.
    pub owner: Option<PublicKey>,
    /// Only those that have not ended.
    pub open: bool,
}

/// What the scheduler charges.
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// The schedule with this stream.
    async fn schedule(&self, stream: StreamId) -> Result<Option<ScheduleRecord>, StorageError>;

    /// Schedules that need attention at this moment, the longest overdue first.
    async fn due_schedules(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<ScheduleRecord>, StorageError>;

    /// When the next schedule needs attention.
    async fn next_due(&self) -> Result<Option<Timestamp>, StorageError>;

    /// Schedules that wait for the end of a request, with what they wait for: the next ones after
    /// a stream.
    async fn waiting_schedules(
        &self,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<(StreamId, StreamId)>, StorageError>;

    /// Open schedules of the subscription with this id; several people may have chosen the same.
    async fn schedules_named(
        &self,
        subscription_id: &str,
    ) -> Result<Vec<ScheduleRecord>, StorageError>;

    /// Schedules in the order of their age: the next ones after a stream.
    async fn schedules(
        &self,
        filter: ScheduleFilter,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<ScheduleRecord>, StorageError>;

    /// The periods of a schedule that were charged, newest first: the next ones below a number.
    async fn charges(
        &self,
        schedule: StreamId,
        below: Option<u32>,
        limit: usize,
    ) -> Result<Vec<ChargeRecord>, StorageError>;
}

/// A subscription that the person authorised, as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationRecord {
    /// Chosen by the person's wallet; unique on this side.
    pub subscription_id: String,
    /// Who may charge it: a main key.
    pub service: PublicKey,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The state, JSON.
    pub state: Vec<u8>,
}

/// What the person authorised.
#[async_trait]
pub trait AuthorizationStore: Send + Sync {
    /// The subscription with this id.
    async fn authorization(
        &self,
        subscription_id: &str,
    ) -> Result<Option<AuthorizationRecord>, StorageError>;

    /// All of them, in the order of their ids.
    async fn authorizations(&self) -> Result<Vec<AuthorizationRecord>, StorageError>;
}
