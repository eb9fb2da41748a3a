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
    assert_eq!(store.next_number("a").await.expect("reads"), 101);
    store.give_back_numbers("a", vec![98, 99, 100]).await.expect("given back");
    assert_eq!(store.take_numbers("a", 2).await.expect("taken"), 98);
    assert_eq!(store.take_numbers("a", 2).await.expect("taken"), 100);
    store.give_back_numbers("a", vec![99, 98]).await.expect("not possible");
    assert_eq!(store.next_number("a").await.expect("reads"), 102, "100 and 101 are out");
}

#[tokio::test]
async fn sums_that_are_too_large_to_count_hide_nothing() {
    let huge = |number| ProofRow { amount: i64::MAX as u64, ..proof(number, ProofState::Unspent) };
    let honest = ProofRow {
        mint: "https://other.example".into(),
        amount: (1 << 40) + 7,
        ..proof(9, ProofState::Unspent)
    };
    let rows = vec![huge(1), huge(2), huge(3), honest.clone(), ProofRow { y: [8; 33], ..honest }];
    let sums = store_with(rows).await.sums().await.expect("reads");
    assert_eq!(sums.len(), 2);
    assert_eq!((sums[0].amount, sums[0].count), (u64::MAX, 3));
    assert_eq!((sums[1].amount, sums[1].count), ((1 << 41) + 14, 2));
}

#[tokio::test]
async fn a_file_has_one_owner() {
    let store = TicketStore::in_memory().expect("opens");
    assert!(store.claim("a").await.expect("claimed"));
    assert!(store.claim("a").await.expect("the same"));
    assert!(!store.claim("b").await.expect("another"));
    assert!(store.claim("a").await.expect("still the same"));
}

#[tokio::test]
async fn what_strangers_leave_has_a_limit_and_what_was_named_has_none() {
    let store = TicketStore::in_memory().expect("opens");
    let gift = |key: &str, mint: &str| OperationRow {
        kind: "receive".into(),
        mint: mint.into(),
        ..operation(key, 1)
    };
    let begin = async |key: &str, mint: &str| {
        store.begin_of_stranger(gift(key, mint), 2, 3, 1).await.expect("answers")
    };
    assert_eq!(begin("1", "a").await, Some(Begun::New));
    assert_eq!(begin("2", "a").await, Some(Begun::New));
    assert_eq!(begin("3", "a").await, None, "too many of one mint");
    assert!(matches!(begin("2", "a").await, Some(Begun::Existing(_))));
    assert_eq!(begin("4", "b").await, Some(Begun::New));
    assert_eq!(begin("5", "c").await, None, "too many in all");
    assert_eq!(store.begin(operation("own", 1), 1).await.expect("begins"), Begun::New);
    let named = MintRow { url: "a".into(), named: true, ..MintRow::default() };
    store.put_mint(named).await.expect("named");
    assert_eq!(begin("5", "c").await, Some(Begun::New), "what is of a named mint does not count");
    let closed = Change {
        operation: Some(OperationRow { open: false, ..gift("4", "b") }),
        ..Change::default()
    };
    store.apply(closed, 2).await.expect("closed");
    assert_eq!(begin("6", "b").await, Some(Begun::New));
}

#[tokio::test]
async fn mints_that_only_strangers_named_are_forgotten_when_there_are_many() {
    let mut held = proof(1, ProofState::Spent);
    held.mint = "m0".into();
    let store = store_with(vec![held]).await;
    for number in 0..400_u64 {
        let row = MintRow {
            url: format!("m{number}"),
            info: Some("{}".into()),
            token: None,
            fetched_at: number,
            named: number == 1,
        };
        store.put_mint(row).await.expect("kept");
    }
    let kept = store.mints().await.expect("reads");
    assert_eq!(kept.len(), 257);
    let has = |url: &str| kept.iter().any(|row| row.url == url);
    assert!(has("m0") && has("m1") && has("m399") && !has("m2"));
    assert!(store.mint("m1").await.expect("reads").is_some_and(|row| row.named));
    let unnamed = MintRow { url: "m1".into(), fetched_at: 999, ..MintRow::default() };
    store.put_mint(unnamed).await.expect("kept");
    let row = store.mint("m1").await.expect("reads").expect("there");
    assert!(row.named && row.info.is_some(), "what is not said stays");
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
        let row = operation(key, amount);
        store.begin_allowed(row, "s".into(), |found| !found.open, now).await.expect("answers")
    };
    assert!(begin("a", 3, 1).await.is_none(), "more than one request may have");
    assert_eq!(begin("a", 2, 1).await, Some(Begun::New));
    assert!(matches!(begin("a", 2, 1).await, Some(Begun::Existing(_))), "charged once");
    assert!(begin("b", 2, 1).await.is_none(), "more than is left");
    assert!(begin("b", 1, 100).await.is_none(), "it is over");
    assert_eq!(begin("b", 1, 99).await, Some(Begun::New));
    let left = async || store.allowances().await.expect("reads")[0].left_over;
    store.undo_allowed("b").await.expect("answers");
    assert_eq!(left().await, 0, "b is still open");
    let failed = |key: &str| Change {
        operation: Some(OperationRow { open: false, ..operation(key, 1) }),
        ..Change::default()
    };
    store.apply(failed("b"), 2).await.expect("written");
    store.undo_allowed("b").await.expect("answers");
    store.undo_allowed("b").await.expect("answers");
    assert_eq!(left().await, 1, "given back once");

    // The person began it by hand, and it failed.
    store.apply(failed("c"), 2).await.expect("written");
    store.undo_allowed("c").await.expect("answers");
    assert_eq!(left().await, 1, "what was never taken is not given back");
    assert!(store.operation("c").await.expect("reads").is_some());
    assert!(matches!(begin("c", 1, 1).await, Some(Begun::Existing(_))));
    assert_eq!(left().await, 0, "asked again without the person it costs");
    store.apply(failed("d"), 2).await.expect("written");
    assert!(begin("d", 1, 1).await.is_none(), "also when nothing is left");
}

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tickets.db");
    let connection = Connection::open(&path).expect("opens");
    connection.execute_batch(MIGRATIONS[0]).expect("made");
    connection
        .execute_batch(
            "INSERT INTO mint VALUES ('https://own.example', '{}', 'let me in', 5);
             INSERT INTO mint VALUES ('https://other.example', NULL, NULL, 0);",
        )
        .expect("filled");
    connection.pragma_update(None, "user_version", 1).expect("written");
    drop(connection);
    let store = TicketStore::open(&path, SqliteOptions::default()).expect("opens");
    store.undo_allowed("a").await.expect("the table is there");
    let named: Vec<bool> =
        store.mints().await.expect("reads").iter().map(|row| row.named).collect();
    assert_eq!(named, [false, true], "whoever kept a token for a mint has named it");
    assert!(store.claim("a").await.expect("nobody's yet"));
    store.close().await;
    let connection = Connection::open(&path).expect("opens");
    assert_eq!(known_version(&connection).expect("reads"), MIGRATIONS.len());
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
