//! The store in a SQLite file: one thread writes, one thread reads, no async worker waits for the
//! disk.
//!
//! Write-ahead log, so that reads go on beside a commit. A read that starts after a batch's `done`
//! sees the batch. The file, its log and its index belong to their owner alone (mode 0600).
//! One process per file: nothing here arbitrates between two.

mod migrations;
mod payments;
mod reads;
mod schedules;
#[cfg(test)]
mod tests;
#[cfg(feature = "cashu")]
pub mod tickets;
mod writer;
mod writes;

use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use nostr::PublicKey;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::completion::Completion;
use super::{
    ConversationRecord, ConversationStore, Done, EventLog, IdempotencyRecord, IdempotencyStore,
    OutgoingRecord, OutgoingStore, PeerRecord, PeerStore, SettingStore, StorageError, Store,
    StreamInfo, Write, private_file,
};
use crate::event::StreamEvent;
use crate::primitives::{StreamId, Timestamp};
use writer::{Batch, Job};
use writes::Expired;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// For the disk: what was acknowledged survives the loss of power.
    #[default]
    Full,
    /// For the operating system: survives the death of the process; the loss of power may take
    /// back the last commits, never part of one.
    Normal,
}

/// How to open a [`SqliteStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What a commit waits for.
    pub synchronous: Synchronous,
    /// How long to wait for another process that holds the file, a backup for example.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { synchronous: Synchronous::Full, busy_timeout: Duration::from_secs(5) }
    }
}

/// The store in a SQLite file.
///
/// Dropping it writes what was handed in, and blocks meanwhile; [`Store::close`] does the same
/// without blocking.
pub struct SqliteStore {
    writer: Worker<Job>,
    reader: Worker<Read>,
    /// Held by this process alone, until the store is closed or the process ends.
    lock: Mutex<Option<File>>,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

impl SqliteStore {
    /// Opens the file, creates it when it is not there, and brings it to the present version.
    /// Blocks for a few disk writes.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when another process has it open,
    /// [`StorageError::TooNew`] when a newer program wrote it, [`StorageError::Backend`] when it
    /// cannot be opened or is not a database.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, StorageError> {
        private_file::create_parent(path).map_err(backend)?;
        private_file::ensure(path).map_err(backend)?;
        let lock = take(path)?;

        let mut connection = connect(path, options)?;
        migrations::check(&connection)?;
        set(&connection, "journal_mode", "WAL")?;
        let synchronous = match options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        set(&connection, "synchronous", synchronous)?;
        // The writer makes checkpoints itself, between groups; these are the outer bounds.
        set(&connection, "wal_autocheckpoint", 16_384)?;
        set(&connection, "journal_size_limit", 64 * 1024 * 1024)?;
        set(&connection, "cache_size", -4096)?;
        migrations::migrate(&mut connection)?;
        writes::Writes::prepare(&connection).map_err(backend)?;

        let reading = connect(path, options)?;
        set(&reading, "query_only", true)?;

        let writer = Worker::start("portal-store-writer", connection, |connection, jobs| {
            writer::run(connection, &jobs);
        })?;
        let reader = Worker::start("portal-store-reader", reading, |connection, reads| {
            for read in reads {
                let read: Read = read;
                // Whoever waits sees its channel close; the next read is none of its business.
                if catch_unwind(AssertUnwindSafe(|| read(connection))).is_err() {
                    tracing::error!("a read of the store panicked");
                }
            }
        })?;
        Ok(Self { writer, reader, lock: Mutex::new(Some(lock)) })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            // Whoever asked may have gone.
            drop(reply.send(read(connection)));
        });
        self.reader.send(read).map_err(|_| StorageError::Closed)?;
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StorageError>>) -> Job,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(job(reply)).map_err(|_| StorageError::Closed)?;
        answer.await.unwrap_or(Err(StorageError::Closed))
    }
}

#[async_trait]
impl ConversationStore for SqliteStore {
    async fn conversations(&self) -> Result<Vec<ConversationRecord>, StorageError> {
        self.read(reads::conversations).await
    }
}

#[async_trait]
impl EventLog for SqliteStore {
    async fn events(
        &self,
        stream: StreamId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StreamEvent>, StorageError> {
        self.read(move |connection| reads::events(connection, stream, after, limit)).await
    }

    async fn stream(&self, stream: StreamId) -> Result<Option<StreamInfo>, StorageError> {
        self.read(move |connection| reads::stream(connection, stream)).await
    }
}

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn idempotency(&self, key: &str) -> Result<Option<IdempotencyRecord>, StorageError> {
        let key = key.to_owned();
        self.read(move |connection| reads::idempotency(connection, &key)).await
    }
}

#[async_trait]
impl PeerStore for SqliteStore {
    async fn peer(&self, main_key: PublicKey) -> Result<Option<PeerRecord>, StorageError> {
        self.read(move |connection| reads::peer(connection, main_key)).await
    }
}

#[async_trait]
impl OutgoingStore for SqliteStore {
    async fn outgoing(
        &self,
        payment_hash: [u8; 32],
    ) -> Result<Option<OutgoingRecord>, StorageError> {
        self.read(move |connection| reads::outgoing(connection, payment_hash)).await
    }

    async fn pending_outgoing(&self) -> Result<Vec<OutgoingRecord>, StorageError> {
        self.read(reads::pending_outgoing).await
    }
}

#[async_trait]
impl SettingStore for SqliteStore {
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let name = name.to_owned();
        self.read(move |connection| reads::setting(connection, &name)).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn commit(&self, batch: Vec<Write>, done: Done) {
        let batch = Batch { writes: batch, completion: Completion::new(done) };
        // A refused batch is dropped here, and that tells its callback.
        drop(self.writer.send(Job::Batch(batch)));
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, StorageError> {
        // Schedules first: their streams go with the others once they have ended.
        let schedules = Expired { before, streams: Vec::new(), idempotency: Vec::new() };
        let mut rows = self.ask(|reply| Job::Prune(schedules, reply)).await?;
        let mut cursor = Some(reads::PruneCursor::default());
        while let Some(from) = cursor {
            let (expired, next) =
                self.read(move |connection| reads::expired(connection, before, from)).await?;
            if !expired.streams.is_empty() || !expired.idempotency.is_empty() {
                rows += self.ask(|reply| Job::Prune(expired, reply)).await?;
            }
            cursor = next;
        }
        Ok(rows)
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.ask(Job::Check).await?;
        self.read(reads::check).await
    }

    async fn close(&self) {
        self.writer.close();
        self.writer.ended.cancelled().await;
        self.reader.close();
        self.reader.ended.cancelled().await;
        self.writer.join();
        self.reader.join();
        drop(lock(&self.lock).take());
    }
}

/// A thread that owns a connection, and the way to talk to it.
struct Worker<T> {
    sender: Mutex<Option<Sender<T>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Set when the thread has closed its connection, however it came to that.
    ended: CancellationToken,
}

impl<T: Send + 'static> Worker<T> {
    fn start(
        name: &str,
        connection: Connection,
        run: impl FnOnce(&Connection, std::sync::mpsc::Receiver<T>) + Send + 'static,
    ) -> Result<Self, StorageError> {
        let (sender, receiver) = channel();
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Dropped last, also when this panics.
                let _ended = guard;
                run(&connection, receiver);
                if let Err((_, error)) = connection.close() {
                    tracing::warn!(%error, "the database was not closed in order");
                }
            })
            .map_err(backend)?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), ended })
    }

    /// Gives the value back when the thread takes no more.
    fn send(&self, value: T) -> Result<(), T> {
        let sender = lock(&self.sender);
        match sender.as_ref() {
            // Sent under the lock: the order of batches is one for all threads.
            Some(sender) => sender.send(value).map_err(|refused| refused.0),
            None => Err(value),
        }
    }
}

impl<T> Worker<T> {
    /// Lets the thread end when it has done what it was sent.
    fn close(&self) {
        drop(lock(&self.sender).take());
    }

    fn join(&self) {
        let thread = lock(&self.thread).take();
        // A callback may hold the last reference to the store: it then runs on this very thread.
        if let Some(thread) = thread.filter(|it| it.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("a thread of the store panicked");
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.close();
        self.join();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the database for this process. The file stays; the lock goes with the process, however it
/// ends.
fn take(path: &Path) -> Result<File, StorageError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let path = Path::new(&name);
    private_file::ensure(path).map_err(backend)?;
    let file = File::options().write(true).open(path).map_err(backend)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse),
        Err(TryLockError::Error(error)) => Err(backend(error)),
    }
}

fn connect(path: &Path, options: SqliteOptions) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(backend)?;
    connection.busy_timeout(options.busy_timeout).map_err(backend)?;
    set(&connection, "foreign_keys", true)?;
    set(&connection, "trusted_schema", false)?;
    Ok(connection)
}

fn set(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), StorageError> {
    connection.pragma_update(None, name, value).map_err(backend)
}

fn backend(error: impl std::error::Error + Send + Sync + 'static) -> StorageError {
    StorageError::Backend(Arc::new(error))
}
