//! The store in memory: for tests, and for apps that keep nothing.
//!
//! Batches are applied where they are handed in. With feature `testing` commits can be made to
//! fail or to wait, and a second store can open what the first one left behind.

mod schedules;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nostr::PublicKey;

use super::completion::Completion;
use super::{
    ConversationRecord, ConversationStore, Done, EventLog, IdempotencyRecord, IdempotencyStore,
    OutgoingRecord, OutgoingStatus, OutgoingStore, PaymentStore, PeerRecord, PeerStore,
    ReceivedRecord, RefundRecord, SettingStore, Spent, StorageError, Store, StreamInfo, Write,
};
use crate::event::StreamEvent;
use crate::primitives::{StreamId, Timestamp};

/// The store in memory. Its callbacks run before [`Store::commit`] returns, except those of
/// commits made by a callback: they run when it has returned, to keep the order.
#[derive(Default)]
pub struct MemoryStore {
    /// What would be on the disk; shared with stores opened by [`MemoryStore::reopen`].
    data: Arc<Mutex<Data>>,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Data {
    conversations: BTreeMap<StreamId, ConversationRecord>,
    events: BTreeMap<(StreamId, u64), StreamEvent>,
    idempotency: BTreeMap<String, IdempotencyRecord>,
    peers: BTreeMap<[u8; 32], PeerRecord>,
    outgoing: BTreeMap<[u8; 32], OutgoingRecord>,
    received: BTreeMap<StreamId, ReceivedRecord>,
    /// By payment, then by their own stream.
    refunds: BTreeMap<(StreamId, StreamId), RefundRecord>,
    settings: BTreeMap<String, Vec<u8>>,
    schedules: schedules::Schedules,
}

#[derive(Default)]
struct Desk {
    closed: bool,
    /// Someone runs callbacks; whoever comes meanwhile leaves theirs in `finished`.
    running: bool,
    held: bool,
    failures: u32,
    waiting: VecDeque<(Vec<Write>, Completion)>,
    finished: VecDeque<(Completion, Result<(), StorageError>)>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies what waits, unless commits are held, and runs the callbacks in order.
    fn work(&self) {
        let mut desk = lock(&self.desk);
        while !desk.held
            && let Some((batch, completion)) = desk.waiting.pop_front()
        {
            let outcome = if desk.failures > 0 {
                desk.failures -= 1;
                Err(ordered_failure())
            } else {
                lock(&self.data).apply(batch)
            };
            desk.finished.push_back((completion, outcome));
        }
        if desk.running {
            return;
        }
        desk.running = true;
        while let Some((completion, outcome)) = desk.finished.pop_front() {
            drop(desk);
            completion.finish(outcome);
            desk = lock(&self.desk);
        }
        desk.running = false;
    }

    fn data(&self) -> Result<MutexGuard<'_, Data>, StorageError> {
        if lock(&self.desk).closed {
            return Err(StorageError::Closed);
        }
        Ok(lock(&self.data))
    }
}

/// Faults to order.
#[cfg(feature = "testing")]
impl MemoryStore {
    /// The next `count` commits fail with [`StorageError::Backend`] and leave nothing.
    pub fn fail_next(&self, count: u32) {
        lock(&self.desk).failures = count;
    }

    /// Holds commits back: they are neither applied nor acknowledged until
    /// [`MemoryStore::release`].
    pub fn hold(&self) {
        lock(&self.desk).held = true;
    }

    /// Lets the commits that were held, and all later ones, through.
    pub fn release(&self) {
        lock(&self.desk).held = false;
        self.work();
    }

    /// How many commits are held.
    #[must_use]
    pub fn held(&self) -> usize {
        lock(&self.desk).waiting.len()
    }

    /// Dies as a killed process does: what is held is lost and no callback runs any more. The
    /// store is closed; [`MemoryStore::reopen`] shows what had become durable.
    pub fn kill(&self) {
        let mut desk = lock(&self.desk);
        desk.closed = true;
        let waiting = std::mem::take(&mut desk.waiting);
        let finished = std::mem::take(&mut desk.finished);
        drop(desk);
        waiting.into_iter().for_each(|(_, completion)| completion.forget());
        finished.into_iter().for_each(|(completion, _)| completion.forget());
    }

    /// A new store over what this one has made durable, as after a restart.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { data: Arc::clone(&self.data), desk: Mutex::default() }
    }
}

impl Data {
    fn apply(&mut self, batch: Vec<Write>) -> Result<(), StorageError> {
        self.check(&batch)?;
        for write in batch {
            match write {
                Write::PutConversation(record) => {
                    self.conversations.insert(record.stream, record);
                }
                Write::RemoveConversation(stream) => {
                    self.conversations.remove(&stream);
                }
                Write::Append(event) => {
                    self.events.insert((event.stream, event.index), event);
                }
                Write::PutPeer(mut record) => {
                    let key = record.main_key.to_bytes();
                    if let Some(known) = self.peers.remove(&key) {
                        if record.subkeys.is_empty() {
                            record.subkeys = known.subkeys;
                        }
                        if record.relays.is_empty() {
                            record.relays = known.relays;
                        }
                    }
                    self.peers.insert(key, record);
                }
                Write::PutIdempotency(record) => {
                    self.idempotency.insert(record.key.clone(), record);
                }
                Write::PutOutgoing(record) => {
                    self.outgoing.insert(record.payment_hash, record);
                }
                Write::PutReceived(record) => {
                    self.received.insert(record.stream, record);
                }
                Write::PutRefund(record) => {
                    self.refunds.insert((record.payment, record.stream), record);
                }
                Write::PutSetting { name, value } => {
                    self.settings.insert(name, value);
                }
                Write::RemoveSetting { name } => {
                    self.settings.remove(&name);
                }
                write @ (Write::PutSchedule(_)
                | Write::RemoveSchedule(_)
                | Write::PutCharge(_)
                | Write::PutAuthorization(_)) => self.schedules.apply(write),
            }
        }
        Ok(())
    }

    /// Looks for conflicts, also within the batch, before anything changes.
    fn check(&self, batch: &[Write]) -> Result<(), StorageError> {
        let mut places = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for write in batch {
            match write {
                Write::Append(StreamEvent { stream, index, .. }) => {
                    let place = (*stream, *index);
                    if self.events.contains_key(&place) || !places.insert(place) {
                        let what = format!("event {index} of {stream}");
                        return Err(StorageError::Conflict { what });
                    }
                }
                Write::PutIdempotency(IdempotencyRecord { key, .. }) => {
                    if self.idempotency.contains_key(key) || !keys.insert(key) {
                        let what = "idempotency key".to_owned();
                        return Err(StorageError::Conflict { what });
                    }
                }
                Write::PutConversation(_)
                | Write::RemoveConversation(_)
                | Write::PutPeer(_)
                | Write::PutOutgoing(_)
                | Write::PutSchedule(_)
                | Write::RemoveSchedule(_)
                | Write::PutCharge(_)
                | Write::PutAuthorization(_)
                | Write::PutReceived(_)
                | Write::PutRefund(_)
                | Write::PutSetting { .. }
                | Write::RemoveSetting { .. } => {}
            }
        }
        self.schedules.check(batch)
    }

    fn prune(&mut self, before: Timestamp) -> usize {
        let ended = self.schedules.prune(before);
        let rows = self.events.len() + self.idempotency.len();
        let mut newest: BTreeMap<StreamId, u64> = BTreeMap::new();
        for event in self.events.values() {
            let at = newest.entry(event.stream).or_default();
            *at = (*at).max(event.at_millis);
        }
        let bound = before.as_secs().saturating_mul(1000);
        newest.retain(|stream, at| self.is_open(*stream) || *at >= bound);
        self.events.retain(|(stream, _), _| newest.contains_key(stream));
        self.idempotency.retain(|_, record| record.at >= before);
        ended + rows - self.events.len() - self.idempotency.len()
    }

    fn is_open(&self, stream: StreamId) -> bool {
        self.conversations.contains_key(&stream) || self.schedules.is_open(stream)
    }
}

#[async_trait]
impl ConversationStore for MemoryStore {
    async fn conversations(&self) -> Result<Vec<ConversationRecord>, StorageError> {
        Ok(self.data()?.conversations.values().cloned().collect())
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    async fn events(
        &self,
        stream: StreamId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StreamEvent>, StorageError> {
        let first = match after {
            None => 0,
            Some(u64::MAX) => return Ok(Vec::new()),
            Some(after) => after + 1,
        };
        let data = self.data()?;
        let range = data.events.range((stream, first)..=(stream, u64::MAX));
        Ok(range.take(limit).map(|(_, event)| event.clone()).collect())
    }

    async fn stream(&self, stream: StreamId) -> Result<Option<StreamInfo>, StorageError> {
        let data = self.data()?;
        let last = data.events.range((stream, 0)..=(stream, u64::MAX)).next_back();
        let last = last.map(|((_, index), _)| *index);
        let open = data.is_open(stream);
        let events = last.map_or(0, |last| last.saturating_add(1));
        Ok((last.is_some() || open).then_some(StreamInfo { events, open }))
    }
}

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn idempotency(&self, key: &str) -> Result<Option<IdempotencyRecord>, StorageError> {
        Ok(self.data()?.idempotency.get(key).cloned())
    }
}

#[async_trait]
impl PeerStore for MemoryStore {
    async fn peer(&self, main_key: PublicKey) -> Result<Option<PeerRecord>, StorageError> {
        Ok(self.data()?.peers.get(main_key.as_bytes()).cloned())
    }
}

#[async_trait]
impl OutgoingStore for MemoryStore {
    async fn outgoing(
        &self,
        payment_hash: [u8; 32],
    ) -> Result<Option<OutgoingRecord>, StorageError> {
        Ok(self.data()?.outgoing.get(&payment_hash).cloned())
    }

    async fn pending_outgoing(&self) -> Result<Vec<OutgoingRecord>, StorageError> {
        let data = self.data()?;
        let pending = |record: &&OutgoingRecord| record.status == OutgoingStatus::Pending;
        let mut records: Vec<_> = data.outgoing.values().filter(pending).cloned().collect();
        records.sort_by_key(|record| record.at);
        Ok(records)
    }
}

#[async_trait]
impl PaymentStore for MemoryStore {
    async fn received(&self, stream: StreamId) -> Result<Option<ReceivedRecord>, StorageError> {
        Ok(self.data()?.received.get(&stream).cloned())
    }

    async fn refunds(&self, payment: StreamId) -> Result<Vec<RefundRecord>, StorageError> {
        let data = self.data()?;
        let of_payment = data.refunds.values().filter(|refund| refund.payment == payment);
        Ok(of_payment.cloned().collect())
    }

    async fn spent_since(
        &self,
        since: Timestamp,
        payee: Option<[u8; 33]>,
    ) -> Result<Spent, StorageError> {
        let data = self.data()?;
        let recent = data.outgoing.values().filter(|record| record.at >= since);
        Ok(recent.fold(Spent::default(), |spent, record| {
            spent.with(record.spent(), payee.is_some() && record.payee == payee)
        }))
    }
}

#[async_trait]
impl SettingStore for MemoryStore {
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.data()?.settings.get(name).cloned())
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn commit(&self, batch: Vec<Write>, done: Done) {
        let completion = Completion::new(done);
        let mut desk = lock(&self.desk);
        if desk.closed {
            drop(desk);
            completion.finish(Err(StorageError::Closed));
            return;
        }
        desk.waiting.push_back((batch, completion));
        drop(desk);
        self.work();
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, StorageError> {
        Ok(self.data()?.prune(before) as u64)
    }

    async fn check(&self) -> Result<(), StorageError> {
        if lock(&self.desk).failures > 0 {
            return Err(ordered_failure());
        }
        self.data().map(drop)
    }

    async fn close(&self) {
        let mut desk = lock(&self.desk);
        desk.closed = true;
        desk.held = false;
        drop(desk);
        self.work();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ordered_failure() -> StorageError {
    StorageError::Backend(Arc::new(std::io::Error::other("a failure that a test ordered")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::storage::suite::StorePlace;

    #[derive(Default)]
    struct Place(MemoryStore);

    impl StorePlace for Place {
        type Store = MemoryStore;

        fn open(&self) -> MemoryStore {
            self.0.reopen()
        }
    }

    crate::store_suite!(Place::default);

    fn setting(name: &str) -> Vec<Write> {
        vec![Write::PutSetting { name: name.to_owned(), value: vec![1] }]
    }

    #[tokio::test]
    async fn ordered_failures_leave_nothing_and_then_end() {
        let store = MemoryStore::new();
        store.fail_next(1);
        assert!(matches!(store.check().await, Err(StorageError::Backend(_))));
        let failed = crate::storage::commit(&store, setting("a")).await;
        assert!(matches!(failed, Err(StorageError::Backend(_))));
        assert_eq!(store.setting("a").await.expect("reads"), None);
        crate::storage::commit(&store, setting("a")).await.expect("the fault is over");
        store.check().await.expect("well again");
    }

    #[tokio::test]
    async fn held_commits_are_invisible_until_released() {
        let store = MemoryStore::new();
        let (sender, acknowledged) = channel();
        store.hold();
        store.commit(
            setting("a"),
            Box::new(move |outcome| sender.send(outcome.is_ok()).expect("the test waits")),
        );
        assert_eq!(store.held(), 1);
        assert_eq!(store.setting("a").await.expect("reads"), None);
        assert!(acknowledged.try_recv().is_err());
        store.release();
        assert_eq!(acknowledged.try_recv(), Ok(true));
        assert_eq!(store.setting("a").await.expect("reads"), Some(vec![1]));
    }

    #[tokio::test]
    async fn a_killed_store_loses_what_was_held_and_keeps_the_rest() {
        let store = MemoryStore::new();
        crate::storage::commit(&store, setting("kept")).await.expect("commits");
        store.hold();
        store.commit(setting("lost"), Box::new(|_| panic!("a dead process calls nobody")));
        store.kill();
        let reopened = store.reopen();
        assert!(reopened.setting("kept").await.expect("reads").is_some());
        assert_eq!(reopened.setting("lost").await.expect("reads"), None);
        assert!(matches!(
            crate::storage::commit(&store, setting("x")).await,
            Err(StorageError::Closed)
        ));
    }

    #[test]
    fn a_commit_made_by_a_callback_is_acknowledged_after_it() {
        let store = Arc::new(MemoryStore::new());
        let (sender, order) = channel();
        let inner = Arc::clone(&store);
        let second = sender.clone();
        store.commit(
            setting("a"),
            Box::new(move |_| {
                inner.commit(
                    setting("b"),
                    Box::new(move |_| second.send(2).expect("the test waits")),
                );
                sender.send(1).expect("the test waits");
            }),
        );
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [1, 2]);
    }
}
