//! What can be asked of the ticket store, and changed in it.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::news::Tells;
use super::rows::{
    AdmissionRow, Change, KeysetRow, MintRow, Move, OperationRow, ProofRow, ProofState, SumRow,
    TicketEventRow, UnitInfoRow, Y,
};
use super::{Begun, TicketStore, backend};
use crate::storage::StorageError;

pub(super) type Result<T> = std::result::Result<T, StorageError>;

/// SQLite counts to 2^63 - 1.
pub(super) fn stored(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StorageError::Corrupt { what: "number" })
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let found: i64 = row.get(column)?;
    u64::try_from(found).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, found))
}

pub(super) const OPERATION: &str = "key, kind, mint, unit, amount, open, body, created_at";

pub(super) fn operation(row: &Row<'_>) -> rusqlite::Result<OperationRow> {
    Ok(OperationRow {
        key: row.get(0)?,
        kind: row.get(1)?,
        mint: row.get(2)?,
        unit: row.get(3)?,
        amount: number(row, 4)?,
        open: row.get(5)?,
        body: row.get(6)?,
        created_at: number(row, 7)?,
    })
}

const PROOF: &str = "y, mint, unit, keyset, amount, state, operation, body";

fn proof(row: &Row<'_>) -> rusqlite::Result<ProofRow> {
    let state: i64 = row.get(5)?;
    Ok(ProofRow {
        y: row.get(0)?,
        mint: row.get(1)?,
        unit: row.get(2)?,
        keyset: row.get(3)?,
        amount: number(row, 4)?,
        state: ProofState::from_number(state)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(5, state))?,
        operation: row.get(6)?,
        body: row.get(7)?,
    })
}

pub(super) const MINT: &str = "url, info, token, fetched_at, named";

pub(super) fn mint(row: &Row<'_>) -> rusqlite::Result<MintRow> {
    Ok(MintRow {
        url: row.get(0)?,
        info: row.get(1)?,
        token: row.get(2)?,
        fetched_at: number(row, 3)?,
        named: row.get(4)?,
    })
}

fn keyset(row: &Row<'_>) -> rusqlite::Result<KeysetRow> {
    let expiry: Option<i64> = row.get(5)?;
    Ok(KeysetRow {
        mint: row.get(0)?,
        id: row.get(1)?,
        unit: row.get(2)?,
        active: row.get(3)?,
        fee_ppk: number(row, 4)?,
        final_expiry: expiry.and_then(|expiry| u64::try_from(expiry).ok()),
        keys: row.get(6)?,
    })
}

pub(super) fn put_operation(
    transaction: &Transaction<'_>,
    row: &OperationRow,
    now: u64,
) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO operation (key, kind, mint, unit, amount, open, body, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (key) DO UPDATE SET kind = ?2, mint = ?3, unit = ?4, amount = ?5,
                 open = ?6, body = ?7, updated_at = ?9",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                row.key,
                row.kind,
                row.mint,
                row.unit,
                i64::try_from(row.amount).unwrap_or(i64::MAX),
                row.open,
                row.body,
                i64::try_from(row.created_at).unwrap_or(i64::MAX),
                i64::try_from(now).unwrap_or(i64::MAX),
            ])
        })
        .map_err(backend)
        .map(drop)
}

fn insert_proof(transaction: &Transaction<'_>, row: &ProofRow, now: u64) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO proof (y, mint, unit, keyset, amount, state, operation, body, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (y) DO NOTHING",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                row.y,
                row.mint,
                row.unit,
                row.keyset,
                i64::try_from(row.amount).unwrap_or(i64::MAX),
                row.state.number(),
                row.operation,
                row.body,
                i64::try_from(now).unwrap_or(i64::MAX),
            ])
        })
        .map_err(backend)
        .map(drop)
}

fn apply_move(
    transaction: &Transaction<'_>,
    step: &Move,
    operation: Option<&str>,
    now: u64,
) -> Result<()> {
    // What an operation has put aside is its own.
    let owned = step.from == ProofState::Reserved;
    let changed = transaction
        .prepare_cached(
            "UPDATE proof SET state = ?2, operation = ?3, at = ?4
             WHERE y = ?1 AND state = ?5 AND (NOT ?6 OR operation IS ?7)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                step.y,
                step.to.number(),
                step.holder,
                i64::try_from(now).unwrap_or(i64::MAX),
                step.from.number(),
                owned,
                operation,
            ])
        })
        .map_err(backend)?;
    if changed == 1 { Ok(()) } else { Err(StorageError::Conflict { what: "a proof".to_owned() }) }
}

pub(super) fn all<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    transaction
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(parameters, read)?.collect())
        .map_err(backend)
}

pub(super) fn first<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    transaction
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(parameters, read).optional())
        .map_err(backend)
}

/// Operations and proofs.
impl TicketStore {
    /// Writes an operation unless there is one with its key; then returns that one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin(&self, row: OperationRow, now: u64) -> Result<Begun> {
        self.call(move |transaction| {
            let sql = format!("SELECT {OPERATION} FROM operation WHERE key = ?1");
            if let Some(existing) = first(transaction, &sql, [&row.key], operation)? {
                return Ok(Begun::Existing(existing));
            }
            put_operation(transaction, &row, now)?;
            Ok(Begun::New)
        })
        .await
    }

    /// Writes one step of an operation, whole or not at all.
    ///
    /// # Errors
    /// [`StorageError::Conflict`] when a proof is not where the change expects it.
    pub async fn apply(&self, change: Change, now: u64) -> Result<()> {
        let tells = Tells::of(&change);
        self.call(move |transaction| {
            let key = change.operation.as_ref().map(|row| row.key.as_str());
            for row in &change.insert {
                insert_proof(transaction, row, now)?;
            }
            for step in &change.moves {
                apply_move(transaction, step, key, now)?;
            }
            if let Some(row) = &change.operation {
                put_operation(transaction, row, now)?;
            }
            for body in &change.events {
                transaction
                    .execute(
                        "INSERT INTO ticket_event (body, at) VALUES (?1, ?2)",
                        params![body, stored(now)?],
                    )
                    .map_err(backend)?;
            }
            Ok(())
        })
        .await
        .inspect(|()| self.tell(tells))
    }

    /// The operation with this key.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn operation(&self, key: &str) -> Result<Option<OperationRow>> {
        let key = key.to_owned();
        self.call(move |transaction| {
            let sql = format!("SELECT {OPERATION} FROM operation WHERE key = ?1");
            first(transaction, &sql, [&key], operation)
        })
        .await
    }

    /// All operations that have not ended, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open_operations(&self) -> Result<Vec<OperationRow>> {
        self.call(|transaction| {
            let sql = format!(
                "SELECT {OPERATION} FROM operation WHERE open = 1 ORDER BY created_at, key"
            );
            all(transaction, &sql, [], operation)
        })
        .await
    }

    /// The operations that have given away proofs which are not known to be spent, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unclaimed_operations(&self) -> Result<Vec<OperationRow>> {
        self.call(|transaction| {
            let sql = format!(
                "SELECT {OPERATION} FROM operation WHERE key IN
                 (SELECT operation FROM proof WHERE state = 2) ORDER BY created_at, key"
            );
            all(transaction, &sql, [], operation)
        })
        .await
    }

    /// The proofs of a mint and unit that are in this state, the largest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn proofs(&self, mint: &str, unit: &str, state: ProofState) -> Result<Vec<ProofRow>> {
        let (mint, unit) = (mint.to_owned(), unit.to_owned());
        self.call(move |transaction| {
            let sql = format!(
                "SELECT {PROOF} FROM proof WHERE mint = ?1 AND unit = ?2 AND state = ?3
                 ORDER BY amount DESC, at, y"
            );
            all(transaction, &sql, params![mint, unit, state.number()], proof)
        })
        .await
    }

    /// The proofs that an operation holds or has given away.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn proofs_of(&self, key: &str, state: ProofState) -> Result<Vec<ProofRow>> {
        let key = key.to_owned();
        self.call(move |transaction| {
            let sql =
                format!("SELECT {PROOF} FROM proof WHERE operation = ?1 AND state = ?2 ORDER BY y");
            all(transaction, &sql, params![key, state.number()], proof)
        })
        .await
    }

    /// All proofs that were given away and are not known to be spent, at most `limit` of those
    /// behind `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn given(&self, after: Option<Y>, limit: usize) -> Result<Vec<ProofRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.call(move |transaction| {
            let sql = format!(
                "SELECT {PROOF} FROM proof WHERE state = 2 AND (?1 IS NULL OR y > ?1)
                 ORDER BY y LIMIT ?2"
            );
            all(transaction, &sql, params![after, limit], proof)
        })
        .await
    }

    /// Those of these proofs that the wallet knows.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn known_proofs(&self, names: Vec<Y>) -> Result<Vec<ProofRow>> {
        self.call(move |transaction| {
            let sql = format!("SELECT {PROOF} FROM proof WHERE y = ?1");
            let mut found = Vec::new();
            for y in names {
                found.extend(first(transaction, &sql, [y], proof)?);
            }
            Ok(found)
        })
        .await
    }

    /// What is where, by mint, unit and state; spent proofs are not counted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sums(&self) -> Result<Vec<SumRow>> {
        self.call(|transaction| {
            // In two halves: what mints say that proofs are worth may add up to more than SQLite
            // can count, and one such mint must not hide all the others.
            let sql = "SELECT mint, unit, state, SUM(amount >> 32), SUM(amount & 0xffffffff),
                 COUNT(*) FROM proof
                 WHERE state <> 3 GROUP BY mint, unit, state ORDER BY mint, unit, state";
            all(transaction, sql, [], |row| {
                let state: i64 = row.get(2)?;
                Ok(SumRow {
                    mint: row.get(0)?,
                    unit: row.get(1)?,
                    state: ProofState::from_number(state)
                        .ok_or(rusqlite::Error::IntegralValueOutOfRange(2, state))?,
                    amount: number(row, 3)?.saturating_mul(1 << 32).saturating_add(number(row, 4)?),
                    count: number(row, 5)?,
                })
            })
        })
        .await
    }

    /// Things that happened to tickets, behind `after`, in order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ticket_events(&self, after: u64, limit: usize) -> Result<Vec<TicketEventRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.call(move |transaction| {
            let sql = "SELECT number, body, at FROM ticket_event WHERE number > ?1
                 ORDER BY number LIMIT ?2";
            all(transaction, sql, params![stored(after)?, limit], |row| {
                Ok(TicketEventRow {
                    number: number(row, 0)?,
                    body: row.get(1)?,
                    at: number(row, 2)?,
                })
            })
        })
        .await
    }
}

/// Mints, keysets, counters, units.
impl TicketStore {
    /// What is known of the mints, in the order of their addresses.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn mints(&self) -> Result<Vec<MintRow>> {
        self.call(|transaction| {
            all(transaction, &format!("SELECT {MINT} FROM mint ORDER BY url"), [], mint)
        })
        .await
    }

    /// Inserts keysets. Of one that is known only what may change is replaced: whether it is
    /// active, and the fee. All others of the mint are no longer active.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_keysets(&self, mint: &str, rows: Vec<KeysetRow>) -> Result<()> {
        let mint = mint.to_owned();
        self.call(move |transaction| {
            transaction
                .execute("UPDATE keyset SET active = 0 WHERE mint = ?1", [&mint])
                .map_err(backend)?;
            for row in rows {
                let expiry = row.final_expiry.map(stored).transpose()?;
                transaction
                    .execute(
                        "INSERT INTO keyset (mint, id, unit, active, fee_ppk, final_expiry, keys)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                         ON CONFLICT (mint, id) DO UPDATE SET active = ?4, fee_ppk = ?5",
                        params![
                            row.mint,
                            row.id,
                            row.unit,
                            row.active,
                            stored(row.fee_ppk)?,
                            expiry,
                            row.keys
                        ],
                    )
                    .map_err(backend)?;
            }
            Ok(())
        })
        .await
    }

    /// The keysets of a mint, in the order of their ids.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keysets(&self, mint: &str) -> Result<Vec<KeysetRow>> {
        let mint = mint.to_owned();
        self.call(move |transaction| {
            let sql = "SELECT mint, id, unit, active, fee_ppk, final_expiry, keys FROM keyset
                 WHERE mint = ?1 ORDER BY id";
            all(transaction, sql, [&mint], keyset)
        })
        .await
    }

    /// Takes `count` numbers of a counter, which are never given again; returns the first.
    ///
    /// # Errors
    /// When the store fails, or the counter has come to its end.
    pub async fn take_numbers(&self, name: &str, count: u32) -> Result<u32> {
        self.move_counter(name, move |next| next.checked_add(count)).await
    }

    /// Makes a counter go on behind `least` at the earliest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn advance_counter(&self, name: &str, least: u32) -> Result<()> {
        self.move_counter(name, move |next| Some(next.max(least))).await.map(drop)
    }

    /// The number that a counter gives next.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_number(&self, name: &str) -> Result<u32> {
        let name = name.to_owned();
        self.call(move |transaction| {
            let sql = "SELECT next FROM counter WHERE name = ?1";
            Ok(first(transaction, sql, [&name], |row| row.get(0))?.unwrap_or(0))
        })
        .await
    }

    /// Takes numbers back into a counter, the last ones first, as far as none behind them is out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn give_back_numbers(&self, name: &str, mut numbers: Vec<u32>) -> Result<()> {
        numbers.sort_unstable();
        self.move_counter(name, move |mut next| {
            for number in numbers.into_iter().rev() {
                if number.checked_add(1) == Some(next) {
                    next = number;
                }
            }
            Some(next)
        })
        .await
        .map(drop)
    }

    async fn move_counter(
        &self,
        name: &str,
        step: impl FnOnce(u32) -> Option<u32> + Send + 'static,
    ) -> Result<u32> {
        let name = name.to_owned();
        self.call(move |transaction| {
            let sql = "SELECT next FROM counter WHERE name = ?1";
            let next: u32 = first(transaction, sql, [&name], |row| row.get(0))?.unwrap_or(0);
            let after = step(next).ok_or(StorageError::Corrupt { what: "counter" })?;
            transaction
                .execute(
                    "INSERT INTO counter (name, next) VALUES (?1, ?2)
                     ON CONFLICT (name) DO UPDATE SET next = ?2",
                    params![name, after],
                )
                .map_err(backend)?;
            Ok(next)
        })
        .await
    }

    /// Keeps how a unit is shown.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_unit_info(&self, mint: &str, unit: &str, row: UnitInfoRow) -> Result<()> {
        let (mint, unit) = (mint.to_owned(), unit.to_owned());
        self.call(move |transaction| {
            transaction
                .execute(
                    "INSERT INTO unit_info (mint, unit, info, fetched_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (mint, unit) DO UPDATE SET info = ?3, fetched_at = ?4",
                    params![mint, unit, row.info, stored(row.fetched_at)?],
                )
                .map_err(backend)
                .map(drop)
        })
        .await
    }

    /// How a unit is shown.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unit_info(&self, mint: &str, unit: &str) -> Result<Option<UnitInfoRow>> {
        let (mint, unit) = (mint.to_owned(), unit.to_owned());
        self.call(move |transaction| {
            let sql = "SELECT info, fetched_at FROM unit_info WHERE mint = ?1 AND unit = ?2";
            first(transaction, sql, [&mint, &unit], |row| {
                Ok(UnitInfoRow { info: row.get(0)?, fetched_at: number(row, 1)? })
            })
        })
        .await
    }
}

/// Gates.
impl TicketStore {
    /// Writes down that a gate lets something in; `false`, and nothing written, when one of its
    /// proofs was let in before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn admit(&self, row: AdmissionRow, names: Vec<Y>) -> Result<bool> {
        self.call(move |transaction| {
            for y in &names {
                let seen = first(transaction, "SELECT 1 FROM seen WHERE y = ?1", [y], |_| Ok(()))?;
                if seen.is_some() {
                    return Ok(false);
                }
            }
            for y in &names {
                transaction
                    .execute(
                        "INSERT INTO seen (y, admission, at) VALUES (?1, ?2, ?3)
                         ON CONFLICT (y) DO NOTHING",
                        params![y, row.id, stored(row.at)?],
                    )
                    .map_err(backend)?;
            }
            transaction
                .execute(
                    "INSERT INTO admission (id, body, open, at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (id) DO NOTHING",
                    params![row.id, row.body, row.open, stored(row.at)?],
                )
                .map_err(backend)?;
            Ok(true)
        })
        .await
    }

    /// Whether a gate has let in one of these.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_seen(&self, names: Vec<Y>) -> Result<bool> {
        self.call(move |transaction| {
            for y in &names {
                let seen = first(transaction, "SELECT 1 FROM seen WHERE y = ?1", [y], |_| Ok(()))?;
                if seen.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// What a gate let in and has not swapped yet, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open_admissions(&self) -> Result<Vec<AdmissionRow>> {
        self.call(|transaction| {
            let sql = "SELECT id, body, open, at FROM admission WHERE open = 1 ORDER BY at, id";
            all(transaction, sql, [], |row| {
                Ok(AdmissionRow {
                    id: row.get(0)?,
                    body: row.get(1)?,
                    open: row.get(2)?,
                    at: number(row, 3)?,
                })
            })
        })
        .await
    }

    /// An admission is dealt with; an event may tell how.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn close_admission(&self, id: &str, event: Option<String>, now: u64) -> Result<()> {
        let id = id.to_owned();
        let tells = Tells { given: false, events: event.is_some() };
        self.call(move |transaction| {
            let closed = transaction
                .execute("UPDATE admission SET open = 0 WHERE id = ?1 AND open = 1", [&id])
                .map_err(backend)?;
            if let Some(body) = event.filter(|_| closed == 1) {
                transaction
                    .execute(
                        "INSERT INTO ticket_event (body, at) VALUES (?1, ?2)",
                        params![body, stored(now)?],
                    )
                    .map_err(backend)?;
            }
            Ok(())
        })
        .await
        .inspect(|()| self.tell(tells))
    }
}
