//! Subscriptions in the database: the statements of the writer and the reads.

use nostr::PublicKey;
use rusqlite::{Connection, Row, Statement, params};

use super::reads::{all, bytes, one, stream_id};
use super::writes::{key, seconds};
use super::{SqliteStore, backend};
use crate::primitives::{StreamId, Timestamp};
use crate::storage::schedule::{
    AuthorizationRecord, AuthorizationStore, ChargeRecord, ScheduleFilter, ScheduleRecord,
    ScheduleStore,
};
use crate::storage::{StorageError, Write};

/// The writer's statements for subscriptions.
pub(super) struct ScheduleWrites<'c> {
    move_schedule: Statement<'c>,
    put_schedule: Statement<'c>,
    remove_schedule: Statement<'c>,
    remove_charges: Statement<'c>,
    put_charge: Statement<'c>,
    put_authorization: Statement<'c>,
    prune_charges: Statement<'c>,
    prune_schedules: Statement<'c>,
}

impl<'c> ScheduleWrites<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(Self {
            // The usual step: an index is written again when a column of it is named, changed or
            // not, and those of the other columns lie all over the file.
            move_schedule: prepare(
                "UPDATE schedules SET due_at = ?2, waits_for = ?3, next_index = ?4, state = ?5
                 WHERE stream = ?1 AND owner = ?6 AND subscription_id = ?7 AND ended_at IS ?8",
            )?,
            put_schedule: prepare(
                "INSERT INTO schedules (stream, owner, subscription_id, due_at, waits_for,
                     ended_at, next_index, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (stream) DO UPDATE SET owner = excluded.owner,
                     subscription_id = excluded.subscription_id, due_at = excluded.due_at,
                     waits_for = excluded.waits_for, ended_at = excluded.ended_at,
                     next_index = excluded.next_index, state = excluded.state",
            )?,
            remove_schedule: prepare("DELETE FROM schedules WHERE stream = ?1")?,
            remove_charges: prepare("DELETE FROM charges WHERE schedule = ?1")?,
            // As in `ChargeRecord::may_replace`.
            put_charge: prepare(
                "INSERT INTO charges (schedule, period, attempt, due, at, amount, payment, paid)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (schedule, period) DO UPDATE SET attempt = excluded.attempt,
                     due = excluded.due, at = excluded.at, amount = excluded.amount,
                     payment = excluded.payment, paid = excluded.paid
                 WHERE charges.paid = 0 AND (excluded.attempt > charges.attempt
                     OR (excluded.attempt = charges.attempt AND excluded.paid = 1))",
            )?,
            put_authorization: prepare(
                "INSERT INTO authorizations (subscription_id, service, ended_at, state)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (subscription_id) DO UPDATE SET service = excluded.service,
                     ended_at = excluded.ended_at, state = excluded.state",
            )?,
            prune_charges: prepare(
                "DELETE FROM charges WHERE schedule IN
                     (SELECT stream FROM schedules WHERE ended_at < ?1)",
            )?,
            prune_schedules: prepare("DELETE FROM schedules WHERE ended_at < ?1")?,
        })
    }

    /// Applies a write of this domain; anything else is none of its business.
    pub(super) fn apply(&mut self, write: &Write) -> Result<(), StorageError> {
        match write {
            Write::PutSchedule(record) => self.put_schedule(record),
            Write::RemoveSchedule(stream) => {
                self.remove_charges.execute([key(stream)]).map_err(backend)?;
                self.remove_schedule.execute([key(stream)]).map(drop).map_err(backend)
            }
            Write::PutCharge(record) => self.put_charge(record),
            Write::PutAuthorization(record) => {
                let AuthorizationRecord { subscription_id, service, ended_at, state } = record;
                self.put_authorization
                    .execute(params![
                        subscription_id,
                        &service.as_bytes()[..],
                        ended_at.map(seconds),
                        state
                    ])
                    .map(drop)
                    .map_err(backend)
            }
            _ => Ok(()),
        }
    }

    fn put_schedule(&mut self, record: &ScheduleRecord) -> Result<(), StorageError> {
        let ScheduleRecord {
            stream,
            owner,
            subscription_id,
            due_at,
            waits_for,
            ended_at,
            state,
            next_index,
        } = record;
        let moved = self
            .move_schedule
            .execute(params![
                key(stream),
                due_at.map(seconds),
                waits_for.as_ref().map(key),
                next_index,
                state,
                &owner.as_bytes()[..],
                subscription_id,
                ended_at.map(seconds)
            ])
            .map_err(backend)?;
        if moved > 0 {
            return Ok(());
        }
        self.put_schedule
            .execute(params![
                key(stream),
                &owner.as_bytes()[..],
                subscription_id,
                due_at.map(seconds),
                waits_for.as_ref().map(key),
                ended_at.map(seconds),
                next_index,
                state
            ])
            .map(drop)
            .map_err(backend)
    }

    fn put_charge(&mut self, record: &ChargeRecord) -> Result<(), StorageError> {
        let ChargeRecord { schedule, period, attempt, due, at, amount, payment, paid } = record;
        let rows = self
            .put_charge
            .execute(params![
                key(schedule),
                period,
                attempt,
                seconds(*due),
                seconds(*at),
                amount.cast_signed(),
                key(payment),
                paid
            ])
            .map_err(backend)?;
        if rows == 0 {
            return Err(StorageError::Conflict { what: format!("charge {period} of {schedule}") });
        }
        Ok(())
    }

    /// Forgets schedules that ended before, with their charges; returns the number of rows.
    pub(super) fn prune(&mut self, before: Timestamp) -> Result<usize, StorageError> {
        let charges = self.prune_charges.execute([seconds(before)]).map_err(backend)?;
        let schedules = self.prune_schedules.execute([seconds(before)]).map_err(backend)?;
        Ok(charges.saturating_add(schedules))
    }
}

const COLUMNS: &str =
    "stream, owner, subscription_id, due_at, waits_for, ended_at, next_index, state";

#[async_trait::async_trait]
impl ScheduleStore for SqliteStore {
    async fn schedule(&self, stream: StreamId) -> Result<Option<ScheduleRecord>, StorageError> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM schedules WHERE stream = ?1");
            one(connection, &sql, [key(&stream)], record)
        })
        .await
    }

    async fn due_schedules(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<ScheduleRecord>, StorageError> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM schedules WHERE due_at <= ?1
                 ORDER BY due_at, stream LIMIT ?2"
            );
            all(connection, &sql, params![seconds(at), count(limit)], record)
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT due_at FROM schedules WHERE due_at IS NOT NULL
                       ORDER BY due_at LIMIT 1";
            one(connection, sql, [], |row| moment(row, 0)).map(Option::flatten)
        })
        .await
    }

    async fn waiting_schedules(
        &self,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<(StreamId, StreamId)>, StorageError> {
        self.read(move |connection| {
            let sql = "SELECT stream, waits_for FROM schedules
                       WHERE waits_for IS NOT NULL AND stream > ?1 ORDER BY stream LIMIT ?2";
            all(connection, sql, params![after_key(after), count(limit)], |row| {
                Ok((stream_id(row, 0)?, stream_id(row, 1)?))
            })
        })
        .await
    }

    async fn schedules_named(
        &self,
        subscription_id: &str,
    ) -> Result<Vec<ScheduleRecord>, StorageError> {
        let subscription_id = subscription_id.to_owned();
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM schedules
                 WHERE subscription_id = ?1 AND ended_at IS NULL ORDER BY stream"
            );
            all(connection, &sql, [subscription_id], record)
        })
        .await
    }

    async fn schedules(
        &self,
        filter: ScheduleFilter,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<ScheduleRecord>, StorageError> {
        let ScheduleFilter { owner, open } = filter;
        self.read(move |connection| {
            let whose = if owner.is_some() { "owner = ?3" } else { "?3 IS NULL" };
            let sql = format!(
                "SELECT {COLUMNS} FROM schedules
                 WHERE stream > ?1 AND {whose} AND (NOT ?4 OR ended_at IS NULL)
                 ORDER BY stream LIMIT ?2"
            );
            let owner = owner.map(|owner| owner.as_bytes().to_vec());
            all(connection, &sql, params![after_key(after), count(limit), owner, open], record)
        })
        .await
    }

    async fn charges(
        &self,
        schedule: StreamId,
        below: Option<u32>,
        limit: usize,
    ) -> Result<Vec<ChargeRecord>, StorageError> {
        self.read(move |connection| {
            let sql = "SELECT period, attempt, due, at, amount, payment, paid FROM charges
                       WHERE schedule = ?1 AND period < ?2 ORDER BY period DESC LIMIT ?3";
            let below = below.map_or(i64::MAX, i64::from);
            all(connection, sql, params![key(&schedule), below, count(limit)], |row| {
                Ok(ChargeRecord {
                    schedule,
                    period: row.get(0).map_err(backend)?,
                    attempt: row.get(1).map_err(backend)?,
                    due: Timestamp::from_secs(row.get(2).map_err(backend)?),
                    at: Timestamp::from_secs(row.get(3).map_err(backend)?),
                    amount: row.get::<_, i64>(4).map_err(backend)?.cast_unsigned(),
                    payment: stream_id(row, 5)?,
                    paid: row.get(6).map_err(backend)?,
                })
            })
        })
        .await
    }
}

#[async_trait::async_trait]
impl AuthorizationStore for SqliteStore {
    async fn authorization(
        &self,
        subscription_id: &str,
    ) -> Result<Option<AuthorizationRecord>, StorageError> {
        let subscription_id = subscription_id.to_owned();
        self.read(move |connection| {
            let sql = "SELECT subscription_id, service, ended_at, state FROM authorizations
                       WHERE subscription_id = ?1";
            one(connection, sql, [subscription_id], authorization)
        })
        .await
    }

    async fn authorizations(&self) -> Result<Vec<AuthorizationRecord>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT subscription_id, service, ended_at, state FROM authorizations
                       ORDER BY subscription_id";
            all(connection, sql, [], authorization)
        })
        .await
    }
}

fn authorization(row: &Row<'_>) -> Result<AuthorizationRecord, StorageError> {
    Ok(AuthorizationRecord {
        subscription_id: row.get(0).map_err(backend)?,
        service: PublicKey::from_byte_array(bytes(row, 1, "authorization")?),
        ended_at: moment(row, 2)?,
        state: row.get(3).map_err(backend)?,
    })
}

fn record(row: &Row<'_>) -> Result<ScheduleRecord, StorageError> {
    let waits: Option<Vec<u8>> = row.get(4).map_err(backend)?;
    Ok(ScheduleRecord {
        stream: stream_id(row, 0)?,
        owner: PublicKey::from_byte_array(bytes(row, 1, "schedule")?),
        subscription_id: row.get(2).map_err(backend)?,
        due_at: moment(row, 3)?,
        waits_for: waits.map(|_| stream_id(row, 4)).transpose()?,
        ended_at: moment(row, 5)?,
        next_index: row.get(6).map_err(backend)?,
        state: row.get(7).map_err(backend)?,
    })
}

fn moment(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, StorageError> {
    let seconds: Option<u64> = row.get(column).map_err(backend)?;
    Ok(seconds.map(Timestamp::from_secs))
}

/// Every stream is above the empty key.
fn after_key(after: Option<StreamId>) -> Vec<u8> {
    after.map_or(Vec::new(), |after| key(&after).to_vec())
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
