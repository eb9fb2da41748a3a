//! A connection that cdk's SQL runs on.
//!
//! cdk's own driver prepares every statement anew and waits for every answer: thirty-four round
//! trips for a swap, six thousand to issue a thousand tickets. Here a statement is prepared once
//! on a connection, and writes that nobody waits for are sent ahead ([`Pace`]):
//!
//! ```text
//! begin ─────▶ open ──┬ write ahead ─▶ sent, answered for by the next statement that is waited for
//!                     ├ statement ───▶ waited for, with all that was sent before it
//!                     ├ any error ───▶ failed: what PostgreSQL would undo at the commit in silence
//!                     ├ commit ──────▶ waited for with all that was sent; refused when failed
//!                     └ rollback ────▶ closed
//! ```
//!
//! What is told to wallets is told after the commit, so nothing is told that is not on disk.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use cdk_common::database::Error;
use cdk_sql_common::database::{DatabaseConnector, DatabaseExecutor, DatabaseTransaction};
use cdk_sql_common::pool::{self, DatabasePool};
use cdk_sql_common::stmt::{Column, Statement};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement as Known};

use super::statement::{Cell, Pace, Parameter, Prepared};
use super::target::Target;

/// The most statements that are kept prepared on a connection. cdk has about a hundred; those
/// beyond are prepared anew each time.
const MAX_KNOWN: usize = 256;

/// How issued sums are written.
const ISSUED: &str = "INSERT INTO keyset_amounts (keyset_id, total_issued, total_redeemed) \
     VALUES ($1, $2, 0) ON CONFLICT (keyset_id) \
     DO UPDATE SET total_issued = keyset_amounts.total_issued + EXCLUDED.total_issued";

/// How cdk's pool makes connections.
#[derive(Debug)]
pub(in crate::store) struct Driver;

impl DatabasePool for Driver {
    type Connection = Connection;
    type Config = Target;
    type Error = Error;

    fn new_resource(
        target: &Target,
        stale: Arc<AtomicBool>,
        timeout: Duration,
    ) -> Result<Connection, pool::Error<Error>> {
        Ok(Connection::new(target.clone(), stale, timeout))
    }
}

/// A connection, made when it is first used.
pub(in crate::store) struct Connection {
    target: Target,
    stale: Arc<AtomicBool>,
    timeout: Duration,
    session: OnceCell<Session>,
}

impl Connection {
    pub(super) fn new(target: Target, stale: Arc<AtomicBool>, timeout: Duration) -> Self {
        Self { target, stale, timeout, session: OnceCell::new() }
    }

    async fn session(&self) -> Result<&Session, Error> {
        let connected = self.session.get_or_try_init(|| async {
            let connect = Session::connect(&self.target, Arc::clone(&self.stale));
            tokio::time::timeout(self.timeout, connect)
                .await
                .map_err(|_| Error::Internal("PostgreSQL does not answer".to_owned()))?
        });
        connected.await.inspect_err(|_| self.stale.store(true, Ordering::Release))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A client, what it has prepared, and what it has not been answered yet.
struct Session {
    client: Arc<Client>,
    known: Mutex<HashMap<String, Known>>,
    work: Mutex<Work>,
}

/// Where a transaction is.
#[derive(Default)]
struct Work {
    open: bool,
    failed: bool,
    sent: Vec<Sent>,
    issued: Option<(String, i64)>,
}

/// A write that was sent.
enum Sent {
    Answered(Result<u64, tokio_postgres::Error>),
    Waiting(Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>),
}

impl Session {
    async fn connect(target: &Target, stale: Arc<AtomicBool>) -> Result<Self, Error> {
        let (client, work) = target.connect().await?;
        // It ends with the client, which it is the other half of.
        tokio::spawn(async move {
            work.await;
            stale.store(true, Ordering::Release);
        });
        if let Some(sql) = target.preparation() {
            client.batch_execute(&sql).await.map_err(failure)?;
        }
        Ok(Self {
            client: Arc::new(client),
            known: Mutex::new(HashMap::new()),
            work: Mutex::new(Work::default()),
        })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statement of a text, prepared now or before.
    async fn prepare(&self, sql: &str) -> Result<Known, Error> {
        if let Some(known) = self.known().get(sql).cloned() {
            return Ok(known);
        }
        let prepared = self.client.prepare(sql).await;
        match prepared {
            Ok(prepared) => {
                let mut known = self.known();
                if known.len() < MAX_KNOWN {
                    known.insert(sql.to_owned(), prepared.clone());
                }
                Ok(prepared)
            }
            Err(error) => {
                // Why the transaction had failed before it, if it had.
                self.settle().await?;
                Err(self.failed(error))
            }
        }
    }

    /// Sends a write, and leaves its answer for later.
    async fn send(&self, sql: &str, parameters: Vec<Parameter>) -> Result<(), Error> {
        let prepared = self.prepare(sql).await?;
        let client = Arc::clone(&self.client);
        let mut answer: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { client.execute_raw(&prepared, parameters).await });
        // Asked once, it is on its way; nobody is woken by its answer.
        let sent = match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Sent::Answered(answer),
            Poll::Pending => Sent::Waiting(answer),
        };
        self.work().sent.push(sent);
        Ok(())
    }

    /// Waits for the answers to all that was sent; says what went wrong first.
    async fn settle(&self) -> Result<(), Error> {
        let sent = std::mem::take(&mut self.work().sent);
        let mut first = Ok(());
        for one in sent {
            let answer = match one {
                Sent::Answered(answer) => answer,
                Sent::Waiting(answer) => answer.await,
            };
            if let Err(error) = answer {
                let error = self.failed(error);
                if first.is_ok() {
                    first = Err(error);
                }
            }
        }
        first
    }

    /// Notes that the transaction cannot be committed any more.
    fn failed(&self, error: tokio_postgres::Error) -> Error {
        self.work().failed = true;
        failure(error)
    }

    /// Sends the sum of what was issued since the last time.
    async fn write_issued(&self) -> Result<(), Error> {
        let Some((keyset, amount)) = self.work().issued.take() else { return Ok(()) };
        let parameters = [keyset.into(), amount.into()].map(Parameter::One);
        self.send(ISSUED, parameters.into()).await
    }

    /// Adds to the sum; one that would be too large, or is of another keyset, is written first.
    async fn add_issued(&self, keyset: String, amount: i64) -> Result<(), Error> {
        {
            let mut work = self.work();
            let sum = match &work.issued {
                Some((of, sum)) if *of == keyset => sum.checked_add(amount),
                Some(_) => None,
                None => Some(amount),
            };
            if let Some(sum) = sum {
                work.issued = Some((keyset, sum));
                return Ok(());
            }
        }
        self.write_issued().await?;
        self.work().issued = Some((keyset, amount));
        Ok(())
    }

    async fn execute(&self, prepared: Prepared) -> Result<usize, Error> {
        let Prepared { sql, parameters, pace } = prepared;
        let open = self.work().open;
        match pace {
            Pace::Issued { keyset, amount } if open => {
                self.add_issued(keyset, amount).await?;
                Ok(1)
            }
            Pace::Ahead if open => {
                // Rows of signatures are many, and not what sums are read from.
                if !sql.contains("blind_signature") {
                    self.write_issued().await?;
                }
                self.send(&sql, parameters).await?;
                Ok(1)
            }
            Pace::Ahead | Pace::Issued { .. } | Pace::Wait => {
                let known = self.arrive(&sql).await?;
                let answer = self.client.execute_raw(&known, parameters).await;
                self.settle().await?;
                let rows = answer.map_err(|error| self.failed(error))?;
                usize::try_from(rows).map_err(|_| Error::InvalidDbResponse)
            }
        }
    }

    async fn rows(&self, prepared: Prepared, most: usize) -> Result<Vec<Vec<Column>>, Error> {
        let Prepared { sql, parameters, .. } = prepared;
        let known = self.arrive(&sql).await?;
        let answer = async {
            let rows = self.client.query_raw(&known, parameters).await?;
            let columns = known.columns().len();
            rows.map(|row| {
                let row = row?;
                (0..columns)
                    .map(|index| row.try_get::<_, Cell>(index).map(|cell| cell.0))
                    .collect::<Result<Vec<Column>, tokio_postgres::Error>>()
            })
            .take(most)
            .try_collect()
            .await
        };
        let answer = answer.await;
        self.settle().await?;
        answer.map_err(|error| self.failed(error))
    }

    /// What is needed before a statement that is waited for.
    async fn arrive(&self, sql: &str) -> Result<Known, Error> {
        self.write_issued().await?;
        self.prepare(sql).await
    }

    async fn begin(&self) -> Result<(), Error> {
        *self.work() = Work { open: true, ..Work::default() };
        self.send("START TRANSACTION", Vec::new()).await
    }

    async fn commit(&self) -> Result<(), Error> {
        self.write_issued().await?;
        if self.work().failed {
            // PostgreSQL would say yes, and roll back.
            return Err(Error::Internal("the transaction had failed".to_owned()));
        }
        let known = self.prepare("COMMIT").await?;
        let answer = self.client.execute_raw(&known, Vec::<Parameter>::new()).await;
        self.settle().await?;
        answer.map_err(|error| self.failed(error))?;
        self.work().open = false;
        Ok(())
    }

    async fn rollback(&self) -> Result<(), Error> {
        self.work().issued = None;
        // What failed before is what is rolled back for.
        if let Err(error) = self.settle().await {
            tracing::debug!(%error, "rolled back");
        }
        self.client.batch_execute("ROLLBACK").await.map_err(failure)?;
        *self.work() = Work::default();
        Ok(())
    }
}

fn failure(error: tokio_postgres::Error) -> Error {
    let is = |state| error.code() == Some(state);
    if is(&SqlState::UNIQUE_VIOLATION) || is(&SqlState::INTEGRITY_CONSTRAINT_VIOLATION) {
        return Error::Duplicate;
    }
    if is(&SqlState::T_R_DEADLOCK_DETECTED) {
        return Error::Locked;
    }
    tracing::warn!(%error, "PostgreSQL refuses a statement");
    Error::Database(Box::new(error))
}

#[async_trait]
impl DatabaseExecutor for Connection {
    /// What cdk's migrations are chosen by.
    fn name() -> &'static str {
        "postgres"
    }

    async fn execute(&self, statement: Statement) -> Result<usize, Error> {
        self.session().await?.execute(Prepared::new(statement)?).await
    }

    async fn fetch_one(&self, statement: Statement) -> Result<Option<Vec<Column>>, Error> {
        let rows = self.session().await?.rows(Prepared::new(statement)?, 1).await?;
        Ok(rows.into_iter().next())
    }

    async fn fetch_all(&self, statement: Statement) -> Result<Vec<Vec<Column>>, Error> {
        self.session().await?.rows(Prepared::new(statement)?, usize::MAX).await
    }

    async fn pluck(&self, statement: Statement) -> Result<Option<Column>, Error> {
        Ok(self.fetch_one(statement).await?.and_then(|row| row.into_iter().next()))
    }

    async fn batch(&self, statement: Statement) -> Result<(), Error> {
        let session = self.session().await?;
        session.write_issued().await?;
        let (sql, _) = statement.to_sql()?;
        let answer = session.client.batch_execute(&sql).await;
        session.settle().await?;
        answer.map_err(|error| session.failed(error))
    }
}

impl DatabaseConnector for Connection {
    type Transaction = Transactions;
}

/// How transactions begin and end.
pub(in crate::store) struct Transactions;

#[async_trait]
impl DatabaseTransaction<Connection> for Transactions {
    async fn begin(connection: &mut Connection) -> Result<(), Error> {
        connection.session().await?.begin().await
    }

    async fn commit(connection: &mut Connection) -> Result<(), Error> {
        connection.session().await?.commit().await
    }

    async fn rollback(connection: &mut Connection) -> Result<(), Error> {
        connection.session().await?.rollback().await
    }
}
