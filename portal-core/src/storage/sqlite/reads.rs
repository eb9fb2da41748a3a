//! Reads rows back into records. Every function here runs on the reader's thread.

use nostr::PublicKey;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::backend;
use super::writes::{Expired, key, millis, seconds};
use crate::event::StreamEvent;
use crate::primitives::{Millisats, StreamId, Timestamp};
use crate::storage::{
    ConversationRecord, IdempotencyRecord, OutgoingRecord, PeerRecord, StorageError, StreamInfo,
};

/// Streams and idempotency keys that one step of pruning looks at.
const PRUNE_STEP: i64 = 1000;

pub(super) fn conversations(
    connection: &Connection,
) -> Result<Vec<ConversationRecord>, StorageError> {
    all(
        connection,
        "SELECT stream, machine, next_index, state FROM conversations ORDER BY stream",
        [],
        |row| {
            Ok(ConversationRecord {
                stream: stream_id(row, 0)?,
                machine: row.get(1).map_err(backend)?,
                next_index: row.get(2).map_err(backend)?,
                state: row.get(3).map_err(backend)?,
            })
        },
    )
}

pub(super) fn events(
    connection: &Connection,
    stream: StreamId,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<StreamEvent>, StorageError> {
    let after = after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    all(
        connection,
        "SELECT place, at, body FROM events WHERE stream = ?1 AND place > ?2
         ORDER BY place LIMIT ?3",
        params![key(&stream), after, limit],
        |row| {
            Ok(StreamEvent {
                stream,
                index: row.get(0).map_err(backend)?,
                at_millis: row.get(1).map_err(backend)?,
                body: json(row, 2, "event")?,
            })
        },
    )
}

pub(super) fn stream(
    connection: &Connection,
    stream: StreamId,
) -> Result<Option<StreamInfo>, StorageError> {
    let (last, open): (Option<u64>, bool) = connection
        .prepare_cached(
            "SELECT (SELECT max(place) FROM events WHERE stream = ?1),
                    EXISTS (SELECT 1 FROM conversations WHERE stream = ?1)
                    OR EXISTS (SELECT 1 FROM schedules WHERE stream = ?1 AND ended_at IS NULL)",
        )
        .and_then(|mut statement| {
            statement.query_row([key(&stream)], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .map_err(backend)?;
    let events = last.map_or(0, |last| last.saturating_add(1));
    Ok((last.is_some() || open).then_some(StreamInfo { events, open }))
}

pub(super) fn idempotency(
    connection: &Connection,
    name: &str,
) -> Result<Option<IdempotencyRecord>, StorageError> {
    one(
        connection,
        "SELECT at, command_hash, stream, answer FROM idempotency WHERE key = ?1",
        [name],
        |row| {
            let has_stream = row.get_ref(2).map_err(backend)? != rusqlite::types::ValueRef::Null;
            Ok(IdempotencyRecord {
                key: name.to_owned(),
                at: Timestamp::from_secs(row.get(0).map_err(backend)?),
                command_hash: bytes(row, 1, "idempotency key")?,
                stream: if has_stream { Some(stream_id(row, 2)?) } else { None },
                answer: row.get(3).map_err(backend)?,
            })
        },
    )
}

pub(super) fn peer(
    connection: &Connection,
    main_key: PublicKey,
) -> Result<Option<PeerRecord>, StorageError> {
    one(
        connection,
        "SELECT seen_at, subkeys, relays FROM peers WHERE main_key = ?1",
        [main_key.to_bytes()],
        |row| {
            let joined = blob(row, 1, "peer")?;
            let (keys, rest) = joined.as_chunks::<32>();
            if !rest.is_empty() {
                return Err(StorageError::Corrupt { what: "peer" });
            }
            Ok(PeerRecord {
                main_key,
                seen_at: Timestamp::from_secs(row.get(0).map_err(backend)?),
                subkeys: keys.iter().copied().map(PublicKey::from_byte_array).collect(),
                relays: json(row, 2, "peer")?,
            })
        },
    )
}

pub(super) fn outgoing(
    connection: &Connection,
    payment_hash: [u8; 32],
) -> Result<Option<OutgoingRecord>, StorageError> {
    one(
        connection,
        "SELECT payment_hash, at, amount, status, invoice, payee, max_fee, attempt
         FROM outgoing WHERE payment_hash = ?1",
        [payment_hash],
        outgoing_record,
    )
}

pub(super) fn pending_outgoing(
    connection: &Connection,
) -> Result<Vec<OutgoingRecord>, StorageError> {
    all(
        connection,
        "SELECT payment_hash, at, amount, status, invoice, payee, max_fee, attempt
         FROM outgoing WHERE pending = 1
         ORDER BY at, payment_hash",
        [],
        outgoing_record,
    )
}

pub(super) fn setting(
    connection: &Connection,
    name: &str,
) -> Result<Option<Vec<u8>>, StorageError> {
    one(connection, "SELECT value FROM settings WHERE name = ?1", [name], |row| {
        row.get(0).map_err(backend)
    })
}

pub(super) fn check(connection: &Connection) -> Result<(), StorageError> {
    one(connection, "SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map(drop)
}

/// Where a look through the tables for what is old goes on.
#[derive(Default)]
pub(super) struct PruneCursor {
    stream: Option<StreamId>,
    idempotency: Option<String>,
}

/// Looks at the next streams and idempotency keys. Bounded, so that other reads get their turn.
/// The cursor is `None` when all of them were looked at.
pub(super) fn expired(
    connection: &Connection,
    before: Timestamp,
    cursor: PruneCursor,
) -> Result<(Expired, Option<PruneCursor>), StorageError> {
    let after = cursor.stream.map_or(Vec::new(), |stream| key(&stream).to_vec());
    let streams = all(
        connection,
        "SELECT stream, max(at) < ?2
             AND NOT EXISTS (SELECT 1 FROM conversations WHERE stream = events.stream)
             AND NOT EXISTS (SELECT 1 FROM schedules
                 WHERE stream = events.stream AND ended_at IS NULL)
         FROM events WHERE stream > ?1 GROUP BY stream ORDER BY stream LIMIT ?3",
        params![after, millis(before), PRUNE_STEP],
        |row| Ok((stream_id(row, 0)?, row.get::<_, bool>(1).map_err(backend)?)),
    )?;
    // The empty name is a name: the first step starts at it, later ones behind the last seen.
    let first = cursor.idempotency.is_none();
    let keys = all(
        connection,
        "SELECT key, at < ?3 FROM idempotency WHERE key >= ?1 AND (?2 OR key > ?1)
         ORDER BY key LIMIT ?4",
        params![cursor.idempotency.as_deref().unwrap_or(""), first, seconds(before), PRUNE_STEP],
        |row| {
            Ok((row.get::<_, String>(0).map_err(backend)?, row.get::<_, bool>(1).map_err(backend)?))
        },
    )?;
    let next = if streams.is_empty() && keys.is_empty() {
        None
    } else {
        Some(PruneCursor {
            stream: streams.last().map(|(stream, _)| *stream).or(cursor.stream),
            idempotency: keys.last().map(|(name, _)| name.clone()).or(cursor.idempotency),
        })
    };
    let expired = Expired {
        before,
        streams: streams.into_iter().filter_map(|(stream, old)| old.then_some(stream)).collect(),
        idempotency: keys.into_iter().filter_map(|(name, old)| old.then_some(name)).collect(),
    };
    Ok((expired, next))
}

fn outgoing_record(row: &Row<'_>) -> Result<OutgoingRecord, StorageError> {
    Ok(OutgoingRecord {
        payment_hash: bytes(row, 0, "payment")?,
        at: Timestamp::from_secs(row.get(1).map_err(backend)?),
        amount: Millisats::new(row.get::<_, i64>(2).map_err(backend)?.cast_unsigned()),
        status: json(row, 3, "payment")?,
        invoice: row.get(4).map_err(backend)?,
        payee: match row.get_ref(5).map_err(backend)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(bytes(row, 5, "payment")?),
        },
        max_fee: Millisats::new(row.get::<_, i64>(6).map_err(backend)?.cast_unsigned()),
        attempt: row.get(7).map_err(backend)?,
    })
}

pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StorageError>,
) -> Result<Option<T>, StorageError> {
    let mut statement = connection.prepare_cached(sql).map_err(backend)?;
    statement.query_row(params, |row| Ok(read(row))).optional().map_err(backend)?.transpose()
}

pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StorageError>,
) -> Result<Vec<T>, StorageError> {
    let mut statement = connection.prepare_cached(sql).map_err(backend)?;
    let mut rows = statement.query(params).map_err(backend)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(backend)? {
        records.push(read(row)?);
    }
    Ok(records)
}

fn blob<'r>(row: &'r Row<'_>, column: usize, what: &'static str) -> Result<&'r [u8], StorageError> {
    row.get_ref(column).map_err(backend)?.as_blob().map_err(|_| StorageError::Corrupt { what })
}

pub(super) fn bytes<const N: usize>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<[u8; N], StorageError> {
    blob(row, column, what)?.try_into().map_err(|_| StorageError::Corrupt { what })
}

pub(super) fn stream_id(row: &Row<'_>, column: usize) -> Result<StreamId, StorageError> {
    bytes(row, column, "stream id").map(|id| StreamId::from_uuid(Uuid::from_bytes(id)))
}

fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<T, StorageError> {
    let text = row
        .get_ref(column)
        .map_err(backend)?
        .as_str()
        .map_err(|_| StorageError::Corrupt { what })?;
    serde_json::from_str(text).map_err(|_| StorageError::Corrupt { what })
}
