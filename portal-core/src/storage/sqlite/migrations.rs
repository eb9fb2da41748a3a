//! Brings a database of any older version to the present one. Numbered files, each run once.

use rusqlite::{Connection, TransactionBehavior};

use super::backend;
use crate::storage::StorageError;

/// The files in order: the first makes version 1. Never edited once released.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_subscriptions.sql"),
    include_str!("migrations/0003_payments.sql"),
];

/// The version this program writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Refuses a database from the future before anything touches it.
///
/// # Errors
/// [`StorageError::TooNew`].
pub(super) fn check(connection: &Connection) -> Result<(), StorageError> {
    known(version(connection)?, VERSION).map(drop)
}

/// Runs what is missing, all of it or nothing.
///
/// # Errors
/// [`StorageError::TooNew`] when the file was written by a newer program; it is left untouched.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    migrate_to(connection, VERSION)
}

fn migrate_to(connection: &mut Connection, target: u32) -> Result<(), StorageError> {
    if known(version(connection)?, target)? == target {
        return Ok(());
    }
    // Read again under the lock: another process may have migrated meanwhile.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(backend)?;
    let found = known(version(&transaction)?, target)?;
    for (number, sql) in (1..=target).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        transaction.execute_batch(sql).map_err(backend)?;
        transaction.pragma_update(None, "user_version", number).map_err(backend)?;
    }
    transaction.commit().map_err(backend)
}

/// The version, unless it is from the future.
fn known(found: u32, target: u32) -> Result<u32, StorageError> {
    if found > target {
        return Err(StorageError::TooNew { found, known: target });
    }
    Ok(found)
}

fn version(connection: &Connection) -> Result<u32, StorageError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map_err(backend)
        .and_then(|found| {
            u32::try_from(found).map_err(|_| StorageError::Corrupt { what: "schema version" })
        })
}

/// An empty database as the program of that version would have left it.
#[cfg(test)]
pub(super) fn database_of_version(path: &std::path::Path, wanted: u32) -> Connection {
    let mut connection = Connection::open(path).expect("opens");
    migrate_to(&mut connection, wanted).expect("migrates");
    connection
}
