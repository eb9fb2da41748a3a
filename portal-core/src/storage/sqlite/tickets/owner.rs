//! Whose wallet it is, which mints its owner has named, and how much strangers may leave in it.

use rusqlite::params;

use super::queries::{MINT, OPERATION, Result, all, first, mint, operation, put_operation, stored};
use super::rows::{MintRow, OperationRow};
use super::{Begun, TicketStore, backend};

/// The most mints that strangers have named and nothing depends on.
const MOST_MINTS: i64 = 256;

impl TicketStore {
    /// Writes down whose wallet this is, at the first time; `false` when it is another's.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim(&self, key: &str) -> Result<bool> {
        let key = key.to_owned();
        self.call(move |transaction| {
            let sql = "SELECT key FROM owner";
            let owner: Option<String> = first(transaction, sql, [], |row| row.get(0))?;
            if let Some(owner) = owner {
                return Ok(owner == key);
            }
            transaction
                .execute("INSERT INTO owner (one, key) VALUES (1, ?1)", [&key])
                .map_err(backend)?;
            Ok(true)
        })
        .await
    }

    /// What is known of a mint.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn mint(&self, url: &str) -> Result<Option<MintRow>> {
        let url = url.to_owned();
        self.call(move |transaction| {
            let sql = format!("SELECT {MINT} FROM mint WHERE url = ?1");
            first(transaction, &sql, [&url], mint)
        })
        .await
    }

    /// Inserts or replaces what is known of a mint; what is `None` leaves the stored value, and one
    /// that was named stays named. Of the mints that only strangers named, and of which nothing is
    /// held and nothing is open, those that were asked longest ago are forgotten.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_mint(&self, row: MintRow) -> Result<()> {
        self.call(move |transaction| {
            transaction
                .execute(
                    "INSERT INTO mint (url, info, token, fetched_at, named)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (url) DO UPDATE SET info = COALESCE(?2, info),
                         token = COALESCE(?3, token), fetched_at = MAX(fetched_at, ?4),
                         named = MAX(named, ?5)",
                    params![row.url, row.info, row.token, stored(row.fetched_at)?, row.named],
                )
                .map_err(backend)?;
            let count: i64 =
                first(transaction, "SELECT COUNT(*) FROM mint WHERE named = 0", [], |row| {
                    row.get(0)
                })?
                .unwrap_or(0);
            if count <= MOST_MINTS {
                return Ok(());
            }
            let forgotten: Vec<String> = all(
                transaction,
                "SELECT url FROM mint WHERE named = 0 AND url <> ?1
                   AND NOT EXISTS (SELECT 1 FROM proof WHERE proof.mint = mint.url)
                   AND NOT EXISTS
                     (SELECT 1 FROM operation WHERE open = 1 AND operation.mint = mint.url)
                   AND NOT EXISTS
                     (SELECT 1 FROM allowance WHERE allowance.mint = mint.url)
                 ORDER BY fetched_at LIMIT ?2",
                params![row.url, count - MOST_MINTS],
                |row| row.get(0),
            )?;
            for url in forgotten {
                for sql in [
                    "DELETE FROM keyset WHERE mint = ?1",
                    "DELETE FROM unit_info WHERE mint = ?1",
                    "DELETE FROM mint WHERE url = ?1",
                ] {
                    transaction.execute(sql, [&url]).map_err(backend)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// As [`TicketStore::begin`], for something that a stranger sent: `None` when so many of the
    /// same kind are open at this mint (`most_at_mint`), or at all mints that nobody has named
    /// (`most`), that this one has to wait.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_of_stranger(
        &self,
        row: OperationRow,
        most_at_mint: usize,
        most: usize,
        now: u64,
    ) -> Result<Option<Begun>> {
        let fits = |count: i64, most: usize| usize::try_from(count).is_ok_and(|it| it < most);
        self.call(move |transaction| {
            let sql = format!("SELECT {OPERATION} FROM operation WHERE key = ?1");
            if let Some(existing) = first(transaction, &sql, [&row.key], operation)? {
                return Ok(Some(Begun::Existing(existing)));
            }
            let (at_mint, in_all): (i64, i64) = first(
                transaction,
                "SELECT COUNT(*) FILTER (WHERE operation.mint = ?2), COUNT(*)
                 FROM operation LEFT JOIN mint ON mint.url = operation.mint
                 WHERE open = 1 AND kind = ?1 AND COALESCE(mint.named, 0) = 0",
                params![row.kind, row.mint],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?
            .unwrap_or((0, 0));
            if !fits(at_mint, most_at_mint) || !fits(in_all, most) {
                return Ok(None);
            }
            put_operation(transaction, &row, now)?;
            Ok(Some(Begun::New))
        })
        .await
    }
}
