//! The saga around the machine: reads what is due, saves, asks, listens. Starts no task and never
//! reads the clock; who drives it brings the time.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Mutex, MutexGuard};

use super::journal::request_id;
use super::state::{Phase, Refused, Subscription, SubscriptionInfo};
use super::steps::{Change, Look};
use super::till::{ChargeOrder, Goodbye, Till, TillError};
use crate::env::Env;
use crate::event::{PaymentUpdate, PortalEvent, SubscriptionEnd};
use crate::primitives::{StreamId, Timestamp};
use crate::protocol::subscription::RecurringStatus;
use crate::storage::schedule::ScheduleRecord;
use crate::storage::{StorageError, Store};

/// Locks shared by all subscriptions: two changes of one never meet, and two subscriptions rarely
/// wait for each other.
const LOCKS: usize = 1024;
/// Changes of one subscription by several at once that are tried again.
const MOST_CONFLICTS: usize = 8;

/// What happened to something that a subscription waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The person answered the request to agree.
    Answered(RecurringStatus),
    /// A payment moved.
    Payment(PaymentUpdate),
    /// The stream ended.
    Ended,
    /// There is no such stream.
    Absent,
}

impl News {
    /// What an event of a stream that is waited for says, if it says anything here.
    #[must_use]
    pub fn of(event: &PortalEvent) -> Option<Self> {
        match event {
            PortalEvent::RecurringPaymentResponse { status } => {
                Some(Self::Answered(status.status.clone()))
            }
            PortalEvent::PaymentStatusUpdate { status } => Some(Self::Payment(status.clone())),
            _ => None,
        }
    }
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Subscriptions that were due.
    pub due: usize,
    /// People who were asked to pay.
    pub charged: usize,
    /// Subscriptions that could not be attended to, and will be looked at again.
    pub failed: usize,
    /// Whether nobody can be asked for now, so that there should be a pause.
    pub unavailable: bool,
}

/// Why a subscription did not do as told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SchedulerError {
    /// There is no such subscription.
    #[error("there is no such subscription")]
    NotFound,
    /// It is not in a state for that.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The person cannot be told.
    #[error(transparent)]
    Till(#[from] TillError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Charges subscriptions.
pub struct Scheduler<T> {
    env: Env,
    store: Arc<dyn Store>,
    till: T,
    locks: Box<[Mutex<()>]>,
}

impl<T: Till> Scheduler<T> {
    /// A scheduler over this store; `env` makes ids and reads the milliseconds of events.
    pub fn new(env: Env, store: Arc<dyn Store>, till: T) -> Self {
        let locks = std::iter::repeat_with(|| Mutex::new(())).take(LOCKS).collect();
        Self { env, store, till, locks }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Who asks people for money.
    pub const fn till(&self) -> &T {
        &self.till
    }

    /// Does what is due at this moment, for at most `limit` subscriptions, all at once. Call it
    /// again while [`Turn::due`] is not zero and nothing is unavailable.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Charges that were begun are whole or not at all.
    pub async fn turn(&self, now: Timestamp, limit: usize) -> Result<Turn, StorageError> {
        let due = self.store.due_schedules(now, limit).await?;
        let mut turn = Turn { due: due.len(), ..Turn::default() };
        let mut work: FuturesUnordered<_> =
            due.into_iter().map(|record| self.attend(record, now)).collect();
        while let Some(outcome) = work.next().await {
            match outcome {
                Ok(true) => turn.charged = turn.charged.saturating_add(1),
                Ok(false) => {}
                Err(SchedulerError::Till(TillError::Unavailable { reason })) => {
                    tracing::debug!(%reason, "subscriptions wait");
                    turn.unavailable = true;
                }
                Err(error) => {
                    tracing::warn!(%error, "a subscription could not be attended to");
                    turn.failed = turn.failed.saturating_add(1);
                }
            }
        }
        Ok(turn)
    }

    /// Whether the person was asked to pay.
    ///
    /// The row as it was found will do, although somebody may have changed it since: whatever is
    /// done about a subscription that is due appends an event, and the store refuses one whose
    /// place is taken. It is read again only then, and when it was not yet agreed to, which is the
    /// one case that may be saved without an event.
    pub(super) async fn attend(
        &self,
        record: ScheduleRecord,
        now: Timestamp,
    ) -> Result<bool, SchedulerError> {
        let stream = record.stream;
        let _lock = self.lock(stream).await;
        let mut found = Some(Subscription::read(&record)?);
        loop {
            let subscription = match found.take() {
                Some(found) if !matches!(found.phase, Phase::Proposed { .. }) => Some(found),
                _ => self.load(stream).await?,
            };
            let Some(mut subscription) = subscription else { return Ok(false) };
            if let Phase::Proposed { request, .. } = subscription.phase {
                if subscription.due_at().is_some_and(|at| at <= now) {
                    self.proposal_overdue(subscription, request, now).await?;
                }
                return Ok(false);
            }
            match subscription.look(now) {
                Look::Nothing => return Ok(false),
                Look::Moved(change) => match self.save(subscription, change).await {
                    Ok(saved) => found = Some(saved),
                    Err(SchedulerError::Storage(StorageError::Conflict { .. })) => {}
                    Err(error) => return Err(error),
                },
                Look::Charge { .. } => return self.charge(subscription, now).await,
            }
        }
    }

    async fn charge(
        &self,
        mut subscription: Subscription,
        now: Timestamp,
    ) -> Result<bool, SchedulerError> {
        let before = subscription.clone();
        let payment = self.env.stream_id();
        let change = subscription.charge_begun(payment, now);
        let Some(charged) = change.charge else { return Ok(false) };
        let terms = &subscription.terms;
        let order = ChargeOrder {
            schedule: subscription.stream,
            payment,
            request_id: request_id(
                subscription.stream,
                charged.charge.period,
                charged.charge.attempt,
            ),
            owner: terms.owner,
            subkeys: terms.subkeys.clone(),
            subscription_id: terms.subscription_id.clone(),
            amount: charged.charge.amount,
            currency: terms.currency.clone(),
            description: terms.description.clone(),
            auth_token: terms.auth_token.clone(),
        };
        let writes = subscription.writes(change, self.env.now_millis());
        match self.till.charge(order, writes).await {
            Ok(()) => Ok(true),
            // Somebody else was faster: what they did is in the store.
            Err(TillError::Storage(StorageError::Conflict { .. })) => Ok(false),
            Err(TillError::Refused { reason }) => {
                let mut subscription = before;
                let change = subscription.charge_postponed(reason, now);
                match self.save(subscription, change).await {
                    Ok(_) | Err(SchedulerError::Storage(StorageError::Conflict { .. })) => {
                        Ok(false)
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Nobody said what became of a proposal, and it should be known: the log says.
    async fn proposal_overdue(
        &self,
        mut subscription: Subscription,
        request: StreamId,
        now: Timestamp,
    ) -> Result<(), SchedulerError> {
        if self.store.stream(request).await?.is_some_and(|info| info.open) {
            // It ends with its own deadline; looked at again soon, by a clock that may have jumped.
            subscription.phase = Phase::Proposed { request, expires_at: now };
            let change = Change::default();
            return self.save(subscription, change).await.map(drop);
        }
        let change = match self.answer_in_log(request).await? {
            Some(answer) => subscription.answered(&answer, now),
            None => subscription.unanswered(),
        };
        self.save(subscription, change).await.map(drop)
    }

    async fn answer_in_log(
        &self,
        request: StreamId,
    ) -> Result<Option<RecurringStatus>, StorageError> {
        let log = self.store.events(request, None, 16).await?;
        Ok(log.iter().find_map(|event| match News::of(&event.body) {
            Some(News::Answered(status)) => Some(status),
            _ => None,
        }))
    }

    /// Something that a subscription waits for moved: the event of the stream `source`. What is no
    /// news changes nothing, so a log may be told again from its beginning.
    ///
    /// # Errors
    /// When it cannot be saved; tell it again.
    ///
    /// # Cancel safety
    /// Tell it again when it was dropped.
    pub async fn told(
        &self,
        stream: StreamId,
        source: StreamId,
        news: &News,
        now: Timestamp,
    ) -> Result<(), SchedulerError> {
        let told = |subscription: &mut Subscription| match (subscription.phase, news) {
            (Phase::Proposed { request, .. }, _) if request != source => None,
            (Phase::Proposed { .. }, News::Answered(answer)) => {
                Some(subscription.answered(answer, now))
            }
            (Phase::Proposed { .. }, News::Ended | News::Absent) => Some(subscription.unanswered()),
            (_, News::Payment(update)) => subscription.heard(source, update, now),
            (_, News::Ended) => subscription.charge_ended(source, now),
            // A request is saved with its charge, so its log was there and is gone.
            (_, News::Absent) => subscription.charge_lost(source, now),
            (_, News::Answered(_)) => None,
        };
        match self.change(stream, |subscription| Ok(told(subscription))).await {
            Ok(_) | Err(SchedulerError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Subscriptions that wait for a stream, with that stream: whoever starts listens to them. The
    /// next ones after a subscription.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn waiting(
        &self,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<(StreamId, StreamId)>, StorageError> {
        self.store.waiting_schedules(after, limit).await
    }

    /// A new subscription that the person agreed to already.
    ///
    /// # Errors
    /// When it cannot be saved.
    ///
    /// # Cancel safety
    /// It may be saved also when the future is dropped.
    pub async fn begin(
        &self,
        subscription: Subscription,
        change: Change,
    ) -> Result<SubscriptionInfo, SchedulerError> {
        let _lock = self.lock(subscription.stream).await;
        Ok(self.save(subscription, change).await?.info())
    }

    /// Nothing is charged until it is resumed.
    ///
    /// # Errors
    /// When there is none, it has ended, or it cannot be saved.
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn pause(&self, stream: StreamId) -> Result<SubscriptionInfo, SchedulerError> {
        self.change(stream, |subscription| Ok(Some(subscription.pause()?))).await
    }

    /// It is charged again.
    ///
    /// # Errors
    /// As [`Scheduler::pause`].
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn resume(
        &self,
        stream: StreamId,
        now: Timestamp,
    ) -> Result<SubscriptionInfo, SchedulerError> {
        self.change(stream, |subscription| Ok(Some(subscription.resume(now)?))).await
    }

    /// Each later charge is for this amount.
    ///
    /// # Errors
    /// As [`Scheduler::pause`], or when the amount cannot be.
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn change_amount(
        &self,
        stream: StreamId,
        amount: u64,
        prorate: bool,
        now: Timestamp,
    ) -> Result<SubscriptionInfo, SchedulerError> {
        let change = |subscription: &mut Subscription| {
            Ok(Some(subscription.change_amount(amount, prorate, now)?))
        };
        self.change(stream, change).await
    }

    /// There will be no more charges. Without an open charge it is closed at once. `quietly`: the
    /// person is told by somebody else.
    ///
    /// # Errors
    /// As [`Scheduler::pause`].
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn cancel(
        &self,
        stream: StreamId,
        why: SubscriptionEnd,
        reason: Option<String>,
        quietly: bool,
        now: Timestamp,
    ) -> Result<SubscriptionInfo, SchedulerError> {
        let cancel = |subscription: &mut Subscription| {
            let mut change = subscription.cancel(why, reason.clone(), now)?;
            change.goodbye &= !quietly;
            Ok(Some(change))
        };
        self.change(stream, cancel).await
    }

    /// One subscription.
    ///
    /// # Errors
    /// When there is none, or the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn get(&self, stream: StreamId) -> Result<SubscriptionInfo, SchedulerError> {
        Ok(self.load(stream).await?.ok_or(SchedulerError::NotFound)?.info())
    }

    /// Changes a subscription as it is now; tried again when somebody else changed it meanwhile.
    async fn change(
        &self,
        stream: StreamId,
        change: impl Fn(&mut Subscription) -> Result<Option<Change>, Refused>,
    ) -> Result<SubscriptionInfo, SchedulerError> {
        let _lock = self.lock(stream).await;
        let mut conflicts: usize = 0;
        loop {
            let mut subscription = self.load(stream).await?.ok_or(SchedulerError::NotFound)?;
            let before = subscription.clone();
            let Some(change) = change(&mut subscription)? else { return Ok(subscription.info()) };
            if subscription == before && !change.gone {
                return Ok(subscription.info());
            }
            match self.save(subscription, change).await {
                Ok(saved) => return Ok(saved.info()),
                Err(SchedulerError::Storage(StorageError::Conflict { .. }))
                    if conflicts < MOST_CONFLICTS =>
                {
                    conflicts = conflicts.saturating_add(1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn load(&self, stream: StreamId) -> Result<Option<Subscription>, StorageError> {
        self.store.schedule(stream).await?.as_ref().map(Subscription::read).transpose()
    }

    async fn save(
        &self,
        mut subscription: Subscription,
        change: Change,
    ) -> Result<Subscription, SchedulerError> {
        let goodbye = change.goodbye.then(|| Goodbye {
            owner: subscription.terms.owner,
            subkeys: subscription.terms.subkeys.clone(),
            subscription_id: subscription.terms.subscription_id.clone(),
        });
        let writes = subscription.writes(change, self.env.now_millis());
        let saved = match goodbye {
            Some(goodbye) => self.till.goodbye(goodbye, writes).await.map(drop),
            None => self.till.save(writes).await,
        };
        match saved {
            Ok(()) => Ok(subscription),
            Err(TillError::Storage(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn lock(&self, stream: StreamId) -> MutexGuard<'_, ()> {
        // Ids begin with the time; their end is random.
        let bytes = stream.as_uuid().into_bytes();
        let number = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        self.locks[number % LOCKS].lock().await
    }
}

impl<T> std::fmt::Debug for Scheduler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scheduler")
    }
}
