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
use tokio::sync::Mutex;

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

/// Whether this session has a lock of that kind: it has taken no other.
const HELD: &str = "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_locks \
     WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()) THEN 1 ELSE 0 END";

/// The connection whose session has the lock. The server gives the lock away when that connection
/// ends: when the server starts anew, or the network is cut.
pub(super) struct Advisory {
    target: Target,
    connection: Mutex<Connection>,
}

impl Advisory {
    /// Makes sure that the lock is still ours, and takes it again when it was lost.
    pub(super) async fn keep(&self) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        let held = tokio::time::timeout(TIMEOUT, ask(HELD, &connection)).await;
        if matches!(held, Ok(Ok(true))) {
            return Ok(());
        }
        tracing::warn!("the connection that keeps other mints away was lost");
        *connection = lock(self.target.clone()).await?;
        Ok(())
    }
}

pub(super) async fn open(
    connection: &Secret<String>,
    max_connections: usize,
    access: Access,
) -> Result<Store, StoreError> {
    let target = |most| Target::parse(connection.expose(), most);
    let hold = match access {
        Access::Alone => {
            let target = target(1)?;
            let connection = Mutex::new(lock(target.clone()).await?);
            Some(Hold::Advisory(Box::new(Advisory { target, connection })))
        }
        Access::Beside => None,
    };
    let database = Arc::new(SQLMintDatabase::<Driver>::new(target(max_connections)?).await?);
    let pool = Pool::<Driver>::new(target(OWN_CONNECTIONS)?);
    Ok(Store { mint: database.clone(), keys: database, accounts: Accounts::Postgres(pool), hold })
}

/// The server may learn a little late that the process before this one is gone.
async fn lock(target: Target) -> Result<Connection, StoreError> {
    let connection = Connection::new(target, Arc::new(AtomicBool::new(false)), TIMEOUT);
    for _ in 0..LOCK_TRIES {
        if ask(LOCK, &connection).await? {
            return Ok(connection);
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Err(StoreError::InUse)
}

/// The answer to a question that is answered by 1 or 0.
async fn ask(question: &str, connection: &Connection) -> Result<bool, StoreError> {
    match query(question)?.pluck(connection).await? {
        Some(Value::Integer(answer)) => Ok(answer == 1),
        Some(_) | None => Err(StoreError::Unexpected { what: "the answer to a lock" }),
    }
}
