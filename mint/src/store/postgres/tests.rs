//! The driver against a server, when `PORTAL_TEST_POSTGRES` names one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cdk_common::database::Error;
use cdk_sql_common::database::{DatabaseExecutor as _, DatabaseTransaction as _};
use cdk_sql_common::stmt::{Statement, query};
use cdk_sql_common::value::Value;
use portal_core::env::Env;

use super::TIMEOUT;
use super::connection::{Connection, Transactions};
use super::target::Target;

const TABLES: &str = "CREATE TABLE completed_operations (operation_id TEXT PRIMARY KEY);
     CREATE TABLE keyset_amounts \
     (keyset_id TEXT PRIMARY KEY, total_issued BIGINT, total_redeemed BIGINT)";

/// A connection to a schema of its own, and what says that it is of no use any more.
async fn connection() -> Option<(Connection, Arc<AtomicBool>)> {
    let server = std::env::var("PORTAL_TEST_POSTGRES").ok().filter(|it| !it.is_empty())?;
    let schema = Env::system().alphanumeric(12).to_lowercase();
    let target = Target::parse(&format!("{server} schema=driver_{schema}"), 1).expect("a target");
    let stale = Arc::new(AtomicBool::new(false));
    let connection = Connection::new(target, Arc::clone(&stale), TIMEOUT);
    connection.batch(query(TABLES).expect("plain")).await.expect("tables");
    Some((connection, stale))
}

fn operation(id: &str) -> Statement {
    let sql = "INSERT INTO completed_operations (operation_id) VALUES (:operation_id)";
    query(sql).expect("a statement").bind("operation_id", id)
}

fn issued(keyset: &str, amount: i64) -> Statement {
    let sql = "INSERT INTO keyset_amounts (keyset_id, total_issued, total_redeemed) \
               VALUES (:keyset_id, :amount, 0)";
    query(sql).expect("a statement").bind("keyset_id", keyset).bind("amount", amount)
}

async fn number(connection: &Connection, sql: &str) -> Result<i64, Error> {
    match connection.pluck(query(sql)?).await? {
        Some(Value::Integer(number)) => Ok(number),
        other => panic!("{other:?}"),
    }
}

const OPERATIONS: &str = "SELECT COUNT(*) FROM completed_operations";

#[tokio::test]
async fn a_write_that_was_sent_ahead_and_failed_is_told_by_what_comes_next() {
    let Some((mut connection, _)) = connection().await else { return };
    Transactions::begin(&mut connection).await.expect("begun");
    for _ in 0..2 {
        connection.execute(operation("one")).await.expect("nobody waits for it");
    }
    let next = number(&connection, OPERATIONS).await;
    assert!(matches!(next, Err(Error::Duplicate)), "the first reason: {next:?}");
    let committed = Transactions::commit(&mut connection).await;
    assert!(committed.is_err(), "PostgreSQL would have said yes, and rolled back");
    Transactions::rollback(&mut connection).await.expect("rolled back");
    assert_eq!(number(&connection, OPERATIONS).await.expect("usable again"), 0);
}

#[tokio::test]
async fn a_commit_answers_for_all_that_was_sent() {
    let Some((mut connection, _)) = connection().await else { return };
    for (ids, expected) in [(["one", "one"], 0), (["two", "three"], 2)] {
        Transactions::begin(&mut connection).await.expect("begun");
        for id in ids {
            connection.execute(operation(id)).await.expect("nobody waits for it");
        }
        let committed = Transactions::commit(&mut connection).await;
        assert_eq!(committed.is_ok(), expected > 0, "{committed:?}");
        if committed.is_err() {
            Transactions::rollback(&mut connection).await.expect("rolled back");
        }
        assert_eq!(number(&connection, OPERATIONS).await.expect("a number"), expected);
    }
}

#[tokio::test]
async fn outside_a_transaction_every_write_is_waited_for() {
    let Some((connection, _)) = connection().await else { return };
    connection.execute(operation("one")).await.expect("written");
    let again = connection.execute(operation("one")).await;
    assert!(matches!(again, Err(Error::Duplicate)), "{again:?}");
}

#[tokio::test]
async fn what_is_issued_is_written_as_one_sum_and_seen_by_what_comes_next() {
    let Some((mut connection, _)) = connection().await else { return };
    Transactions::begin(&mut connection).await.expect("begun");
    for (keyset, amount) in [("a", 1), ("a", 2), ("b", 5), ("a", 4)] {
        connection.execute(issued(keyset, amount)).await.expect("nobody waits for it");
    }
    for (keyset, expected) in [("a", 7), ("b", 5)] {
        let sql = format!("SELECT total_issued FROM keyset_amounts WHERE keyset_id = '{keyset}'");
        assert_eq!(number(&connection, &sql).await.expect("a number"), expected, "{keyset}");
    }
    for _ in 0..2 {
        connection.execute(issued("c", i64::MAX)).await.expect("nobody waits for it");
    }
    assert!(Transactions::commit(&mut connection).await.is_err(), "no sum runs over");
    Transactions::rollback(&mut connection).await.expect("rolled back");
    assert_eq!(number(&connection, "SELECT COUNT(*) FROM keyset_amounts").await.expect("all"), 0);
}

#[tokio::test]
async fn what_a_rollback_finds_unsent_is_never_sent() {
    let Some((mut connection, _)) = connection().await else { return };
    Transactions::begin(&mut connection).await.expect("begun");
    connection.execute(issued("a", 1)).await.expect("nobody waits for it");
    Transactions::rollback(&mut connection).await.expect("rolled back");
    assert_eq!(number(&connection, "SELECT COUNT(*) FROM keyset_amounts").await.expect("all"), 0);
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let Some((connection, _)) = connection().await else { return };
    let table = "CREATE TABLE kinds (a BIGINT, b INTEGER, c SMALLINT, d BOOLEAN, e TEXT, f BYTEA)";
    connection.batch(query(table).expect("plain")).await.expect("a table");
    let row = |numbers: i64, text: Option<&str>, bytes: &[u8]| {
        query("INSERT INTO kinds VALUES (:a, :b, :c, :d, :e, :f)")
            .expect("a statement")
            .bind("a", i64::MIN)
            .bind("b", numbers)
            .bind("c", 7_i64)
            .bind("d", true)
            .bind("e", text.map(str::to_owned))
            .bind("f", bytes.to_vec())
    };
    connection.execute(row(-5, Some("it's; --"), &[0, 255])).await.expect("written");
    connection.execute(row(6, None, &[])).await.expect("written");
    let wide = connection.execute(row(i64::MAX, None, &[])).await;
    assert!(wide.is_err(), "a number that does not fit is not cut");
    let all = query("SELECT a, b, c, d, e, f FROM kinds WHERE e IN (:texts) OR f IN (:bytes)")
        .expect("a statement")
        .bind_vec("texts", vec!["it's; --"])
        .expect("some")
        .bind_vec("bytes", vec![Vec::<u8>::new()])
        .expect("some");
    let rows = connection.fetch_all(all).await.expect("rows");
    let (text, none) = (Value::Text("it's; --".to_owned()), Value::Null);
    let number = Value::Integer;
    assert_eq!(
        rows,
        [
            [number(i64::MIN), number(-5), number(7), number(1), text, Value::Blob(vec![0, 255])],
            [number(i64::MIN), number(6), number(7), number(1), none, Value::Blob(Vec::new())],
        ]
    );
}

#[tokio::test]
async fn a_connection_that_is_lost_is_not_used_again() {
    let Some((connection, stale)) = connection().await else { return };
    // Its answer may come before its end, or not.
    let end = query("SELECT pg_terminate_backend(pg_backend_pid())").expect("a statement");
    drop(connection.pluck(end).await);
    let noticed = async {
        while !stale.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), noticed).await.expect("noticed");
    assert!(number(&connection, OPERATIONS).await.is_err());
}
