//! What only the SQLite store does: files, versions, crashes, faults of the database.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use tempfile::TempDir;

use super::*;
use crate::event::{PaymentUpdate, PortalEvent};
use crate::primitives::Millisats;
use crate::storage::schedule::{
    AuthorizationRecord, AuthorizationStore as _, ChargeRecord, ScheduleRecord, ScheduleStore as _,
};
use crate::storage::suite::{StorePlace, append, conversation, stream};
use crate::storage::{OutgoingStatus, PaymentStore as _, commit};

struct Place {
    folder: TempDir,
    options: SqliteOptions,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder"), options: SqliteOptions::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("portal.db")
    }
}

impl StorePlace for Place {
    type Store = SqliteStore;

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), self.options).expect("opens")
    }
}

crate::store_suite!(Place::new);

#[cfg(unix)]
#[tokio::test]
async fn files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("new/data/portal.db");
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    let store = SqliteStore::open(&path, SqliteOptions::default()).expect("opens");
    commit(&store, vec![append(1, 0, 1)]).await.expect("commits");
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&with_suffix(&path, suffix)), 0o600, "{suffix}");
    }
    assert_eq!(mode(path.parent().expect("has one")), 0o700);
    assert_eq!(mode(&folder.path().join("new")), 0o700);

    drop(store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets");
    drop(SqliteStore::open(&path, SqliteOptions::default()).expect("opens"));
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_database_of_every_older_version_opens() {
    let fixtures: [Option<&str>; 4] = [
        None,
        Some(include_str!("fixtures/v1.sql")),
        Some(include_str!("fixtures/v2.sql")),
        Some(include_str!("fixtures/v3.sql")),
    ];
    for (version, rows) in (0..=migrations::VERSION).zip(fixtures) {
        let place = Place::new();
        let old = migrations::database_of_version(&place.path(), version);
        old.execute_batch(rows.unwrap_or_default()).expect("the rows fit their version");
        old.close().expect("closes");

        let store = place.open();
        commit(&store, vec![append(1, 0, 1)]).await.expect("the migrated store writes");
        if rows.is_some() {
            reads_the_rows_of_the_fixture(&store).await;
        }
        if version >= 2 {
            reads_the_subscriptions_of_the_fixture(&store).await;
        }
        drop(store);
        let found: u32 = Connection::open(place.path())
            .expect("opens")
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .expect("reads");
        assert_eq!(found, migrations::VERSION);
    }
    assert_eq!(fixtures.len() - 1, migrations::VERSION as usize, "each version has its fixture");
}

async fn reads_the_subscriptions_of_the_fixture(store: &SqliteStore) {
    let id: StreamId = "018bcfe5-687b-7fff-bfff-fffffffffffe".parse().expect("a UUID");
    let payment: StreamId = "018bcfe5-687b-7fff-bfff-fffffffffffd".parse().expect("a UUID");
    let owner = PublicKey::from_byte_array([1; 32]);
    let schedule = ScheduleRecord {
        stream: id,
        owner,
        subscription_id: "sub-42".to_owned(),
        due_at: Some(Timestamp::from_secs(1_700_086_400)),
        waits_for: Some(payment),
        ended_at: None,
        state: br#"{"phase":"x"}"#.to_vec(),
        next_index: 3,
    };
    assert_eq!(store.schedule(id).await.expect("reads"), Some(schedule));
    let charge = ChargeRecord {
        schedule: id,
        period: 7,
        attempt: 1,
        due: Timestamp::from_secs(1_700_000_000),
        at: Timestamp::from_secs(1_700_000_001),
        amount: 21_000,
        payment,
        paid: true,
    };
    assert_eq!(store.charges(id, None, 10).await.expect("reads"), [charge]);
    let authorization = AuthorizationRecord {
        subscription_id: "sub-43".to_owned(),
        service: owner,
        ended_at: None,
        state: br#"{"amount":1}"#.to_vec(),
    };
    assert_eq!(store.authorizations().await.expect("reads"), [authorization]);
}

async fn reads_the_rows_of_the_fixture(store: &SqliteStore) {
    let id: StreamId = "018bcfe5-687b-7fff-bfff-ffffffffffff".parse().expect("a UUID");
    let at = Timestamp::from_secs(1_700_000_000);
    let open = ConversationRecord {
        stream: id,
        machine: "auth".to_owned(),
        state: br#"{"state":"waiting"}"#.to_vec(),
        next_index: 1,
    };
    assert_eq!(store.conversations().await.expect("reads"), [open]);
    let event = StreamEvent {
        stream: id,
        index: 0,
        at_millis: 1_700_000_000_123,
        body: PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::UserApproved },
    };
    assert_eq!(store.events(id, None, 10).await.expect("reads"), [event]);
    let main_key = PublicKey::from_byte_array([1; 32]);
    let peer = PeerRecord {
        main_key,
        subkeys: vec![PublicKey::from_byte_array([2; 32])],
        relays: vec!["wss://relay.example".to_owned()],
        seen_at: at,
    };
    assert_eq!(store.peer(main_key).await.expect("reads"), Some(peer));
    let key = IdempotencyRecord {
        key: "key".to_owned(),
        command_hash: [3; 32],
        stream: Some(id),
        answer: None,
        at,
    };
    assert_eq!(store.idempotency("key").await.expect("reads"), Some(key));
    let payment = OutgoingRecord {
        payment_hash: [4; 32],
        invoice: "lnbcrt1invoice".to_owned(),
        amount: Millisats::new(21_000),
        status: OutgoingStatus::Pending,
        at,
        payee: None,
        max_fee: Millisats::new(0),
        attempt: 1,
    };
    assert_eq!(store.pending_outgoing().await.expect("reads"), [payment]);
    assert_eq!(store.setting("name").await.expect("reads"), Some(vec![1, 255]));
    let spent = store.spent_since(at, None).await.expect("reads");
    assert_eq!(spent.total, Millisats::new(21_000), "what an older program has spent counts");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let newer = Connection::open(place.path()).expect("opens");
    newer.execute_batch("CREATE TABLE novel (x); PRAGMA user_version = 999").expect("writes");
    newer.close().expect("closes");
    let before = fs::read(place.path()).expect("reads");
    let refused = SqliteStore::open(&place.path(), SqliteOptions::default()).err();
    assert!(
        matches!(refused, Some(StorageError::TooNew { found: 999, known: migrations::VERSION })),
        "{refused:?}"
    );
    assert_eq!(fs::read(place.path()).expect("reads"), before);
}

#[test]
fn what_is_no_database_or_lacks_its_tables_is_refused() {
    let place = Place::new();
    fs::write(place.path(), "this is a letter to a friend, not a database".repeat(50))
        .expect("writes");
    assert!(matches!(
        SqliteStore::open(&place.path(), SqliteOptions::default()),
        Err(StorageError::Backend(_))
    ));

    let place = Place::new();
    let bare = Connection::open(place.path()).expect("opens");
    bare.pragma_update(None, "user_version", migrations::VERSION).expect("writes");
    bare.close().expect("closes");
    assert!(matches!(
        SqliteStore::open(&place.path(), SqliteOptions::default()),
        Err(StorageError::Backend(_))
    ));
}

#[tokio::test]
async fn what_was_not_committed_is_invisible_in_a_copy_of_the_files() {
    let place = Place::new();
    let store = place.open();
    commit(&store, vec![append(1, 0, 1), Write::PutConversation(conversation(1, 1))])
        .await
        .expect("commits");
    // A transaction too large for its cache: its pages are in the log, its commit is not.
    let other = Connection::open(place.path()).expect("opens");
    other
        .execute_batch(
            "PRAGMA cache_size = 10; BEGIN IMMEDIATE; DELETE FROM conversations;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO events SELECT randomblob(16), i, 1, hex(randomblob(100)) FROM n",
        )
        .expect("writes");
    let wal = with_suffix(&place.path(), "-wal");
    assert!(fs::metadata(&wal).expect("is there").len() > 1_000_000, "the pages reached the log");

    let copy = Place::new();
    fs::copy(place.path(), copy.path()).expect("copies");
    fs::copy(&wal, with_suffix(&copy.path(), "-wal")).expect("copies");
    let recovered = copy.open();
    assert_eq!(recovered.conversations().await.expect("reads"), [conversation(1, 1)]);
    assert_eq!(rows_in_events(&copy.path()), 1);
    commit(&recovered, vec![append(1, 1, 1)]).await.expect("the copy goes on");
    other.execute_batch("ROLLBACK").expect("rolls back");
}

#[tokio::test]
async fn a_torn_log_keeps_all_commits_before_the_tear() {
    let place = Place::new();
    let store = place.open();
    for index in 0..20 {
        commit(&store, vec![append(1, index, 1), append(2, index, 1)]).await.expect("commits");
    }
    let copy = Place::new();
    fs::copy(place.path(), copy.path()).expect("copies");
    let mut log = fs::read(with_suffix(&place.path(), "-wal")).expect("reads");
    log.truncate(log.len() - 100);
    fs::write(with_suffix(&copy.path(), "-wal"), log).expect("writes");

    let recovered = copy.open();
    let first = recovered.stream(stream(1)).await.expect("reads").expect("is there").events;
    let second = recovered.stream(stream(2)).await.expect("reads").expect("is there").events;
    assert_eq!(first, 19, "only the torn commit is gone");
    assert_eq!(second, first, "a batch is there whole or not at all");
}

#[tokio::test]
async fn a_batch_the_database_cannot_take_fails_alone() {
    let place = Place::new();
    let store = place.open();
    // Holding the writer until all three wait puts them into one group.
    let (release, gate) = channel::<()>();
    store.commit(vec![], Box::new(move |_| gate.recv().expect("the test releases it")));
    let (sender, outcomes) = channel();
    let note = |number: u8| -> Done {
        let sender = sender.clone();
        Box::new(move |outcome| {
            let error = outcome.err().map(|error| matches!(error, StorageError::Backend(_)));
            sender.send((number, error)).expect("the test waits");
        })
    };
    store.commit(vec![append(1, 0, 1)], note(1));
    store.commit(vec![append(2, 0, 1), Write::PutConversation(conversation(2, u64::MAX))], note(2));
    store.commit(vec![append(3, 0, 1)], note(3));
    store.commit(vec![append(1, 0, 1)], note(4));
    release.send(()).expect("the writer waits");
    commit(&store, vec![]).await.expect("commits");
    let outcomes: Vec<_> = outcomes.try_iter().collect();
    assert_eq!(outcomes, [(1, None), (2, Some(true)), (3, None), (4, Some(false))]);
    assert!(store.stream(stream(1)).await.expect("reads").is_some());
    assert_eq!(store.stream(stream(2)).await.expect("reads"), None);
    assert!(store.stream(stream(3)).await.expect("reads").is_some());
}

#[tokio::test]
async fn batches_that_wait_share_one_commit() {
    let place = Place::new();
    let store = place.open();
    let (release, gate) = channel::<()>();
    store.commit(vec![], Box::new(move |_| gate.recv().expect("the test releases it")));
    let seen = Connection::open(place.path()).expect("opens");
    let (sender, visible) = channel();
    let path = place.path();
    store.commit(
        vec![append(1, 0, 1)],
        Box::new(move |_| {
            sender.send(rows_in_events(&path)).expect("the test waits");
        }),
    );
    for index in 1..100 {
        store.commit(vec![append(1, index, 1)], Box::new(|_| ()));
    }
    release.send(()).expect("the writer waits");
    commit(&store, vec![]).await.expect("commits");
    // When the first was acknowledged the hundredth was durable too.
    assert_eq!(visible.try_recv(), Ok(100));
    drop(seen);
}

#[tokio::test]
async fn while_another_process_holds_the_file_commits_fail_and_reads_go_on() {
    let mut place = Place::new();
    place.options.busy_timeout = Duration::from_millis(20);
    let store = place.open();
    commit(&store, vec![append(1, 0, 1)]).await.expect("commits");
    let other = Connection::open(place.path()).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locks");
    let refused = commit(&store, vec![append(1, 1, 1)]).await;
    assert!(matches!(refused, Err(StorageError::Backend(_))), "{refused:?}");
    assert!(matches!(store.check().await, Err(StorageError::Backend(_))));
    assert_eq!(store.events(stream(1), None, 10).await.expect("reads").len(), 1);
    other.execute_batch("ROLLBACK").expect("unlocks");
    store.check().await.expect("well again");
    commit(&store, vec![append(1, 1, 1)]).await.expect("commits");
}

#[tokio::test]
async fn a_stored_value_that_makes_no_sense_is_an_error_and_no_panic() {
    let place = Place::new();
    let store = place.open();
    commit(&store, vec![append(1, 0, 1)]).await.expect("commits");
    let other = Connection::open(place.path()).expect("opens");
    other
        .execute_batch(
            "UPDATE events SET body = '{\"type\":\"unheard of\"}';
             INSERT INTO conversations VALUES (x'0102', 'auth', 0, x'');
             INSERT INTO peers VALUES (zeroblob(32), 1, x'01', '[]')",
        )
        .expect("writes");
    let corrupt = |error| matches!(error, Some(StorageError::Corrupt { .. }));
    assert!(corrupt(store.events(stream(1), None, 10).await.err()));
    assert!(corrupt(store.conversations().await.err()));
    assert!(corrupt(store.peer(PublicKey::from_byte_array([0; 32])).await.err()));
    store.check().await.expect("the store itself works");
}

#[tokio::test]
async fn the_last_reference_may_die_in_a_callback() {
    let place = Place::new();
    let store = Arc::new(place.open());
    let inner = Arc::clone(&store);
    let (sender, done) = oneshot::channel();
    store.commit(
        vec![append(1, 0, 1)],
        Box::new(move |outcome| {
            // The test drops its own reference first.
            while Arc::strong_count(&inner) > 1 {
                std::thread::yield_now();
            }
            drop(inner);
            sender.send(outcome.is_ok()).expect("the test waits");
        }),
    );
    drop(store);
    assert_eq!(done.await, Ok(true));
    assert!(place.open().stream(stream(1)).await.expect("reads").is_some());
}

#[tokio::test]
async fn checkpoints_move_the_log_into_the_database_while_it_is_open() {
    let place = Place { options: fast(), ..Place::new() };
    let store = place.open();
    let size = || fs::metadata(place.path()).expect("is there").len();
    let empty = size();
    for index in 0..30_000 {
        store.commit(vec![append(index % 100, index / 100, 1)], Box::new(|_| ()));
    }
    commit(&store, vec![]).await.expect("commits");
    assert!(size() > empty + 1_000_000, "{}", size());
    assert_eq!(rows_in_events(&place.path()), 30_000);
}

fn fast() -> SqliteOptions {
    SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn rows_in_events(path: &Path) -> i64 {
    let connection = Connection::open(path).expect("opens");
    connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).expect("counts")
}
