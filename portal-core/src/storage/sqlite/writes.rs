//! Puts batches into the database: the prepared statements of the writer.
//!
//! Knows nothing of transactions; [`super::writer`] opens and ends them.

use rusqlite::{Connection, Statement, params};

use super::schedules::ScheduleWrites;
use super::{backend, payments};
use crate::event::StreamEvent;
use crate::primitives::{StreamId, Timestamp};
use crate::storage::{
    ConversationRecord, IdempotencyRecord, OutgoingRecord, PeerRecord, StorageError, Write,
};

/// Every statement of the writer, prepared once for the life of the connection.
pub(super) struct Writes<'c> {
    put_conversation: Statement<'c>,
    remove_conversation: Statement<'c>,
    find_event: Statement<'c>,
    append: Statement<'c>,
    put_peer: Statement<'c>,
    put_idempotency: Statement<'c>,
    put_outgoing: Statement<'c>,
    put_received: Statement<'c>,
    put_refund: Statement<'c>,
    put_setting: Statement<'c>,
    remove_setting: Statement<'c>,
    prune_stream: Statement<'c>,
    prune_idempotency: Statement<'c>,
    schedules: ScheduleWrites<'c>,
    json: Vec<u8>,
}

impl<'c> Writes<'c> {
    /// Prepares the statements; fails when the tables are not what they should be.
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql: &str| connection.prepare(sql);
        Ok(Self {
            put_conversation: prepare(
                "INSERT INTO conversations (stream, machine, next_index, state)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (stream) DO UPDATE SET machine = excluded.machine,
                     next_index = excluded.next_index, state = excluded.state",
            )?,
            remove_conversation: prepare("DELETE FROM conversations WHERE stream = ?1")?,
            find_event: prepare("SELECT 1 FROM events WHERE stream = ?1 AND place = ?2")?,
            append: prepare(
                "INSERT INTO events (stream, place, at, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (stream, place) DO NOTHING",
            )?,
            put_peer: prepare(
                "INSERT INTO peers (main_key, seen_at, subkeys, relays) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (main_key) DO UPDATE SET seen_at = excluded.seen_at,
                     subkeys = coalesce(nullif(excluded.subkeys, x''), subkeys),
                     relays = coalesce(nullif(excluded.relays, '[]'), relays)",
            )?,
            put_idempotency: prepare(
                "INSERT INTO idempotency (key, at, command_hash, stream, answer)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO NOTHING",
            )?,
            put_outgoing: prepare(
                "INSERT OR REPLACE INTO outgoing
                     (payment_hash, pending, at, amount, status, invoice, payee, max_fee, attempt,
                      spent)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?,
            put_received: prepare(payments::PUT_RECEIVED)?,
            put_refund: prepare(payments::PUT_REFUND)?,
            put_setting: prepare(
                "INSERT INTO settings (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )?,
            remove_setting: prepare("DELETE FROM settings WHERE name = ?1")?,
            // The condition again: the stream may have moved since it was found to be old.
            prune_stream: prepare(
                "DELETE FROM events WHERE stream = ?1
                 AND NOT EXISTS (SELECT 1 FROM conversations WHERE stream = ?1)
                 AND NOT EXISTS
                     (SELECT 1 FROM schedules WHERE stream = ?1 AND ended_at IS NULL)
                 AND (SELECT max(at) FROM events WHERE stream = ?1) < ?2",
            )?,
            prune_idempotency: prepare("DELETE FROM idempotency WHERE key = ?1 AND at < ?2")?,
            schedules: ScheduleWrites::prepare(connection)?,
            json: Vec::new(),
        })
    }

    /// Applies those writes of a batch that can conflict, in order.
    pub(super) fn apply_unique(&mut self, batch: &[Write]) -> Result<(), StorageError> {
        batch.iter().filter(|write| is_unique(write)).try_for_each(|write| self.apply(write))
    }

    /// Applies an event and a write of another table, both or none of them.
    pub(super) fn apply_with_event(
        &mut self,
        event: &StreamEvent,
        other: &Write,
    ) -> Result<(), StorageError> {
        let StreamEvent { stream, index, .. } = event;
        if self.find_event.exists(params![key(stream), index]).map_err(backend)? {
            return Err(place_taken(event));
        }
        self.apply(other)?;
        self.append(event)
    }

    /// Applies those writes of a batch that cannot conflict, in order.
    pub(super) fn apply_plain(&mut self, batch: &[Write]) -> Result<(), StorageError> {
        batch.iter().filter(|write| !is_unique(write)).try_for_each(|write| self.apply(write))
    }

    fn apply(&mut self, write: &Write) -> Result<(), StorageError> {
        match write {
            Write::PutConversation(record) => self.put_conversation(record),
            Write::RemoveConversation(stream) => {
                self.remove_conversation.execute([key(stream)]).map(drop).map_err(backend)
            }
            Write::Append(event) => self.append(event),
            Write::PutPeer(record) => self.put_peer(record),
            Write::PutIdempotency(record) => self.put_idempotency(record),
            Write::PutOutgoing(record) => self.put_outgoing(record),
            Write::PutReceived(record) => payments::put_received(&mut self.put_received, record),
            Write::PutRefund(record) => payments::put_refund(&mut self.put_refund, record),
            Write::PutSetting { name, value } => {
                self.put_setting.execute(params![name, value]).map(drop).map_err(backend)
            }
            Write::RemoveSetting { name } => {
                self.remove_setting.execute([name]).map(drop).map_err(backend)
            }
            Write::PutSchedule(_)
            | Write::RemoveSchedule(_)
            | Write::PutCharge(_)
            | Write::PutAuthorization(_) => self.schedules.apply(write),
        }
    }

    fn put_conversation(&mut self, record: &ConversationRecord) -> Result<(), StorageError> {
        let ConversationRecord { stream, machine, state, next_index } = record;
        self.put_conversation
            .execute(params![key(stream), machine, next_index, state])
            .map(drop)
            .map_err(backend)
    }

    fn append(&mut self, event: &StreamEvent) -> Result<(), StorageError> {
        let StreamEvent { stream, index, at_millis, body } = event;
        let body = json(&mut self.json, body)?;
        let rows =
            self.append.execute(params![key(stream), index, at_millis, body]).map_err(backend)?;
        if rows == 0 {
            return Err(place_taken(event));
        }
        Ok(())
    }

    fn put_peer(&mut self, record: &PeerRecord) -> Result<(), StorageError> {
        let PeerRecord { main_key, subkeys, relays, seen_at } = record;
        let mut joined = Vec::with_capacity(subkeys.len() * 32);
        for subkey in subkeys {
            joined.extend_from_slice(subkey.as_bytes());
        }
        let relays = json(&mut self.json, relays)?;
        self.put_peer
            .execute(params![&main_key.as_bytes()[..], seen_at.as_secs(), joined, relays])
            .map(drop)
            .map_err(backend)
    }

    fn put_idempotency(&mut self, record: &IdempotencyRecord) -> Result<(), StorageError> {
        let IdempotencyRecord { key: name, command_hash, stream, answer, at } = record;
        let stream = stream.as_ref().map(key);
        let rows = self
            .put_idempotency
            .execute(params![name, at.as_secs(), &command_hash[..], stream, answer])
            .map_err(backend)?;
        if rows == 0 {
            return Err(StorageError::Conflict { what: "idempotency key".to_owned() });
        }
        Ok(())
    }

    fn put_outgoing(&mut self, record: &OutgoingRecord) -> Result<(), StorageError> {
        let OutgoingRecord { payment_hash, invoice, amount, status, at, payee, max_fee, attempt } =
            record;
        let pending = record.is_pending();
        let spent = i64::try_from(record.spent().as_u64()).unwrap_or(i64::MAX);
        let status = json(&mut self.json, status)?;
        self.put_outgoing
            .execute(params![
                &payment_hash[..],
                pending,
                at.as_secs(),
                amount.as_u64().cast_signed(),
                status,
                invoice,
                payee.as_ref().map(|key| &key[..]),
                max_fee.as_u64().cast_signed(),
                attempt,
                spent
            ])
            .map(drop)
            .map_err(backend)
    }

    /// Deletes what is still old and closed among these; returns the number of rows.
    pub(super) fn prune(&mut self, expired: &Expired) -> Result<u64, StorageError> {
        let mut rows = self.schedules.prune(expired.before)?;
        for stream in &expired.streams {
            let millis = millis(expired.before);
            rows += self.prune_stream.execute(params![key(stream), millis]).map_err(backend)?;
        }
        for name in &expired.idempotency {
            let before = seconds(expired.before);
            rows += self.prune_idempotency.execute(params![name, before]).map_err(backend)?;
        }
        Ok(rows as u64)
    }
}

/// What a look through the tables found to be old.
pub(super) struct Expired {
    /// Older than this.
    pub(super) before: Timestamp,
    /// Ended streams whose last event is older.
    pub(super) streams: Vec<StreamId>,
    /// Idempotency keys.
    pub(super) idempotency: Vec<String>,
}

/// Whether a write can find its place taken.
pub(super) const fn is_unique(write: &Write) -> bool {
    match write {
        Write::Append(_) | Write::PutIdempotency(_) | Write::PutCharge(_) => true,
        Write::PutConversation(_)
        | Write::RemoveConversation(_)
        | Write::PutPeer(_)
        | Write::PutOutgoing(_)
        | Write::PutSchedule(_)
        | Write::RemoveSchedule(_)
        | Write::PutAuthorization(_)
        | Write::PutReceived(_)
        | Write::PutRefund(_)
        | Write::PutSetting { .. }
        | Write::RemoveSetting { .. } => false,
    }
}

fn place_taken(event: &StreamEvent) -> StorageError {
    StorageError::Conflict { what: format!("event {} of {}", event.index, event.stream) }
}

/// A stream id as it is stored.
pub(super) fn key(stream: &StreamId) -> [u8; 16] {
    stream.as_uuid().into_bytes()
}

/// A bound in seconds that the database can compare with; the far future stays the far future.
pub(super) fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_secs()).unwrap_or(i64::MAX)
}

/// The same in milliseconds.
pub(super) fn millis(at: Timestamp) -> i64 {
    seconds(at).saturating_mul(1000)
}

fn json<'b, T: serde::Serialize>(
    buffer: &'b mut Vec<u8>,
    value: &T,
) -> Result<&'b str, StorageError> {
    buffer.clear();
    serde_json::to_writer(&mut *buffer, value).map_err(backend)?;
    std::str::from_utf8(buffer).map_err(backend)
}
