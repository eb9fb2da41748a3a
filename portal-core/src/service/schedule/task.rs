//! The one task of the scheduler: wakes when something is due, listens to what it waits for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::super::CLOSES;
use super::Shared;
use super::till::Heard;
use crate::driver::{Hub, Tasks};
use crate::event::{PortalEvent, StreamEvent, SubscriptionEnd};
use crate::primitives::{StreamId, Timestamp};
use crate::storage::{StorageError, Write, commit};
use crate::subscriptions::{ClockGuard, News, SchedulerError, Subscription, Turn};

/// Subscriptions that are attended to at once.
const AT_ONCE: usize = 512;
/// The clock is looked at this often at least, so that one that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// The first pause when nobody can be asked, or the store fails; it doubles.
const FIRST_HOLD: Duration = Duration::from_secs(2);
/// The longest such pause.
const LONGEST_HOLD: Duration = Duration::from_secs(120);
/// Rows in one page while it begins to listen.
const PAGE: usize = 1000;
/// Where the log of closes goes on, beside the subscriptions themselves: the next index.
const CLOSES_CURSOR: &str = "subscriptions.closes";

/// What the clock said when it was believed last: seconds.
const CLOCK_SEEN: &str = "subscriptions.clock";

/// Works until the node stops.
pub(super) async fn run(schedule: Arc<Shared>, heard: UnboundedReceiver<Heard>, tasks: Tasks) {
    let work = async {
        while let Err(error) = listen_again(&schedule).await {
            tracing::warn!(%error, "subscriptions cannot be read; they are read again");
            tokio::time::sleep(FIRST_HOLD).await;
        }
        tokio::join!(charge(&schedule), listen(&schedule, heard));
    };
    tokio::select! {
        () = work => {}
        () = tasks.stopping() => {}
    }
}

/// Charges what is due, for ever.
async fn charge(schedule: &Shared) {
    let mut guard = ClockGuard::new(schedule.settle, clock_seen(schedule).await);
    let mut hold = Hold::default();
    let begun = Instant::now();
    let mut next = Some(Timestamp::from_secs(0));
    loop {
        let now = schedule.env.now();
        let believed = guard.believes(now, begun.elapsed());
        if let Some(seen) = guard.to_save(now) {
            save_clock(schedule, seen).await;
        }
        if believed && hold.is_over() && next.is_some_and(|next| next <= now) {
            let turn = schedule.scheduler.turn(now, AT_ONCE).await;
            let more = matches!(&turn, Ok(turn) if turn.due == AT_ONCE);
            hold.after(&turn);
            if more && hold.is_over() {
                continue;
            }
            next = next_due(schedule, &mut hold).await;
        }
        let due = next.filter(|_| believed).map_or(LONGEST_SLEEP, |next| {
            let end = next.as_secs().saturating_mul(1000);
            Duration::from_millis(end.saturating_sub(schedule.env.now_millis()))
        });
        let sleep = due.max(hold.left()).max(Duration::from_millis(10)).min(LONGEST_SLEEP);
        tokio::select! {
            () = schedule.wake.notified() => next = next_due(schedule, &mut hold).await,
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// What the clock said when it was believed last, before this process.
async fn clock_seen(schedule: &Shared) -> Option<Timestamp> {
    loop {
        match schedule.scheduler.store().setting(CLOCK_SEEN).await {
            Ok(bytes) => {
                // What is not ours is as good as nothing.
                let bytes: Option<[u8; 8]> = bytes.and_then(|bytes| bytes.try_into().ok());
                return bytes.map(u64::from_be_bytes).map(Timestamp::from_secs);
            }
            Err(error) => {
                tracing::warn!(%error, "the time cannot be read; it is read again");
                tokio::time::sleep(FIRST_HOLD).await;
            }
        }
    }
}

async fn save_clock(schedule: &Shared, seen: Timestamp) {
    let value = seen.as_secs().to_be_bytes().to_vec();
    let write = Write::PutSetting { name: CLOCK_SEEN.to_owned(), value };
    // Without it the next process doubts a clock that is right, for a few minutes.
    if let Err(error) = commit(schedule.scheduler.store(), vec![write]).await {
        tracing::warn!(%error, "the time cannot be saved");
    }
}

async fn next_due(schedule: &Shared, hold: &mut Hold) -> Option<Timestamp> {
    match schedule.scheduler.store().next_due().await {
        Ok(next) => next,
        Err(error) => {
            hold.after(&Err(error));
            Some(Timestamp::from_secs(0))
        }
    }
}

/// A pause while nobody can be asked.
#[derive(Default)]
struct Hold {
    times: u32,
    until: Option<Instant>,
}

impl Hold {
    fn after(&mut self, turn: &Result<Turn, StorageError>) {
        let growing = match turn {
            Ok(turn) if turn.unavailable => true,
            // One that cannot be attended to does not keep the others waiting for long.
            Ok(turn) if turn.failed > 0 => false,
            Ok(_) => {
                *self = Self::default();
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "subscriptions cannot be read");
                true
            }
        };
        let pause = FIRST_HOLD.saturating_mul(1 << self.times.min(8)).min(LONGEST_HOLD);
        self.times = if growing { self.times.saturating_add(1) } else { 0 };
        self.until = Instant::now().checked_add(pause);
    }

    fn left(&self) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

/// Listens to everything that subscriptions waited for when the process ended.
async fn listen_again(schedule: &Shared) -> Result<(), StorageError> {
    let Some(node) = schedule.node() else { return Ok(()) };
    let store = node.store();
    let mut after = None;
    loop {
        let page = schedule.scheduler.waiting(after, PAGE).await?;
        for (stream, source) in &page {
            schedule.listen_to(&node, *stream, *source).await?;
        }
        after = page.last().map(|(stream, _)| *stream);
        if page.len() < PAGE {
            break;
        }
    }
    // After the answers, so that a close of what was agreed to meanwhile finds it.
    let next = match store.setting(CLOSES_CURSOR).await? {
        Some(bytes) => {
            let bytes: [u8; 8] = bytes
                .try_into()
                .map_err(|_| StorageError::Corrupt { what: "place in the log of closes" })?;
            u64::from_be_bytes(bytes)
        }
        None => {
            let next = store.stream(CLOSES).await?.map_or(0, |info| info.events);
            commit(store, vec![cursor(next)]).await?;
            next
        }
    };
    let ear = schedule.scheduler.till().ear_for_closes();
    node.hub().attach(store, CLOSES, next.checked_sub(1), ear).await
}

fn cursor(next: u64) -> Write {
    Write::PutSetting { name: CLOSES_CURSOR.to_owned(), value: next.to_be_bytes().to_vec() }
}

/// Takes what is heard, for ever: all that has come, at once, but in order for each subscription.
async fn listen(schedule: &Shared, mut heard: UnboundedReceiver<Heard>) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    loop {
        if heard.recv_many(&mut batch, AT_ONCE).await == 0 {
            return;
        }
        let mut groups = Groups::default();
        for one in batch.drain(..) {
            match one {
                Heard::News { schedule: stream, source, news } => {
                    groups.add(stream, source, news);
                }
                Heard::Close(event) => {
                    std::mem::take(&mut groups).tell(schedule).await;
                    again_until_done(|| close(schedule, &event)).await;
                }
            }
        }
        groups.tell(schedule).await;
        schedule.wake.notify_one();
    }
}

/// News by subscription.
#[derive(Default)]
struct Groups(std::collections::BTreeMap<StreamId, Vec<(StreamId, News)>>);

impl Groups {
    fn add(&mut self, stream: StreamId, source: StreamId, news: News) {
        self.0.entry(stream).or_default().push((source, news));
    }

    async fn tell(self, schedule: &Shared) {
        let mut work: FuturesUnordered<_> = self
            .0
            .into_iter()
            .map(|(stream, news)| async move {
                for (source, news) in news {
                    let tell = || {
                        let now = schedule.env.now();
                        schedule.scheduler.told(stream, source, &news, now)
                    };
                    again_until_done(tell).await;
                }
            })
            .collect();
        while work.next().await.is_some() {}
    }
}

/// News must not be lost: what cannot be saved now is tried again, until it can or the node stops.
async fn again_until_done<F>(mut work: impl FnMut() -> F)
where
    F: Future<Output = Result<(), SchedulerError>>,
{
    while let Err(error) = work().await {
        tracing::warn!(%error, "a subscription could not be saved; it is tried again");
        tokio::time::sleep(LONGEST_SLEEP).await;
    }
}

/// A person closed a subscription: it ends when it is theirs.
async fn close(schedule: &Shared, event: &StreamEvent) -> Result<(), SchedulerError> {
    let PortalEvent::ClosedRecurringPayment { reason, subscription_id, recipient, main_key } =
        &event.body
    else {
        return Ok(());
    };
    let store = schedule.scheduler.store();
    for record in store.schedules_named(subscription_id).await? {
        let terms = Subscription::read(&record)?.terms;
        if !terms.is_of(main_key) && !terms.is_of(recipient) {
            tracing::warn!("somebody closes a subscription that is not theirs");
            continue;
        }
        let now = schedule.env.now();
        let why = SubscriptionEnd::ByPerson;
        let ended = schedule.scheduler.cancel(record.stream, why, reason.clone(), true, now).await;
        match ended {
            Ok(_) | Err(SchedulerError::Refused(_) | SchedulerError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(commit(store, vec![cursor(event.index.saturating_add(1))]).await?)
}

impl Shared {
    /// Hears of a stream that a subscription waits for, from its beginning.
    pub(super) async fn listen_to(
        &self,
        node: &crate::driver::Node,
        stream: StreamId,
        source: StreamId,
    ) -> Result<(), StorageError> {
        let ear = self.scheduler.till().ear(stream);
        if node.store().stream(source).await?.is_none() {
            let heard = Heard::News { schedule: stream, source, news: News::Absent };
            // The task ends only with the node.
            drop(self.scheduler.till().heard.send(heard));
            return Ok(());
        }
        let hub: &Hub = node.hub();
        hub.attach(node.store(), source, None, ear).await
    }
}
