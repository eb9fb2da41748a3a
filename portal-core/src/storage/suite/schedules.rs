//! What every store must do with subscriptions.

use super::{StorePlace, append, public_key, stream};
use crate::primitives::{StreamId, Timestamp};
use crate::storage::schedule::{
    AuthorizationRecord, AuthorizationStore as _, ChargeRecord, ScheduleFilter, ScheduleRecord,
    ScheduleStore as _,
};
use crate::storage::{EventLog as _, StorageError, Store as _, StreamInfo, Write, commit};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn schedule(number: u64, due: Option<u64>) -> ScheduleRecord {
    ScheduleRecord {
        stream: stream(number),
        owner: public_key(1),
        subscription_id: format!("sub-{number}"),
        due_at: due.map(at),
        waits_for: None,
        ended_at: None,
        state: br#"{"phase":"active"}"#.to_vec(),
        next_index: 2,
    }
}

fn charge(number: u64, period: u32, attempt: u32, paid: bool) -> ChargeRecord {
    ChargeRecord {
        schedule: stream(number),
        period,
        attempt,
        due: at(100),
        at: at(101),
        amount: u64::MAX,
        payment: stream(1000),
        paid,
    }
}

fn streams(records: &[ScheduleRecord]) -> Vec<StreamId> {
    records.iter().map(|record| record.stream).collect()
}

/// All members are kept; a second write replaces the first.
pub async fn schedules_read_back_as_written(place: &impl StorePlace) {
    let store = place.open();
    assert_eq!(store.schedule(stream(1)).await.expect("reads"), None);
    assert_eq!(store.next_due().await.expect("reads"), None);
    let first = schedule(1, Some(50));
    let second = ScheduleRecord {
        owner: public_key(2),
        due_at: None,
        waits_for: Some(stream(9)),
        ended_at: Some(at(7)),
        next_index: 3,
        ..first.clone()
    };
    for record in [first, second] {
        commit(&store, vec![Write::PutSchedule(record.clone())]).await.expect("commits");
        assert_eq!(store.schedule(stream(1)).await.expect("reads"), Some(record));
    }
    commit(&store, vec![Write::RemoveSchedule(stream(1))]).await.expect("commits");
    assert_eq!(store.schedule(stream(1)).await.expect("reads"), None);
    commit(&store, vec![Write::RemoveSchedule(stream(1))]).await.expect("not there is no error");
}

/// The index on the due moment follows every change of a record.
pub async fn due_schedules_come_the_longest_overdue_first(place: &impl StorePlace) {
    let store = place.open();
    let batch = [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20)), (5, Some(99))];
    let batch = batch.map(|(number, due)| Write::PutSchedule(schedule(number, due)));
    commit(&store, batch.to_vec()).await.expect("commits");
    assert_eq!(store.next_due().await.expect("reads"), Some(at(10)));
    let due = store.due_schedules(at(30), 10).await.expect("reads");
    assert_eq!(streams(&due), [stream(2), stream(4), stream(1)]);
    assert_eq!(streams(&store.due_schedules(at(30), 2).await.expect("reads")).len(), 2);
    assert_eq!(store.due_schedules(at(9), 10).await.expect("reads"), []);
    let batch = vec![
        Write::PutSchedule(schedule(2, Some(40))),
        Write::PutSchedule(schedule(4, None)),
        Write::RemoveSchedule(stream(1)),
    ];
    commit(&store, batch).await.expect("commits");
    assert_eq!(store.due_schedules(at(39), 10).await.expect("reads"), []);
    assert_eq!(store.next_due().await.expect("reads"), Some(at(40)));
}

/// The store itself refuses what would charge a period twice.
pub async fn a_period_is_charged_once(place: &impl StorePlace) {
    let store = place.open();
    let put = |charge: ChargeRecord| {
        let batch = vec![append(9, charge.at.as_secs(), 1), Write::PutCharge(charge)];
        commit(&store, batch)
    };
    let numbered =
        |attempt, paid, number| ChargeRecord { at: at(number), ..charge(1, 5, attempt, paid) };
    put(numbered(0, false, 0)).await.expect("the first attempt");
    for refused in [numbered(0, false, 10)] {
        assert!(matches!(put(refused).await, Err(StorageError::Conflict { .. })));
    }
    put(numbered(2, false, 1)).await.expect("a later attempt");
    assert!(matches!(put(numbered(1, true, 11)).await, Err(StorageError::Conflict { .. })));
    put(numbered(2, true, 2)).await.expect("it is paid");
    for refused in [numbered(2, true, 12), numbered(3, false, 13), numbered(4, true, 14)] {
        assert!(matches!(put(refused).await, Err(StorageError::Conflict { .. })), "paid is paid");
    }
    let twice =
        vec![Write::PutCharge(charge(1, 6, 0, false)), Write::PutCharge(charge(1, 6, 0, false))];
    assert!(matches!(commit(&store, twice).await, Err(StorageError::Conflict { .. })));
    let within =
        vec![Write::PutCharge(charge(1, 7, 0, false)), Write::PutCharge(charge(1, 7, 0, true))];
    commit(&store, within).await.expect("asked and paid in one batch");
    let charges = store.charges(stream(1), None, 10).await.expect("reads");
    assert_eq!(charges, [charge(1, 7, 0, true), numbered(2, true, 2)]);
    assert_eq!(store.charges(stream(1), Some(7), 10).await.expect("reads").len(), 1);
    assert_eq!(store.charges(stream(2), None, 10).await.expect("reads"), []);
    let taken = vec![append(9, 0, 1), Write::PutCharge(charge(1, 8, 0, false))];
    assert!(matches!(commit(&store, taken).await, Err(StorageError::Conflict { .. })));
    let charges = store.charges(stream(1), None, 10).await.expect("reads");
    assert_eq!(charges.len(), 2, "nor does one of its event");
    let log = store.events(stream(9), None, 100).await.expect("reads");
    assert_eq!(log.len(), 3, "a conflict leaves nothing of its batch");
}

/// Its log is not pruned away below the index of its next event.
pub async fn a_stream_is_open_while_its_schedule_is(place: &impl StorePlace) {
    let store = place.open();
    let record = ScheduleRecord { next_index: 1, ..schedule(1, None) };
    commit(&store, vec![append(1, 0, 5), Write::PutSchedule(record.clone())]).await.expect("ok");
    let open = StreamInfo { events: 1, open: true };
    assert_eq!(store.stream(stream(1)).await.expect("reads"), Some(open));
    assert_eq!(store.prune(at(1000)).await.expect("prunes"), 0);
    let ended = ScheduleRecord { ended_at: Some(at(6)), ..record };
    commit(&store, vec![Write::PutSchedule(ended)]).await.expect("commits");
    let closed = StreamInfo { events: 1, open: false };
    assert_eq!(store.stream(stream(1)).await.expect("reads"), Some(closed));
}

/// An ended one goes when it is old, and what belongs to it goes too.
pub async fn ended_schedules_are_pruned_with_their_charges(place: &impl StorePlace) {
    let store = place.open();
    let ended = ScheduleRecord { ended_at: Some(at(50)), ..schedule(1, None) };
    let batch = vec![
        append(1, 0, 50),
        Write::PutSchedule(ended),
        Write::PutCharge(charge(1, 0, 0, true)),
        Write::PutCharge(charge(1, 1, 0, true)),
        Write::PutSchedule(schedule(2, Some(1))),
        Write::PutCharge(charge(2, 0, 0, true)),
    ];
    commit(&store, batch).await.expect("commits");
    assert_eq!(store.prune(at(50)).await.expect("prunes"), 0);
    assert_eq!(store.prune(at(51)).await.expect("prunes"), 4, "a row, two charges, one event");
    assert_eq!(store.schedule(stream(1)).await.expect("reads"), None);
    assert_eq!(store.charges(stream(1), None, 10).await.expect("reads"), []);
    assert_eq!(store.stream(stream(1)).await.expect("reads"), None);
    assert_eq!(store.charges(stream(2), None, 10).await.expect("reads").len(), 1);
}

/// Every way to find a schedule finds the right ones, in pages.
pub async fn schedules_are_found_by_owner_name_and_what_they_wait_for(place: &impl StorePlace) {
    let store = place.open();
    let other = ScheduleRecord { owner: public_key(2), ..schedule(2, None) };
    let same_name = ScheduleRecord { subscription_id: "sub-1".to_owned(), ..schedule(3, None) };
    let ended = ScheduleRecord {
        subscription_id: "sub-1".to_owned(),
        ended_at: Some(at(1)),
        ..schedule(4, None)
    };
    let waiting = ScheduleRecord { waits_for: Some(stream(77)), ..schedule(5, None) };
    let batch = [schedule(1, None), other, same_name, ended, waiting];
    let batch = batch.into_iter().map(Write::PutSchedule).collect();
    commit(&store, batch).await.expect("commits");
    let named = store.schedules_named("sub-1").await.expect("reads");
    assert_eq!(streams(&named), [stream(1), stream(3)]);
    assert_eq!(store.schedules_named("nobody").await.expect("reads"), []);
    let list = async |owner: Option<u8>, open, after, limit| {
        let filter = ScheduleFilter { owner: owner.map(public_key), open };
        streams(&store.schedules(filter, after, limit).await.expect("reads"))
    };
    assert_eq!(list(None, false, None, 10).await.len(), 5);
    assert_eq!(list(None, true, Some(stream(2)), 10).await, [stream(3), stream(5)]);
    assert_eq!(list(Some(2), true, None, 10).await, [stream(2)]);
    assert_eq!(list(Some(1), false, Some(stream(1)), 2).await, [stream(3), stream(4)]);
    let waiting = store.waiting_schedules(None, 10).await.expect("reads");
    assert_eq!(waiting, [(stream(5), stream(77))]);
    assert_eq!(store.waiting_schedules(Some(stream(5)), 10).await.expect("reads"), []);
}

/// All members are kept; a second write replaces the first.
pub async fn authorizations_read_back_as_written(place: &impl StorePlace) {
    let store = place.open();
    assert_eq!(store.authorization("a").await.expect("reads"), None);
    let first = AuthorizationRecord {
        subscription_id: "a".to_owned(),
        service: public_key(1),
        ended_at: None,
        state: b"{}".to_vec(),
    };
    let second = AuthorizationRecord {
        service: public_key(2),
        ended_at: Some(at(5)),
        state: b"[]".to_vec(),
        ..first.clone()
    };
    let another = AuthorizationRecord { subscription_id: "b".to_owned(), ..first.clone() };
    for record in [&first, &second] {
        let batch = vec![Write::PutAuthorization(record.clone())];
        commit(&store, batch).await.expect("commits");
        assert_eq!(store.authorization("a").await.expect("reads").as_ref(), Some(record));
    }
    commit(&store, vec![Write::PutAuthorization(another.clone())]).await.expect("commits");
    assert_eq!(store.authorizations().await.expect("reads"), [second, another]);
}
