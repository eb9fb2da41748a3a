//! Sums over the books. cdk's own sums count swaps on both sides, so they say what is outstanding
//! but not what was sold; its quotes do.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdk_common::database::Error;
use cdk_sql_common::database::DatabaseExecutor;
use cdk_sql_common::pool::{DatabasePool, Pool};
use cdk_sql_common::stmt::{Column, query};
use cdk_sql_common::value::Value;
use serde::Serialize;

use super::StoreError;

const SOLD: &str = "SELECT unit, CAST(SUM(amount_issued) AS BIGINT) FROM mint_quote GROUP BY unit";
const USED: &str =
    "SELECT unit, CAST(SUM(amount) AS BIGINT) FROM melt_quote WHERE state = 'PAID' GROUP BY unit";
const OUTSTANDING: &str = "SELECT keyset.unit, \
     CAST(SUM(keyset_amounts.total_issued - keyset_amounts.total_redeemed) AS BIGINT) \
     FROM keyset JOIN keyset_amounts ON keyset_amounts.keyset_id = keyset.id GROUP BY keyset.unit";

/// The account of a unit, in base units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The unit.
    pub unit: String,
    /// Issued for quotes.
    pub sold: u64,
    /// Burned, or paid out by melting; without fees.
    pub used: u64,
    /// In people's hands.
    pub outstanding: u64,
}

/// Connections of our own to the books.
pub(super) enum Accounts {
    Sqlite(Arc<Pool<cdk_sqlite::SqliteConnectionManager>>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<Pool<super::postgres::Driver>>),
}

impl Accounts {
    pub(super) async fn read(&self) -> Result<Vec<Account>, StoreError> {
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        let mut put = |rows: Vec<(String, u64)>, set: fn(&mut Account, u64)| {
            for (unit, sum) in rows {
                let account = accounts
                    .entry(unit.clone())
                    .or_insert_with(|| Account { unit, ..Account::default() });
                set(account, sum);
            }
        };
        put(self.sums(SOLD).await?, |account, sum| account.sold = sum);
        put(self.sums(USED).await?, |account, sum| account.used = sum);
        put(self.sums(OUTSTANDING).await?, |account, sum| account.outstanding = sum);
        Ok(accounts.into_values().collect())
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.rows("SELECT 1").await.map(drop)
    }

    async fn sums(&self, sql: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let unexpected = || StoreError::Unexpected { what: "a sum" };
        self.rows(sql)
            .await?
            .into_iter()
            .map(|row| match row.as_slice() {
                [Value::Text(unit), Value::Integer(sum)] => {
                    Ok((unit.clone(), u64::try_from(*sum).map_err(|_| unexpected())?))
                }
                [Value::Text(unit), Value::Null] => Ok((unit.clone(), 0)),
                _ => Err(unexpected()),
            })
            .collect()
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Vec<Column>>, StoreError> {
        match self {
            Self::Sqlite(pool) => rows(pool, sql).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => rows(pool, sql).await,
        }
    }
}

async fn rows<P>(pool: &Arc<Pool<P>>, sql: &str) -> Result<Vec<Vec<Column>>, StoreError>
where
    P: DatabasePool + 'static,
    P::Connection: DatabaseExecutor,
{
    let connection = pool.get().await.map_err(|cause| Error::Database(Box::new(cause)))?;
    Ok(query(sql)?.fetch_all(&*connection).await?)
}
