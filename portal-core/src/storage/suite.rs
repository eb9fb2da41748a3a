//! What every store must do: one list of tests, run by each backend with `store_suite!`.
//!
//! The functions panic where a store breaks its word. They prove nothing about speed, nor about
//! the death of a process; the backends' own tests and the kill runs do.

mod schedules;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nostr::PublicKey;
use uuid::Uuid;

use super::{
    ConversationRecord, ConversationStore, EventLog, IdempotencyRecord, IdempotencyStore,
    OutgoingRecord, OutgoingStatus, OutgoingStore, PaymentStore, PeerRecord, PeerStore,
    ReceivedRecord, RefundRecord, SettingStore, StorageError, Store, StreamInfo, Write, commit,
};
pub use schedules::*;

use crate::conversation::refund::RefundState;
use crate::event::{PaymentUpdate, PortalEvent, StreamEvent};
use crate::primitives::{ErrorCode, Millisats, StreamId, Timestamp};

/// A place where stores can be opened one after another and find what the last one left.
pub trait StorePlace {
    /// The store under test.
    type Store: Store + 'static;

    /// Opens the store of this place.
    fn open(&self) -> Self::Store;
}

/// Turns the list of the suite into tests. Takes an expression to call that makes a fresh
/// [`StorePlace`].
#[macro_export]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::store_suite!(@tests $make;
            what_was_never_written_is_none,
            every_record_reads_back_as_written,
            every_event_reads_back_as_written,
            records_are_replaced,
            events_are_read_in_pages,
            a_stream_tells_its_events_and_whether_it_is_open,
            an_empty_batch_is_acknowledged,
            a_conflict_leaves_nothing_of_its_batch,
            a_batch_that_conflicts_with_itself_leaves_nothing,
            batches_beside_a_conflict_stand,
            callbacks_run_once_in_the_order_of_the_batches,
            a_panicking_callback_harms_nobody,
            what_was_acknowledged_is_read_at_once,
            many_writers_lose_nothing,
            prune_takes_whole_old_ended_streams_and_old_keys,
            prune_walks_through_many_streams,
            pending_payments_come_oldest_first,
            what_came_and_goes_back_is_kept,
            what_was_spent_is_summed_by_time_and_payee,
            extreme_numbers_are_survived,
            a_working_store_says_so,
            a_closed_store_refuses_everything,
            close_writes_what_was_handed_in,
            dropping_writes_what_was_handed_in,
            reopening_restores_conversations_by_age,
            schedules_read_back_as_written,
            due_schedules_come_the_longest_overdue_first,
            a_period_is_charged_once,
            a_stream_is_open_while_its_schedule_is,
            ended_schedules_are_pruned_with_their_charges,
            schedules_are_found_by_owner_name_and_what_they_wait_for,
            authorizations_read_back_as_written,
        );
    };
    (@tests $make:expr; $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let place = ($make)();
                let limit = ::std::time::Duration::from_secs(120);
                ::tokio::time::timeout(limit, $crate::storage::suite::$name(&place))
                    .await
                    .expect("the store answers in time");
            }
        )+
    };
}

/// Absent things are `None` or empty.
pub async fn what_was_never_written_is_none(place: &impl StorePlace) {
    let store = place.open();
    assert_eq!(store.conversations().await.expect("reads"), []);
    assert_eq!(store.events(stream(1), None, 10).await.expect("reads"), []);
    assert_eq!(store.stream(stream(1)).await.expect("reads"), None);
    assert_eq!(store.idempotency("").await.expect("reads"), None);
    assert_eq!(store.peer(public_key(1)).await.expect("reads"), None);
    assert_eq!(store.outgoing([1; 32]).await.expect("reads"), None);
    assert_eq!(store.pending_outgoing().await.expect("reads"), []);
    assert_eq!(store.setting("name").await.expect("reads"), None);
    let nothing = vec![
        Write::RemoveConversation(stream(1)),
        Write::RemoveSetting { name: "name".to_owned() },
    ];
    commit(&store, nothing).await.expect("removing what is not there is no error");
}

/// All kinds of records keep all their members.
pub async fn every_record_reads_back_as_written(place: &impl StorePlace) {
    let store = place.open();
    let open = conversation(1, 3);
    let peer = peer(1);
    let bare_peer = PeerRecord { subkeys: vec![], relays: vec![], ..self::peer(2) };
    let key = idempotency("key", 5);
    let bare_key = IdempotencyRecord { stream: None, answer: None, ..idempotency("", 6) };
    let batch = vec![
        Write::PutConversation(open.clone()),
        Write::PutPeer(peer.clone()),
        Write::PutPeer(bare_peer.clone()),
        Write::PutIdempotency(key.clone()),
        Write::PutIdempotency(bare_key.clone()),
        Write::PutSetting { name: "ü".to_owned(), value: vec![0, 255] },
        Write::PutSetting { name: "empty".to_owned(), value: vec![] },
    ];
    commit(&store, batch).await.expect("commits");
    assert_eq!(store.conversations().await.expect("reads"), [open]);
    assert_eq!(store.peer(public_key(1)).await.expect("reads"), Some(peer));
    assert_eq!(store.peer(public_key(2)).await.expect("reads"), Some(bare_peer));
    assert_eq!(store.idempotency("key").await.expect("reads"), Some(key));
    assert_eq!(store.idempotency("").await.expect("reads"), Some(bare_key));
    assert_eq!(store.setting("ü").await.expect("reads"), Some(vec![0, 255]));
    assert_eq!(store.setting("empty").await.expect("reads"), Some(vec![]));
    for status in [
        OutgoingStatus::Pending,
        OutgoingStatus::Settled { preimage: "ab".repeat(32), fee: Millisats::new(7) },
        OutgoingStatus::Failed { reason: "no \"route\"\n".to_owned() },
        OutgoingStatus::Refused { reason: "too little".to_owned() },
    ] {
        let payment = OutgoingRecord { status, ..outgoing(9, 9) };
        commit(&store, vec![Write::PutOutgoing(payment.clone())]).await.expect("commits");
        assert_eq!(store.outgoing([9; 32]).await.expect("reads"), Some(payment));
    }
}

/// Bodies of every shape survive the way through the log.
pub async fn every_event_reads_back_as_written(place: &impl StorePlace) {
    let bodies = [
        PortalEvent::KeyHandshake {
            main_key: public_key(1),
            preferred_relays: vec!["wss://relay.example/ü\u{0}\"".to_owned()],
        },
        PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::UserApproved },
        PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::UserFailed { reason: None } },
        PortalEvent::PaymentStatusUpdate {
            status: PaymentUpdate::Paid { preimage: Some("00".repeat(32)), late: true },
        },
        PortalEvent::InvoiceResponse { invoice: "lnbcrt1".to_owned(), payment_hash: None },
        PortalEvent::Delivery {
            delivered: vec!["wss://a".to_owned()],
            refused: vec![("wss://b".to_owned(), "blocked".to_owned())],
            queued: false,
        },
        PortalEvent::Error { code: ErrorCode::Timeout, reason: "nobody answered".to_owned() },
    ];
    let store = place.open();
    let events: Vec<StreamEvent> = (0..)
        .zip(bodies)
        .map(|(index, body)| StreamEvent { stream: stream(1), index, at_millis: 1_234_567, body })
        .collect();
    commit(&store, events.iter().cloned().map(Write::Append).collect()).await.expect("commits");
    assert_eq!(store.events(stream(1), None, 100).await.expect("reads"), events);
}

/// A put takes the place of what was there, a removal makes room.
pub async fn records_are_replaced(place: &impl StorePlace) {
    let store = place.open();
    let first = vec![
        Write::PutConversation(conversation(1, 0)),
        Write::PutPeer(PeerRecord { subkeys: vec![], ..peer(1) }),
        Write::PutOutgoing(outgoing(1, 1)),
        Write::PutSetting { name: "name".to_owned(), value: vec![1] },
    ];
    commit(&store, first).await.expect("commits");
    let failed = OutgoingRecord {
        status: OutgoingStatus::Failed { reason: String::new() },
        ..outgoing(1, 1)
    };
    let second = vec![
        Write::PutConversation(conversation(1, 5)),
        Write::PutPeer(peer(1)),
        Write::PutOutgoing(failed.clone()),
        Write::PutSetting { name: "name".to_owned(), value: vec![2] },
    ];
    commit(&store, second).await.expect("commits");
    assert_eq!(store.conversations().await.expect("reads"), [conversation(1, 5)]);
    assert_eq!(store.peer(public_key(1)).await.expect("reads"), Some(peer(1)));
    let silent = PeerRecord { subkeys: vec![], relays: vec![], ..peer(1) };
    commit(&store, vec![Write::PutPeer(silent)]).await.expect("commits");
    let known = store.peer(public_key(1)).await.expect("reads");
    assert_eq!(known, Some(peer(1)), "an empty list teaches nothing");
    assert_eq!(store.outgoing([1; 32]).await.expect("reads"), Some(failed));
    assert_eq!(store.pending_outgoing().await.expect("reads"), []);
    assert_eq!(store.setting("name").await.expect("reads"), Some(vec![2]));
    let removals = vec![
        Write::RemoveConversation(stream(1)),
        Write::RemoveSetting { name: "name".to_owned() },
    ];
    commit(&store, removals).await.expect("commits");
    assert_eq!(store.conversations().await.expect("reads"), []);
    assert_eq!(store.setting("name").await.expect("reads"), None);
}

/// `after` is exclusive, `limit` is kept, other streams stay out.
pub async fn events_are_read_in_pages(place: &impl StorePlace) {
    let store = place.open();
    let mut batch: Vec<Write> = (0..10).map(|index| append(2, index, 1)).collect();
    batch.push(append(1, 0, 1));
    batch.push(append(3, 0, 1));
    commit(&store, batch).await.expect("commits");
    let indices = async |after, limit| {
        let events = store.events(stream(2), after, limit).await.expect("reads");
        events.into_iter().map(|event| event.index).collect::<Vec<_>>()
    };
    assert_eq!(indices(None, 3).await, [0, 1, 2]);
    assert_eq!(indices(Some(2), 3).await, [3, 4, 5]);
    assert_eq!(indices(Some(7), 100).await, [8, 9]);
    assert_eq!(indices(Some(9), 100).await, [0_u64; 0]);
    assert_eq!(indices(Some(u64::MAX), usize::MAX).await, [0_u64; 0]);
    assert_eq!(indices(None, 0).await, [0_u64; 0]);
    assert_eq!(indices(None, usize::MAX).await.len(), 10);
}

/// The number of events is the highest index and one; open is what has a conversation.
pub async fn a_stream_tells_its_events_and_whether_it_is_open(place: &impl StorePlace) {
    let store = place.open();
    commit(&store, vec![Write::PutConversation(conversation(1, 0))]).await.expect("commits");
    let info = store.stream(stream(1)).await.expect("reads");
    assert_eq!(info, Some(StreamInfo { events: 0, open: true }));
    commit(&store, vec![append(1, 0, 1), append(1, 1, 1)]).await.expect("commits");
    let info = store.stream(stream(1)).await.expect("reads");
    assert_eq!(info, Some(StreamInfo { events: 2, open: true }));
    commit(&store, vec![Write::RemoveConversation(stream(1))]).await.expect("commits");
    let info = store.stream(stream(1)).await.expect("reads");
    assert_eq!(info, Some(StreamInfo { events: 2, open: false }));
    commit(&store, vec![append(2, 6, 1)]).await.expect("commits");
    let info = store.stream(stream(2)).await.expect("reads");
    assert_eq!(info, Some(StreamInfo { events: 7, open: false }));
}

/// Nothing to write is written at once.
pub async fn an_empty_batch_is_acknowledged(place: &impl StorePlace) {
    let store = place.open();
    commit(&store, vec![]).await.expect("commits");
}

/// A place or key that is taken keeps the whole batch out, wherever in it the conflict stands.
pub async fn a_conflict_leaves_nothing_of_its_batch(place: &impl StorePlace) {
    let store = place.open();
    let taken = vec![
        append(1, 0, 1),
        Write::PutIdempotency(idempotency("taken", 1)),
        Write::PutSetting { name: "name".to_owned(), value: vec![1] },
    ];
    commit(&store, taken).await.expect("commits");
    let others = || {
        vec![
            Write::PutConversation(conversation(7, 0)),
            Write::PutPeer(peer(7)),
            Write::PutOutgoing(outgoing(7, 7)),
            Write::PutSetting { name: "name".to_owned(), value: vec![2] },
            Write::RemoveSetting { name: "name".to_owned() },
        ]
    };
    let first_of_two = vec![append(7, 0, 1), Write::PutIdempotency(idempotency("new", 1))];
    for conflict in [append(1, 0, 2), Write::PutIdempotency(idempotency("taken", 2))] {
        let mut last = others();
        last.push(conflict.clone());
        let mut first = vec![conflict.clone()];
        first.extend(others());
        let mut several = others();
        several.extend(first_of_two.clone());
        several.push(conflict.clone());
        for batch in [last, first, several] {
            let refused = commit(&store, batch).await;
            assert!(matches!(refused, Err(StorageError::Conflict { .. })), "{refused:?}");
        }
    }
    assert_eq!(store.conversations().await.expect("reads"), []);
    assert_eq!(store.peer(public_key(7)).await.expect("reads"), None);
    assert_eq!(store.outgoing([7; 32]).await.expect("reads"), None);
    assert_eq!(store.stream(stream(7)).await.expect("reads"), None);
    assert_eq!(store.idempotency("new").await.expect("reads"), None);
    assert_eq!(store.setting("name").await.expect("reads"), Some(vec![1]));
    let kept = store.events(stream(1), None, 10).await.expect("reads");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].at_millis, 1000);
    let kept = store.idempotency("taken").await.expect("reads");
    assert_eq!(kept, Some(idempotency("taken", 1)));
}

/// The same place twice in one batch is a conflict too.
pub async fn a_batch_that_conflicts_with_itself_leaves_nothing(place: &impl StorePlace) {
    let store = place.open();
    for twice in [
        vec![append(1, 0, 1), append(1, 0, 1)],
        vec![
            Write::PutIdempotency(idempotency("key", 1)),
            Write::PutIdempotency(idempotency("key", 1)),
        ],
    ] {
        let refused = commit(&store, twice).await;
        assert!(matches!(refused, Err(StorageError::Conflict { .. })), "{refused:?}");
    }
    assert_eq!(store.stream(stream(1)).await.expect("reads"), None);
    assert_eq!(store.idempotency("key").await.expect("reads"), None);
}

/// Batches that share a commit with a refused one are written.
pub async fn batches_beside_a_conflict_stand(place: &impl StorePlace) {
    let store = place.open();
    let (seen, log) = recorder();
    for index in 0..100 {
        store.commit(vec![append(1, index, 1), append(2, index, 1)], seen(index * 2));
        store.commit(vec![append(3, index, 1), append(1, index, 2)], seen(index * 2 + 1));
    }
    commit(&store, vec![]).await.expect("commits");
    let outcomes = log.lock().expect("no callback panics").clone();
    assert_eq!(outcomes, (0..200).map(|at| (at, at % 2 == 0)).collect::<Vec<_>>());
    let info = store.stream(stream(1)).await.expect("reads");
    assert_eq!(info, Some(StreamInfo { events: 100, open: false }));
    assert_eq!(store.stream(stream(3)).await.expect("reads"), None);
}

/// First in, first acknowledged; none twice, none forgotten.
pub async fn callbacks_run_once_in_the_order_of_the_batches(place: &impl StorePlace) {
    let store = place.open();
    let (seen, log) = recorder();
    for index in 0..2000 {
        store.commit(vec![append(1, index, 1)], seen(index));
    }
    commit(&store, vec![]).await.expect("commits");
    let outcomes = log.lock().expect("no callback panics").clone();
    assert_eq!(outcomes, (0..2000).map(|index| (index, true)).collect::<Vec<_>>());
}

/// The store goes on, and the batch stands.
pub async fn a_panicking_callback_harms_nobody(place: &impl StorePlace) {
    let store = place.open();
    store.commit(vec![append(1, 0, 1)], Box::new(|_| panic!("part of the test")));
    commit(&store, vec![append(1, 1, 1)]).await.expect("commits");
    assert_eq!(store.events(stream(1), None, 10).await.expect("reads").len(), 2);
}

/// A read that starts after the acknowledgement sees the batch.
pub async fn what_was_acknowledged_is_read_at_once(place: &impl StorePlace) {
    let store = place.open();
    for index in 0..50 {
        commit(&store, vec![append(1, index, 1)]).await.expect("commits");
        let info = store.stream(stream(1)).await.expect("reads");
        assert_eq!(info, Some(StreamInfo { events: index + 1, open: false }));
    }
}

/// 10,000 batches from 8 threads: all written, each thread's acknowledged in its own order.
pub async fn many_writers_lose_nothing(place: &impl StorePlace) {
    const THREADS: u64 = 8;
    const BATCHES: u64 = 1250;
    let store = place.open();
    let acknowledged: [AtomicU64; THREADS as usize] = Default::default();
    let acknowledged = Arc::new(acknowledged);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, acknowledged) = (&store, &acknowledged);
            scope.spawn(move || {
                for index in 0..BATCHES {
                    let acknowledged = Arc::clone(acknowledged);
                    let done = move |outcome: Result<(), StorageError>| {
                        outcome.expect("nothing conflicts");
                        let slot = &acknowledged[usize::try_from(thread).expect("small")];
                        assert_eq!(slot.fetch_add(1, Ordering::SeqCst), index);
                    };
                    let state = Write::PutConversation(conversation(thread, index + 1));
                    store.commit(vec![append(thread, index, 1), state], Box::new(done));
                }
            });
        }
    });
    // A batch handed in after all of them is acknowledged after all of them.
    commit(&store, vec![]).await.expect("commits");
    for slot in acknowledged.iter() {
        assert_eq!(slot.load(Ordering::SeqCst), BATCHES);
    }
    for thread in 0..THREADS {
        let events = store.events(stream(thread), None, usize::MAX).await.expect("reads");
        let indices: Vec<u64> = events.into_iter().map(|event| event.index).collect();
        assert_eq!(indices, (0..BATCHES).collect::<Vec<_>>());
    }
    for open in store.conversations().await.expect("reads") {
        assert_eq!(open.next_index, BATCHES);
    }
}

/// A stream goes whole, when it has ended and its last event is old.
pub async fn prune_takes_whole_old_ended_streams_and_old_keys(place: &impl StorePlace) {
    let store = place.open();
    let batch = vec![
        append(1, 0, 10),
        append(1, 1, 20),
        append(2, 0, 10),
        append(2, 1, 99),
        append(3, 0, 10),
        Write::PutConversation(conversation(3, 1)),
        append(4, 0, 100),
        Write::PutIdempotency(idempotency("", 10)),
        Write::PutIdempotency(idempotency("old", 99)),
        Write::PutIdempotency(idempotency("new", 100)),
        Write::PutPeer(peer(1)),
        Write::PutOutgoing(outgoing(1, 1)),
        Write::PutSetting { name: "name".to_owned(), value: vec![] },
    ];
    commit(&store, batch).await.expect("commits");
    assert_eq!(store.prune(Timestamp::from_secs(10)).await.expect("prunes"), 0);
    assert_eq!(store.prune(Timestamp::from_secs(99)).await.expect("prunes"), 3);
    assert_eq!(store.stream(stream(1)).await.expect("reads"), None);
    assert_eq!(store.events(stream(2), None, 10).await.expect("reads").len(), 2);
    assert_eq!(store.idempotency("").await.expect("reads"), None);
    assert!(store.idempotency("old").await.expect("reads").is_some());
    assert_eq!(store.prune(Timestamp::from_secs(100)).await.expect("prunes"), 3);
    assert_eq!(store.stream(stream(2)).await.expect("reads"), None);
    assert_eq!(store.idempotency("old").await.expect("reads"), None);
    assert!(store.idempotency("new").await.expect("reads").is_some());
    let open = Some(StreamInfo { events: 1, open: true });
    assert_eq!(store.stream(stream(3)).await.expect("reads"), open);
    commit(&store, vec![Write::RemoveConversation(stream(3))]).await.expect("commits");
    assert_eq!(store.prune(Timestamp::from_secs(u64::MAX)).await.expect("prunes"), 3);
    assert_eq!(store.stream(stream(4)).await.expect("reads"), None);
    assert!(store.peer(public_key(1)).await.expect("reads").is_some());
    assert!(store.outgoing([1; 32]).await.expect("reads").is_some());
    assert!(store.setting("name").await.expect("reads").is_some());
}

/// More streams and keys than one step of pruning looks at.
pub async fn prune_walks_through_many_streams(place: &impl StorePlace) {
    let store = place.open();
    let mut batch = Vec::new();
    for number in 0..3500 {
        // Every tenth is young, in its own way: streams and keys end at different places.
        let at = if number % 10 == 0 { 100 } else { 1 };
        batch.push(append(number, 0, at));
        if number < 1200 {
            batch.push(Write::PutIdempotency(idempotency(&number.to_string(), at)));
        }
    }
    commit(&store, batch).await.expect("commits");
    let rows = store.prune(Timestamp::from_secs(50)).await.expect("prunes");
    assert_eq!(rows, 3150 + 1080);
    assert!(store.stream(stream(3490)).await.expect("reads").is_some());
    assert_eq!(store.stream(stream(3499)).await.expect("reads"), None);
    assert_eq!(store.prune(Timestamp::from_secs(50)).await.expect("prunes"), 0);
}

/// Only pending payments, by the moment they were first asked for.
pub async fn pending_payments_come_oldest_first(place: &impl StorePlace) {
    let store = place.open();
    let settled = OutgoingStatus::Settled { preimage: "00".repeat(32), fee: Millisats::new(0) };
    let batch = vec![
        Write::PutOutgoing(outgoing(1, 30)),
        Write::PutOutgoing(outgoing(2, 10)),
        Write::PutOutgoing(OutgoingRecord { status: settled, ..outgoing(3, 5) }),
        Write::PutOutgoing(outgoing(4, 20)),
        Write::PutOutgoing(outgoing(0, 20)),
    ];
    commit(&store, batch).await.expect("commits");
    let pending = store.pending_outgoing().await.expect("reads");
    let order: Vec<u8> = pending.iter().map(|record| record.payment_hash[0]).collect();
    assert_eq!(order, [2, 0, 4, 1]);
}

/// Payments that came and their refunds read back as written, and are replaced.
pub async fn what_came_and_goes_back_is_kept(place: &impl StorePlace) {
    let store = place.open();
    let came = ReceivedRecord {
        stream: stream(1),
        main_key: public_key(1),
        payment_hash: [7; 32],
        amount: Millisats::new(u64::MAX),
        request: "{\"ü\":1}".to_owned(),
        at: Timestamp::from_secs(5),
    };
    let refund = |number, state| RefundRecord {
        stream: stream(number),
        payment: stream(1),
        amount: Millisats::new(21),
        state,
        at: Timestamp::from_secs(6),
    };
    let batch = vec![
        Write::PutReceived(came.clone()),
        Write::PutRefund(refund(3, RefundState::Open)),
        Write::PutRefund(refund(2, RefundState::Void)),
        Write::PutRefund(RefundRecord { payment: stream(9), ..refund(4, RefundState::Open) }),
        Write::PutRefund(refund(3, RefundState::Paid)),
    ];
    commit(&store, batch).await.expect("commits");
    assert_eq!(store.received(stream(1)).await.expect("reads"), Some(came));
    assert_eq!(store.received(stream(2)).await.expect("reads"), None);
    let refunds = store.refunds(stream(1)).await.expect("reads");
    assert_eq!(refunds, [refund(2, RefundState::Void), refund(3, RefundState::Paid)]);
    assert_eq!(store.refunds(stream(2)).await.expect("reads"), []);
}

/// Payments count with what they cost or may cost, unless they failed, are older, or pay others.
pub async fn what_was_spent_is_summed_by_time_and_payee(place: &impl StorePlace) {
    let store = place.open();
    let settled = OutgoingStatus::Settled { preimage: "00".repeat(32), fee: Millisats::new(7) };
    let failed = OutgoingStatus::Failed { reason: String::new() };
    let refused = OutgoingStatus::Refused { reason: String::new() };
    let batch = vec![
        Write::PutOutgoing(outgoing(1, 30)),
        Write::PutOutgoing(OutgoingRecord { status: settled, ..outgoing(2, 20) }),
        Write::PutOutgoing(OutgoingRecord { payee: Some([1; 33]), ..outgoing(3, 20) }),
        Write::PutOutgoing(outgoing(4, 19)),
        Write::PutOutgoing(OutgoingRecord { status: failed, ..outgoing(5, 30) }),
        Write::PutOutgoing(OutgoingRecord { status: refused, ..outgoing(6, 30) }),
        Write::PutOutgoing(OutgoingRecord { payee: None, ..outgoing(7, 30) }),
    ];
    commit(&store, batch).await.expect("commits");
    let spent = async |since, payee: Option<[u8; 33]>| {
        let spent = store.spent_since(Timestamp::from_secs(since), payee).await.expect("reads");
        (spent.total.as_u64(), spent.on_payee.as_u64())
    };
    let (pending, settled) = (21_300, 21_007);
    assert_eq!(spent(20, Some([1; 33])).await, (3 * pending + settled, 2 * pending));
    assert_eq!(spent(20, Some([2; 33])).await, (3 * pending + settled, settled));
    assert_eq!(spent(19, None).await, (4 * pending + settled, 0));
    assert_eq!(spent(31, Some([1; 33])).await, (0, 0));
    // What failed in the end no longer counts.
    let failed = OutgoingStatus::Failed { reason: String::new() };
    let over = OutgoingRecord { status: failed, ..outgoing(1, 30) };
    commit(&store, vec![Write::PutOutgoing(over)]).await.expect("commits");
    assert_eq!(spent(20, Some([1; 33])).await, (2 * pending + settled, pending));
    let most = OutgoingRecord { amount: Millisats::new(u64::MAX), ..outgoing(8, 40) };
    let more = OutgoingRecord { amount: Millisats::new(u64::MAX), ..outgoing(9, 40) };
    let twice = vec![Write::PutOutgoing(most.clone()), Write::PutOutgoing(more)];
    commit(&store, twice).await.expect("commits");
    assert!(spent(40, None).await.0 >= i64::MAX.unsigned_abs(), "a sum too large stays large");
}

/// Amounts of strangers and bounds of callers may be as large as their type.
pub async fn extreme_numbers_are_survived(place: &impl StorePlace) {
    let store = place.open();
    let most = OutgoingRecord { amount: Millisats::new(u64::MAX), ..outgoing(1, 1) };
    commit(&store, vec![Write::PutOutgoing(most.clone())]).await.expect("commits");
    assert_eq!(store.outgoing([1; 32]).await.expect("reads"), Some(most));
    assert_eq!(store.prune(Timestamp::from_secs(0)).await.expect("prunes"), 0);
    assert_eq!(store.prune(Timestamp::from_secs(u64::MAX)).await.expect("prunes"), 0);
}

/// `check` is quiet while all is well.
pub async fn a_working_store_says_so(place: &impl StorePlace) {
    let store = place.open();
    store.check().await.expect("works");
    commit(&store, vec![append(1, 0, 1)]).await.expect("commits");
    store.check().await.expect("works");
}

/// After `close`, also a second one, everything answers `Closed`.
pub async fn a_closed_store_refuses_everything(place: &impl StorePlace) {
    let store = place.open();
    store.close().await;
    store.close().await;
    assert!(matches!(commit(&store, vec![append(1, 0, 1)]).await, Err(StorageError::Closed)));
    assert!(matches!(store.conversations().await, Err(StorageError::Closed)));
    assert!(matches!(store.events(stream(1), None, 1).await, Err(StorageError::Closed)));
    assert!(matches!(store.setting("name").await, Err(StorageError::Closed)));
    assert!(matches!(store.prune(Timestamp::from_secs(1)).await, Err(StorageError::Closed)));
    assert!(matches!(store.check().await, Err(StorageError::Closed)));
    assert_eq!(place.open().stream(stream(1)).await.expect("reads"), None);
}

/// What nobody waited for is durable and acknowledged when `close` returns.
pub async fn close_writes_what_was_handed_in(place: &impl StorePlace) {
    let store = place.open();
    let (seen, log) = recorder();
    for index in 0..1000 {
        store.commit(vec![append(1, index, 1)], seen(index));
    }
    store.close().await;
    assert_eq!(log.lock().expect("no callback panics").len(), 1000);
    drop(store);
    let events = place.open().events(stream(1), None, 5000).await.expect("reads");
    assert_eq!(events.len(), 1000);
}

/// The same when the store is only dropped.
pub async fn dropping_writes_what_was_handed_in(place: &impl StorePlace) {
    let store = place.open();
    let (seen, log) = recorder();
    for index in 0..1000 {
        store.commit(vec![append(1, index, 1)], seen(index));
    }
    drop(store);
    let outcomes = log.lock().expect("no callback panics").clone();
    assert_eq!(outcomes, (0..1000).map(|index| (index, true)).collect::<Vec<_>>());
    let events = place.open().events(stream(1), None, 5000).await.expect("reads");
    assert_eq!(events.len(), 1000);
}

/// Conversations come back oldest first, as they were last written.
pub async fn reopening_restores_conversations_by_age(place: &impl StorePlace) {
    let store = place.open();
    for number in [5, 1, 4, 2, 3] {
        commit(&store, vec![Write::PutConversation(conversation(number, 0))])
            .await
            .expect("commits");
    }
    let change = vec![
        Write::PutConversation(conversation(1, 9)),
        Write::RemoveConversation(stream(4)),
        append(4, 0, 1),
    ];
    commit(&store, change).await.expect("commits");
    store.close().await;
    drop(store);
    let reopened = place.open();
    let expected = [conversation(1, 9), conversation(2, 0), conversation(3, 0), conversation(5, 0)];
    assert_eq!(reopened.conversations().await.expect("reads"), expected);
    let info = reopened.stream(stream(4)).await.expect("reads");
    assert_eq!(info, Some(StreamInfo { events: 1, open: false }));
}

/// A stream whose age is the number.
#[must_use]
pub fn stream(number: u64) -> StreamId {
    StreamId::from_uuid(uuid::Builder::from_unix_timestamp_millis(number, &[7; 10]).into_uuid())
}

/// An event of the numbered stream, `at` in seconds.
#[must_use]
pub fn append(number: u64, index: u64, at: u64) -> Write {
    Write::Append(StreamEvent {
        stream: stream(number),
        index,
        at_millis: at * 1000,
        body: PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::UserApproved },
    })
}

/// The conversation of the numbered stream.
#[must_use]
pub fn conversation(number: u64, next_index: u64) -> ConversationRecord {
    ConversationRecord {
        stream: stream(number),
        machine: "payment".to_owned(),
        state: format!("{{\"number\":{number}}}").into_bytes(),
        next_index,
    }
}

fn public_key(number: u8) -> PublicKey {
    PublicKey::from_byte_array([number; 32])
}

fn peer(number: u8) -> PeerRecord {
    PeerRecord {
        main_key: public_key(number),
        subkeys: vec![public_key(101), public_key(100)],
        relays: vec!["wss://relay.example".to_owned(), "\"\\ü".to_owned()],
        seen_at: Timestamp::from_secs(77),
    }
}

fn idempotency(key: &str, at: u64) -> IdempotencyRecord {
    IdempotencyRecord {
        key: key.to_owned(),
        command_hash: [3; 32],
        stream: Some(StreamId::from_uuid(Uuid::from_bytes([9; 16]))),
        answer: Some("{\"type\":\"ü\"}".to_owned()),
        at: Timestamp::from_secs(at),
    }
}

fn outgoing(number: u8, at: u64) -> OutgoingRecord {
    OutgoingRecord {
        payment_hash: [number; 32],
        invoice: "lnbcrt1invoice".to_owned(),
        amount: Millisats::new(21_000),
        status: OutgoingStatus::Pending,
        at: Timestamp::from_secs(at),
        payee: Some([number; 33]),
        max_fee: Millisats::new(300),
        attempt: 2,
    }
}

type Log = Arc<Mutex<Vec<(u64, bool)>>>;

/// Makes callbacks that note their number and whether their batch was written.
fn recorder() -> (impl Fn(u64) -> super::Done, Log) {
    let log = Log::default();
    let notes = Arc::clone(&log);
    let make = move |number| -> super::Done {
        let log = Arc::clone(&notes);
        Box::new(move |outcome| {
            log.lock().expect("no callback panics").push((number, outcome.is_ok()));
        })
    };
    (make, log)
}
