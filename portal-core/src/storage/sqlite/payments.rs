//! Payments that came, refunds, and sums of what left.

use async_trait::async_trait;
use nostr::PublicKey;
use rusqlite::{Connection, Statement, params};

use super::reads::{all, bytes, one, stream_id};
use super::writes::{key, seconds};
use super::{SqliteStore, backend};
use crate::conversation::refund::RefundState;
use crate::primitives::{Millisats, StreamId, Timestamp};
use crate::storage::{PaymentStore, ReceivedRecord, RefundRecord, Spent, StorageError};

pub(super) const PUT_RECEIVED: &str = "INSERT OR REPLACE INTO received
        (stream, main_key, payment_hash, amount, request, at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) const PUT_REFUND: &str = "INSERT OR REPLACE INTO refunds
        (payment, stream, amount, state, at)
    VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) fn put_received(
    statement: &mut Statement<'_>,
    record: &ReceivedRecord,
) -> Result<(), StorageError> {
    let ReceivedRecord { stream, main_key, payment_hash, amount, request, at } = record;
    let (main_key, amount) = (&main_key.as_bytes()[..], amount.as_u64().cast_signed());
    statement
        .execute(params![key(stream), main_key, &payment_hash[..], amount, request, at.as_secs()])
        .map(drop)
        .map_err(backend)
}

pub(super) fn put_refund(
    statement: &mut Statement<'_>,
    record: &RefundRecord,
) -> Result<(), StorageError> {
    let RefundRecord { stream, payment, amount, state, at } = record;
    let amount = amount.as_u64().cast_signed();
    statement
        .execute(params![key(payment), key(stream), amount, state.word(), at.as_secs()])
        .map(drop)
        .map_err(backend)
}

#[async_trait]
impl PaymentStore for SqliteStore {
    async fn received(&self, stream: StreamId) -> Result<Option<ReceivedRecord>, StorageError> {
        self.read(move |connection| received(connection, stream)).await
    }

    async fn refunds(&self, payment: StreamId) -> Result<Vec<RefundRecord>, StorageError> {
        self.read(move |connection| refunds(connection, payment)).await
    }

    async fn spent_since(
        &self,
        since: Timestamp,
        payee: Option<[u8; 33]>,
    ) -> Result<Spent, StorageError> {
        self.read(move |connection| spent_since(connection, since, payee)).await
    }
}

fn received(
    connection: &Connection,
    stream: StreamId,
) -> Result<Option<ReceivedRecord>, StorageError> {
    one(
        connection,
        "SELECT main_key, payment_hash, amount, request, at FROM received WHERE stream = ?1",
        [key(&stream)],
        |row| {
            Ok(ReceivedRecord {
                stream,
                main_key: PublicKey::from_byte_array(bytes(row, 0, "payment that came")?),
                payment_hash: bytes(row, 1, "payment that came")?,
                amount: Millisats::new(row.get::<_, i64>(2).map_err(backend)?.cast_unsigned()),
                request: row.get(3).map_err(backend)?,
                at: Timestamp::from_secs(row.get(4).map_err(backend)?),
            })
        },
    )
}

fn refunds(connection: &Connection, payment: StreamId) -> Result<Vec<RefundRecord>, StorageError> {
    all(
        connection,
        "SELECT stream, amount, state, at FROM refunds WHERE payment = ?1 ORDER BY stream",
        [key(&payment)],
        |row| {
            let state: String = row.get(2).map_err(backend)?;
            Ok(RefundRecord {
                stream: stream_id(row, 0)?,
                payment,
                amount: Millisats::new(row.get::<_, i64>(1).map_err(backend)?.cast_unsigned()),
                state: RefundState::from_word(&state)
                    .ok_or(StorageError::Corrupt { what: "refund" })?,
                at: Timestamp::from_secs(row.get(3).map_err(backend)?),
            })
        },
    )
}

/// Reads only the index: one short row for each payment since.
fn spent_since(
    connection: &Connection,
    since: Timestamp,
    payee: Option<[u8; 33]>,
) -> Result<Spent, StorageError> {
    let sql = "SELECT spent, payee FROM outgoing WHERE spent > 0 AND at >= ?1";
    let mut statement = connection.prepare_cached(sql).map_err(backend)?;
    let mut rows = statement.query([seconds(since)]).map_err(backend)?;
    let mut sum = Spent::default();
    while let Some(row) = rows.next().map_err(backend)? {
        let spent = Millisats::new(row.get::<_, i64>(0).map_err(backend)?.cast_unsigned());
        let to = row.get_ref(1).map_err(backend)?.as_blob_or_null();
        let to = to.map_err(|_| StorageError::Corrupt { what: "payment" })?;
        sum = sum.with(spent, to.is_some() && to == payee.as_ref().map(|key| &key[..]));
    }
    Ok(sum)
}
