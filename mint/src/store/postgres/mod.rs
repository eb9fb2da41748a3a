//! PostgreSQL: cdk's tables and SQL, over a driver of our own.

mod connection;
mod statement;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cdk_sql_common::SQLMintDatabase;
use cdk_sql_common::pool::Pool;
use cdk_sql_common::stmt::query;
use cdk_sql_common::value::Value;
use portal_core::primitives::Secret;

pub(super) use self::connection::{Connection, Driver};
use self::target::Target;
use super::accounts::Accounts;
use super::{Access, Hold, Store, StoreError};

/// How long a connection may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often the lock is tried, and how long is waited between.
const LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Connections for sums and health.
const OWN_CONNECTIONS: usize = 2;

/// A mint's lock is on its tables: databases and schemas beside it are others.
const LOCK: &str = "SELECT CASE WHEN pg_try_advisory_lock(\
     hashtextextended('portal-mint:' || current_database() || ':' || current_schema(), 0)) \
     THEN 1 ELSE 0 END";

/// The connection whose session has the lock.
pub(super) struct Advisory(#[expect(dead_code, reason = "held for its drop")] Connection);

pub(super) async fn open(
    connection: &Secret<String>,
    max_connections: usize,
    access: Access,
) -> Result<Store, StoreError> {
    let target = |most| Target::parse(connection.expose(), most);
    let hold = match access {
        Access::Alone => Some(Hold::Advisory(Box::new(lock(target(1)?).await?))),
        Access::Beside => None,
    };
    let database = Arc::new(SQLMintDatabase::<Driver>::new(target(max_connections)?).await?);
    let pool = Pool::<Driver>::new(target(OWN_CONNECTIONS)?);
    Ok(Store { mint: database.clone(), keys: database, accounts: Accounts::Postgres(pool), hold })
}

/// The server may learn a little late that the process before this one is gone.
async fn lock(target: Target) -> Result<Advisory, StoreError> {
    let connection = Connection::new(target, Arc::new(AtomicBool::new(false)), TIMEOUT);
    for _ in 0..LOCK_TRIES {
        match query(LOCK)?.pluck(&connection).await? {
            Some(Value::Integer(1)) => return Ok(Advisory(connection)),
            Some(Value::Integer(_)) => tokio::time::sleep(LOCK_PAUSE).await,
            Some(_) | None => {
                return Err(StoreError::Unexpected { what: "the answer to a lock" });
            }
        }
    }
    Err(StoreError::InUse)
}
