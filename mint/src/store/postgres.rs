//! PostgreSQL, over cdk's own driver and tables.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cdk_postgres::{MintPgDatabase, PgConfig, PgConnectionPool, PostgresConnection};
use cdk_sql_common::pool::Pool;
use cdk_sql_common::stmt::query;
use cdk_sql_common::value::Value;
use portal_core::primitives::Secret;

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
pub(super) struct Advisory(#[expect(dead_code, reason = "held for its drop")] PostgresConnection);

pub(super) async fn open(
    connection: &Secret<String>,
    max_connections: usize,
    access: Access,
) -> Result<Store, StoreError> {
    let config =
        |most| PgConfig::new(connection.expose(), None, Some(most), Some(TIMEOUT.as_secs()));
    config(max_connections).validate()?;
    let hold = match access {
        Access::Alone => Some(Hold::Advisory(lock(config(1)).await?)),
        Access::Beside => None,
    };
    let database = Arc::new(MintPgDatabase::new(config(max_connections)).await?);
    let pool = Pool::<PgConnectionPool>::new(config(OWN_CONNECTIONS));
    Ok(Store { mint: database.clone(), keys: database, accounts: Accounts::Postgres(pool), hold })
}

/// The server may learn a little late that the process before this one is gone.
async fn lock(config: PgConfig) -> Result<Advisory, StoreError> {
    let connection = PostgresConnection::new(config, TIMEOUT, Arc::new(AtomicBool::new(false)));
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
