use super::*;

fn operation(key: &str, amount: u64) -> OperationRow {
    OperationRow {
        key: key.to_owned(),
        kind: "send".into(),
        mint: "https://mint.example".into(),
        unit: "vip".into(),
        amount,
        open: true,
        body: "{}".into(),
        created_at: 1,
    }
}

fn proof(number: u8, state: ProofState) -> ProofRow {
    ProofRow {
        y: [number; 33],
        mint: "https://mint.example".into(),
        unit: "vip".into(),
        keyset: "00".into(),
        amount: 1,
        state,
        operation: None,
        body: "{}".into(),
    }
}

async fn store_with(proofs: Vec<ProofRow>) -> TicketStore {
    let store = TicketStore::in_memory().expect("opens");
    store.apply(Change { insert: proofs, ..Change::default() }, 1).await.expect("written");
    store
}

fn moved(number: u8, from: ProofState, to: ProofState, holder: &str) -> Move {
    Move { y: [number; 33], from, to, holder: Some(holder.to_owned()) }
}

#[tokio::test]
async fn the_first_with_a_key_begins_and_others_find_it() {
    let store = TicketStore::in_memory().expect("opens");
    assert_eq!(store.begin(operation("a", 1), 1).await.expect("begins"), Begun::New);
    let found = store.begin(operation("a", 2), 2).await.expect("finds");
    assert_eq!(found, Begun::Existing(operation("a", 1)));
    assert_eq!(store.open_operations().await.expect("reads").len(), 1);
}

#[tokio::test]
async fn a_change_is_whole_or_not_at_all() {
    let store = store_with(vec![proof(1, ProofState::Unspent)]).await;
    let change = Change {
        operation: Some(operation("a", 1)),
        insert: vec![proof(2, ProofState::Unspent)],
        moves: vec![
            moved(1, ProofState::Unspent, ProofState::Reserved, "a"),
            moved(9, ProofState::Unspent, ProofState::Reserved, "a"),
        ],
        events: vec!["{}".into()],
    };
    let refused = store.apply(change, 2).await;
    assert!(matches!(refused, Err(StorageError::Conflict { .. })));
    assert!(store.operation("a").await.expect("reads").is_none());
    let unspent = store.proofs("https://mint.example", "vip", ProofState::Unspent).await;
    assert_eq!(unspent.expect("reads").len(), 1, "neither the new proof nor the move");
    assert!(store.ticket_events(0, 10).await.expect("reads").is_empty());
}

#[tokio::test]
async fn what_one_operation_has_put_aside_no_other_can_move() {
    let store = store_with(vec![proof(1, ProofState::Unspent)]).await;
    let reserve = |key: &str| Change {
        operation: Some(operation(key, 1)),
        moves: vec![moved(1, ProofState::Unspent, ProofState::Reserved, key)],
        ..Change::default()
    };
    store.apply(reserve("a"), 2).await.expect("reserved");
    assert!(store.apply(reserve("b"), 2).await.is_err(), "it is reserved");
    let spend = |key: &str| Change {
        operation: Some(operation(key, 1)),
        moves: vec![Move {
            y: [1; 33],
            from: ProofState::Reserved,
            to: ProofState::Spent,
            holder: None,
        }],
        ..Change::default()
    };
    assert!(store.apply(spend("b"), 2).await.is_err(), "it is reserved for another");
    store.apply(spend("a"), 2).await.expect("spent");
    let again = Change { insert: vec![proof(1, ProofState::Unspent)], ..Change::default() };
    store.apply(again, 3).await.expect("nothing to do");
    let known = store.known_proofs(vec![[1; 33]]).await.expect("reads");
    assert_eq!(known[0].state, ProofState::Spent, "what is spent does not come back");
}

#[tokio::test]
async fn numbers_are_given_once_and_can_be_skipped() {
    let store = TicketStore::in_memory().expect("opens");
    assert_eq!(store.take_numbers("a", 3).await.expect("taken"), 0);
    assert_eq!(store.take_numbers("a", 1).await.expect("taken"), 3);
    assert_eq!(store.take_numbers("b", 1).await.expect("taken"), 0);
    store.advance_counter("a", 100).await.expect("moved");
    store.advance_counter("a", 50).await.expect("not moved back");
    assert_eq!(store.take_numbers("a", 1).await.expect("taken"), 100);
    assert!(store.take_numbers("a", u32::MAX).await.is_err(), "it has an end");
}

#[tokio::test]
async fn a_gate_lets_in_each_proof_once_whatever_it_comes_with() {
    let store = TicketStore::in_memory().expect("opens");
    let row = |id: &str| AdmissionRow { id: id.into(), body: "{}".into(), open: true, at: 1 };
    assert!(store.admit(row("a"), vec![[1; 33], [2; 33]]).await.expect("written"));
    assert!(!store.admit(row("b"), vec![[2; 33], [3; 33]]).await.expect("seen"));
    assert!(store.admit(row("c"), vec![[3; 33]]).await.expect("the refused left no trace"));
    assert_eq!(store.open_admissions().await.expect("reads").len(), 2);
    store.close_admission("a", Some("{}".into()), 2).await.expect("closed");
    store.close_admission("a", Some("{}".into()), 2).await.expect("nothing to do");
    assert_eq!(store.ticket_events(0, 10).await.expect("reads").len(), 1);
}

#[tokio::test]
async fn an_allowance_is_charged_with_its_operation() {
    let store = TicketStore::in_memory().expect("opens");
    let allowance = AllowanceRow {
        service: "s".into(),
        mint: "https://mint.example".into(),
        unit: "vip".into(),
        most: 2,
        left_over: 3,
        expires_at: Some(100),
    };
    store.put_allowance(allowance).await.expect("kept");
    let begin = async |key: &str, amount, now| {
        store.begin_allowed(operation(key, amount), "s".into(), now).await.expect("answers")
    };
    assert!(begin("a", 3, 1).await.is_none(), "more than one request may have");
    assert_eq!(begin("a", 2, 1).await, Some(Begun::New));
    assert!(matches!(begin("a", 2, 1).await, Some(Begun::Existing(_))), "charged once");
    assert!(begin("b", 2, 1).await.is_none(), "more than is left");
    assert!(begin("b", 1, 100).await.is_none(), "it is over");
    assert_eq!(begin("b", 1, 99).await, Some(Begun::New));
    let place = ["s".into(), "https://mint.example".into(), "vip".into()];
    store.undo_allowed("b", place, 1).await.expect("answers");
    assert_eq!(store.allowances().await.expect("reads")[0].left_over, 0, "b is still open");
}

#[tokio::test]
async fn a_file_is_private_to_its_owner_and_to_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tickets.db");
    let store = TicketStore::open(&path, SqliteOptions::default()).expect("opens");
    let second = TicketStore::open(&path, SqliteOptions::default());
    assert!(matches!(second, Err(StorageError::InUse)));
    store.begin(operation("a", 1), 1).await.expect("begins");
    store.close().await;
    assert!(matches!(store.operation("a").await, Err(StorageError::Closed)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = TicketStore::open(&path, SqliteOptions::default()).expect("opens");
    assert!(again.operation("a").await.expect("reads").is_some(), "it was durable");
    again.close().await;
    let connection = Connection::open(&path).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("written");
    drop(connection);
    let newer = TicketStore::open(&path, SqliteOptions::default());
    assert!(matches!(newer, Err(StorageError::TooNew { found: 99, .. })));
}

#[tokio::test]
async fn gifts_are_listed_the_newest_first_and_who_waits_is_told() {
    let store =
        store_with(vec![proof(1, ProofState::Unspent), proof(2, ProofState::Unspent)]).await;
    let keyset = KeysetRow {
        mint: "https://mint.example".into(),
        id: "00".into(),
        unit: "vip".into(),
        active: true,
        fee_ppk: 0,
        final_expiry: None,
        keys: "{}".into(),
    };
    store.put_keysets("https://mint.example", vec![keyset]).await.expect("written");
    let mut news = store.news();
    assert!(store.given_names(10).await.expect("reads").is_empty());
    for (number, at) in [(1, 5), (2, 6)] {
        let moves = vec![moved(number, ProofState::Unspent, ProofState::Given, "gift")];
        store.apply(Change { moves, ..Change::default() }, at).await.expect("written");
    }
    assert_eq!(*news.borrow_and_update(), News { given: 2, events: 0 });
    let names: Vec<u8> =
        store.given_names(10).await.expect("reads").iter().map(|(_, name)| name[0]).collect();
    assert_eq!(names, [2, 1]);
    assert_eq!(store.given_names(1).await.expect("reads").len(), 1);

    let gone = Change {
        moves: vec![moved(1, ProofState::Given, ProofState::Spent, "gift")],
        events: vec!["{}".into()],
        ..Change::default()
    };
    store.apply(gone.clone(), 7).await.expect("written");
    assert_eq!(*news.borrow_and_update(), News { given: 3, events: 1 });
    assert!(store.apply(gone, 8).await.is_err(), "it was moved already");
    assert!(!news.has_changed().expect("open"), "what was not written is no news");
    store
        .put_mint(MintRow { url: "https://other.example".into(), ..MintRow::default() })
        .await
        .expect("written");
    assert!(!news.has_changed().expect("open"));
}
