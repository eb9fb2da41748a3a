//! What a person allows services to take without asking again, and what was taken.
//!
//! A charge is written with the operation it is for, so that nothing is taken twice and nothing is
//! given back that was never taken: an operation that the person began by hand has none.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::queries::{OPERATION, Result, all, first, number, operation, put_operation, stored};
use super::rows::{AllowanceRow, OperationRow};
use super::{Begun, TicketStore, backend};

fn allowance(row: &Row<'_>) -> rusqlite::Result<AllowanceRow> {
    let expires: Option<i64> = row.get(5)?;
    Ok(AllowanceRow {
        service: row.get(0)?,
        mint: row.get(1)?,
        unit: row.get(2)?,
        most: number(row, 3)?,
        left_over: number(row, 4)?,
        expires_at: expires.and_then(|expires| u64::try_from(expires).ok()),
    })
}

fn charge(
    transaction: &Transaction<'_>,
    row: &OperationRow,
    service: &str,
    now: u64,
) -> Result<bool> {
    let amount = stored(row.amount)?;
    let taken = transaction
        .execute(
            "UPDATE allowance SET left_over = left_over - ?4
             WHERE service = ?1 AND mint = ?2 AND unit = ?3 AND most >= ?4
               AND left_over >= ?4 AND (expires_at IS NULL OR expires_at > ?5)",
            params![service, row.mint, row.unit, amount, stored(now)?],
        )
        .map_err(backend)?;
    if taken == 0 {
        return Ok(false);
    }
    transaction
        .execute(
            "INSERT INTO charge (operation, service, mint, unit, amount)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![row.key, service, row.mint, row.unit, amount],
        )
        .map_err(backend)?;
    Ok(true)
}

impl TicketStore {
    /// As [`TicketStore::begin`], and takes the amount from what a person allowed a service, in
    /// the same transaction. `None` when the allowance does not cover it. An operation that is
    /// there and goes on, or is done, costs nothing more; one that has `failed` without a charge is
    /// charged like a new one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_allowed(
        &self,
        row: OperationRow,
        service: String,
        failed: impl FnOnce(&OperationRow) -> bool + Send + 'static,
        now: u64,
    ) -> Result<Option<Begun>> {
        self.call(move |transaction| {
            let sql = format!("SELECT {OPERATION} FROM operation WHERE key = ?1");
            let existing = first(transaction, &sql, [&row.key], operation)?;
            if let Some(existing) = existing {
                let charged = "SELECT 1 FROM charge WHERE operation = ?1";
                let charged = first(transaction, charged, [&row.key], |_| Ok(()))?.is_some();
                let free = charged || !failed(&existing);
                let covered = free || charge(transaction, &existing, &service, now)?;
                return Ok(covered.then_some(Begun::Existing(existing)));
            }
            if !charge(transaction, &row, &service, now)? {
                return Ok(None);
            }
            put_operation(transaction, &row, now)?;
            Ok(Some(Begun::New))
        })
        .await
    }

    /// Gives back what [`TicketStore::begin_allowed`] took for an operation in which nothing has
    /// happened, and forgets the operation. Nothing when it is not closed, or nothing was taken.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn undo_allowed(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.call(move |transaction| {
            let open = "SELECT 1 FROM operation WHERE key = ?1 AND open = 1";
            if first(transaction, open, [&key], |_| Ok(()))?.is_some() {
                return Ok(());
            }
            let taken = transaction
                .query_row(
                    "DELETE FROM charge WHERE operation = ?1
                     RETURNING service, mint, unit, amount",
                    [&key],
                    |row| {
                        let place: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
                        Ok((place, row.get::<_, i64>(3)?))
                    },
                )
                .optional()
                .map_err(backend)?;
            let Some(([service, mint, unit], amount)) = taken else { return Ok(()) };
            transaction.execute("DELETE FROM operation WHERE key = ?1", [&key]).map_err(backend)?;
            transaction
                .execute(
                    "UPDATE allowance SET left_over = left_over + ?4
                     WHERE service = ?1 AND mint = ?2 AND unit = ?3",
                    params![service, mint, unit, amount],
                )
                .map_err(backend)
                .map(drop)
        })
        .await
    }

    /// Inserts or replaces what a person allows a service.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_allowance(&self, row: AllowanceRow) -> Result<()> {
        self.call(move |transaction| {
            let expires = row.expires_at.map(stored).transpose()?;
            transaction
                .execute(
                    "INSERT INTO allowance (service, mint, unit, most, left_over, expires_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (service, mint, unit) DO UPDATE SET most = ?4, left_over = ?5,
                         expires_at = ?6",
                    params![
                        row.service,
                        row.mint,
                        row.unit,
                        stored(row.most)?,
                        stored(row.left_over)?,
                        expires
                    ],
                )
                .map_err(backend)
                .map(drop)
        })
        .await
    }

    /// Ends what a person allowed a service. No error when there is nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_allowance(&self, service: &str, mint: &str, unit: &str) -> Result<()> {
        let parameters = [service.to_owned(), mint.to_owned(), unit.to_owned()];
        self.call(move |transaction| {
            transaction
                .execute(
                    "DELETE FROM allowance WHERE service = ?1 AND mint = ?2 AND unit = ?3",
                    parameters,
                )
                .map_err(backend)
                .map(drop)
        })
        .await
    }

    /// Everything a person allows.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn allowances(&self) -> Result<Vec<AllowanceRow>> {
        self.call(|transaction| {
            let sql = "SELECT service, mint, unit, most, left_over, expires_at FROM allowance
                 ORDER BY service, mint, unit";
            all(transaction, sql, [], allowance)
        })
        .await
    }
}
