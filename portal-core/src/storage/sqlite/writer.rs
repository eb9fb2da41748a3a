//! The writer's thread: takes batches as they come and makes them durable in groups.
//!
//! While one commit waits for the disk the next batches gather in the channel; they then share
//! one transaction. Nothing ever waits for a group to fill: an idle store commits at once.
//!
//! No savepoint on the usual paths. A batch with at most one write that can conflict applies that
//! one first: when it is refused, nothing of the batch has been done yet. So does a batch that has
//! an event beside it, once the event's place was looked at. Only batches with more such writes pay
//! for a savepoint, which copies every page that is changed. An error other than a conflict undoes the group, and each of
//! its batches is then tried alone, so that only the one at fault fails.

use std::sync::mpsc::{Receiver, TryRecvError};

use rusqlite::{Connection, Statement};
use tokio::sync::oneshot;

use super::backend;
use super::writes::{Expired, Writes, is_unique};
use crate::storage::completion::Completion;
use crate::storage::{StorageError, Write};

/// The most batches in one transaction: bounds how long the first of them waits.
const GROUP_LIMIT: usize = 512;

/// Writes between two checkpoints. They run when the group's callbacks have run, so that no batch
/// waits for one; SQLite's own limit, set at opening, is far above what this lets gather.
const CHECKPOINT_AFTER: usize = 8192;

/// What the writer is told.
pub(super) enum Job {
    /// Write this.
    Batch(Batch),
    /// Delete what is old.
    Prune(Expired, oneshot::Sender<Result<u64, StorageError>>),
    /// Say whether writing works.
    Check(oneshot::Sender<Result<(), StorageError>>),
}

/// A batch on its way.
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    pub(super) completion: Completion,
}

/// Runs until every sender is gone and everything they sent is written.
pub(super) fn run(connection: &Connection, jobs: &Receiver<Job>) {
    let mut writer = match Writer::new(connection) {
        Ok(writer) => writer,
        Err(error) => {
            tracing::error!(%error, "the store's writer cannot start");
            return;
        }
    };
    let mut next = None;
    loop {
        let job = match next.take() {
            Some(job) => job,
            None => match jobs.recv() {
                Ok(job) => job,
                Err(_) => return,
            },
        };
        match job {
            Job::Batch(batch) => next = writer.write_group(batch, jobs),
            Job::Prune(expired, reply) => answer(reply, writer.prune(&expired)),
            Job::Check(reply) => answer(reply, writer.check()),
        }
        writer.checkpoint_when_due();
    }
}

fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    // Whoever asked may have gone; there is nobody else to tell.
    drop(reply.send(value));
}

struct Writer<'c> {
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    savepoint: Statement<'c>,
    release: Statement<'c>,
    undo: Statement<'c>,
    writes: Writes<'c>,
    since_checkpoint: usize,
    last_commit_failed: bool,
}

impl<'c> Writer<'c> {
    fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            savepoint: connection.prepare("SAVEPOINT batch")?,
            release: connection.prepare("RELEASE batch")?,
            undo: connection.prepare("ROLLBACK TO batch")?,
            writes: Writes::prepare(connection)?,
            since_checkpoint: 0,
            last_commit_failed: false,
        })
    }

    /// Writes the batch and what waits behind it. Returns a job that ended the group.
    fn write_group(&mut self, first: Batch, jobs: &Receiver<Job>) -> Option<Job> {
        let mut group = Vec::with_capacity(16);
        let mut outcomes: Vec<Result<(), StorageError>> = Vec::with_capacity(16);
        let mut failed = self.begin().err();
        let mut next = Some(first);
        let mut ended_by = None;
        while let Some(batch) = next.take() {
            // Once the group has failed the rest is only collected, to share its fate.
            if failed.is_none() {
                match self.apply(&batch.writes) {
                    Ok(()) => outcomes.push(Ok(())),
                    Err(conflict @ StorageError::Conflict { .. }) => outcomes.push(Err(conflict)),
                    Err(error) => failed = Some(error),
                }
            }
            group.push(batch);
            if group.len() == GROUP_LIMIT {
                break;
            }
            match jobs.try_recv() {
                Ok(Job::Batch(batch)) => next = Some(batch),
                Ok(other) => ended_by = Some(other),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
        }
        let result = match failed {
            None => self.commit(),
            Some(error) if self.connection.is_autocommit() && outcomes.is_empty() => Err(error),
            Some(_) => {
                self.roll_back();
                outcomes = self.write_alone(&group);
                Ok(())
            }
        };
        if let Err(error) = result {
            tracing::warn!(error = %Chain(&error), batches = group.len(), "a commit failed");
            outcomes = vec![Err(error); group.len()];
        }
        for (batch, outcome) in group.into_iter().zip(outcomes) {
            self.since_checkpoint += batch.writes.len();
            batch.completion.finish(outcome);
        }
        ended_by
    }

    /// Writes each batch in a transaction of its own. When not even that can be begun or
    /// committed, the rest is not tried.
    fn write_alone(&mut self, group: &[Batch]) -> Vec<Result<(), StorageError>> {
        let mut outcomes = Vec::with_capacity(group.len());
        for batch in group {
            if let Err(error) = self.begin() {
                outcomes.resize(group.len(), Err(error));
                break;
            }
            let applied = self.apply(&batch.writes);
            if applied.is_err() {
                self.roll_back();
                outcomes.push(applied);
                continue;
            }
            if let Err(error) = self.commit() {
                outcomes.resize(group.len(), Err(error));
                break;
            }
            outcomes.push(Ok(()));
        }
        outcomes
    }

    /// Applies a batch whole, or leaves nothing of it when it conflicts. After any other error
    /// the transaction is no longer of use.
    fn apply(&mut self, batch: &[Write]) -> Result<(), StorageError> {
        let mut unique = batch.iter().filter(|write| is_unique(write));
        match (unique.next(), unique.next(), unique.next()) {
            (_, None, _) => {
                self.writes.apply_unique(batch)?;
                return self.writes.apply_plain(batch);
            }
            (Some(Write::Append(event)), Some(other), None)
                if !matches!(other, Write::Append(_)) =>
            {
                self.writes.apply_with_event(event, other)?;
                return self.writes.apply_plain(batch);
            }
            _ => {}
        }
        run_once(&mut self.savepoint)?;
        let applied = self.writes.apply_unique(batch).and_then(|()| self.writes.apply_plain(batch));
        if let Err(conflict @ StorageError::Conflict { .. }) = applied {
            run_once(&mut self.undo)?;
            run_once(&mut self.release)?;
            return Err(conflict);
        }
        applied?;
        run_once(&mut self.release)
    }

    fn prune(&mut self, expired: &Expired) -> Result<u64, StorageError> {
        self.begin()?;
        match self.writes.prune(expired) {
            Ok(rows) => {
                self.commit()?;
                self.since_checkpoint += usize::try_from(rows).unwrap_or(usize::MAX);
                Ok(rows)
            }
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    /// Takes the write lock. Costs no disk write, unless the last commit failed: then only a real
    /// one can tell whether the next will do.
    fn check(&mut self) -> Result<(), StorageError> {
        self.begin()?;
        if self.last_commit_failed {
            let rewritten = self
                .connection
                .pragma_update(None, "user_version", super::migrations::VERSION)
                .map_err(backend);
            if let Err(error) = rewritten {
                self.roll_back();
                return Err(error);
            }
            return self.commit();
        }
        self.roll_back();
        Ok(())
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        run_once(&mut self.begin)
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        let result = run_once(&mut self.commit);
        self.last_commit_failed = result.is_err();
        if result.is_err() {
            self.roll_back();
        }
        result
    }

    fn roll_back(&self) {
        // Some errors end the transaction by themselves.
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.connection.execute_batch("ROLLBACK") {
            tracing::error!(%error, "a transaction of the store cannot be rolled back");
        }
    }

    fn checkpoint_when_due(&mut self) {
        if self.since_checkpoint < CHECKPOINT_AFTER {
            return;
        }
        self.since_checkpoint = 0;
        // A reader in the way makes it partial; the next one goes on.
        let checkpoint =
            self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = checkpoint {
            tracing::warn!(%error, "the write-ahead log cannot be checkpointed");
        }
    }
}

fn run_once(statement: &mut Statement<'_>) -> Result<(), StorageError> {
    statement.execute([]).map(drop).map_err(backend)
}

/// Prints an error with its causes.
struct Chain<'e>(&'e StorageError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
