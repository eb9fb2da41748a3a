//! The ticket wallet's own SQLite file: proofs, the journal of operations, keysets, and what a
//! gate has seen.
//!
//! It is apart from the store of conversations because it is money: it can be backed up, moved and
//! locked by itself, and a login never waits for it. One thread owns the connection; each call is
//! one transaction, and is durable (`synchronous=FULL`) when it returns. One process per file.

mod allowances;
mod news;
mod owner;
mod queries;
mod rows;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{oneshot, watch};

pub use news::News;
pub use rows::{
    AdmissionRow, AllowanceRow, Change, KeysetRow, MintRow, Move, OperationRow, ProofRow,
    ProofState, SumRow, TicketEventRow, UnitInfoRow, Y,
};

use super::{SqliteOptions, Synchronous, Worker, backend, connect, lock, private_file, set, take};
use crate::storage::StorageError;

/// The files in order: the first makes version 1. Never edited once released.
const MIGRATIONS: [&str; 3] =
    [include_str!("schema.sql"), include_str!("charges.sql"), include_str!("owner.sql")];

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The ticket wallet's file.
pub struct TicketStore {
    worker: Worker<Job>,
    /// Held by this process alone, until the store is closed or the process ends.
    lock: Mutex<Option<File>>,
    news: watch::Sender<News>,
}

/// What [`TicketStore::begin`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The operation is new, and now durable.
    New,
    /// There is one with this key.
    Existing(OperationRow),
}

impl TicketStore {
    /// Opens the file, creates it when it is not there, and brings it to the present version.
    /// Blocks for a few disk writes.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when another process has it open, [`StorageError::TooNew`] when a
    /// newer program wrote it, [`StorageError::Backend`] when it cannot be opened.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, StorageError> {
        private_file::create_parent(path).map_err(backend)?;
        private_file::ensure(path).map_err(backend)?;
        let lock = take(path)?;
        let connection = connect(path, options)?;
        known_version(&connection)?;
        set(&connection, "journal_mode", "WAL")?;
        let synchronous = match options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        set(&connection, "synchronous", synchronous)?;
        Self::start(connection, Some(lock))
    }

    /// A store that ends with the process, for tests.
    ///
    /// # Errors
    /// When SQLite cannot be started.
    #[cfg(feature = "testing")]
    pub fn in_memory() -> Result<Self, StorageError> {
        Self::start(Connection::open_in_memory().map_err(backend)?, None)
    }

    fn start(mut connection: Connection, lock: Option<File>) -> Result<Self, StorageError> {
        migrate(&mut connection)?;
        let worker = Worker::start("portal-ticket-store", connection, |connection, jobs| {
            for job in jobs {
                let job: Job = job;
                // Whoever waits sees its channel close; what it began is rolled back.
                if catch_unwind(AssertUnwindSafe(|| job(connection))).is_err() {
                    tracing::error!("a call of the ticket store panicked");
                }
            }
        })?;
        Ok(Self { worker, lock: Mutex::new(lock), news: watch::Sender::default() })
    }

    /// One transaction on the store's thread.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = (|| {
                // Unchecked: nothing else uses this connection while a job runs.
                let transaction =
                    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
                        .map_err(backend)?;
                let value = work(&transaction)?;
                transaction.commit().map_err(backend)?;
                Ok(value)
            })();
            // Whoever asked may have gone.
            drop(reply.send(result));
        });
        self.worker.send(job).map_err(|_| StorageError::Closed)?;
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Writes what was handed in, then closes. Later calls are refused. Idempotent.
    pub async fn close(&self) {
        self.worker.close();
        self.worker.ended.cancelled().await;
        self.worker.join();
        drop(lock(&self.lock).take());
    }
}

impl std::fmt::Debug for TicketStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketStore")
    }
}

fn known_version(connection: &Connection) -> Result<usize, StorageError> {
    let found: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(backend)?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StorageError::TooNew { found, known });
    }
    Ok(found as usize)
}

fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    let found = known_version(connection)?;
    if found == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(backend)?;
    for sql in &MIGRATIONS[found..] {
        transaction.execute_batch(sql).map_err(backend)?;
    }
    let version = MIGRATIONS.len() as u32;
    transaction.pragma_update(None, "user_version", version).map_err(backend)?;
    transaction.commit().map_err(backend)
}
