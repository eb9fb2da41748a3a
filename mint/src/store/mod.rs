//! The books: cdk's tables, in SQLite or PostgreSQL, and what this crate asks of them itself.
//!
//! One process works on a database at a time: SQLite's is held by a lock on a file beside it,
//! PostgreSQL's by an advisory lock. Reading sums and rotating keys is possible beside it.

mod accounts;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdk_common::database::{self, DynMintDatabase, MintKeysDatabase};

pub use self::accounts::Account;
use self::accounts::Accounts;
pub(crate) use self::sqlite::{create_folder, private};
use crate::config::DatabaseConfig;

/// cdk's store of keysets.
pub type DynKeys = Arc<dyn MintKeysDatabase<Err = database::Error> + Send + Sync>;

/// An open database.
pub struct Store {
    /// Quotes, proofs and signatures.
    pub mint: DynMintDatabase,
    /// Keysets.
    pub keys: DynKeys,
    accounts: Accounts,
    hold: Option<Hold>,
}

/// What keeps other processes away, for as long as it is held.
enum Hold {
    File(#[expect(dead_code, reason = "held for its drop")] std::fs::File),
    #[cfg(feature = "postgres")]
    Advisory(Box<postgres::Advisory>),
}

/// Whether other processes are kept away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They are: for a mint.
    Alone,
    /// They are not: for commands beside a mint that runs.
    Beside,
}

impl Store {
    /// Opens the database that the configuration names, and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be opened, or another process works on it.
    pub async fn open(
        config: &DatabaseConfig,
        folder: &Path,
        access: Access,
    ) -> Result<Self, StoreError> {
        match config {
            DatabaseConfig::Sqlite => sqlite::open(folder, access).await,
            #[cfg(feature = "postgres")]
            DatabaseConfig::Postgres { connection, max_connections } => {
                postgres::open(connection, *max_connections, access).await
            }
            #[cfg(not(feature = "postgres"))]
            DatabaseConfig::Postgres { .. } => Err(StoreError::NoPostgres),
        }
    }

    /// What was sold, used and is outstanding, for each unit.
    ///
    /// # Errors
    /// When the books cannot be read.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.accounts.read().await
    }

    /// Whether the books can be read.
    ///
    /// # Errors
    /// When they cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.accounts.ping().await
    }

    /// Makes sure that other processes are still kept away. PostgreSQL forgets a lock with the
    /// connection that took it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another mint took the database meanwhile.
    pub async fn keep(&self) -> Result<(), StoreError> {
        match &self.hold {
            None | Some(Hold::File(_)) => Ok(()),
            #[cfg(feature = "postgres")]
            Some(Hold::Advisory(advisory)) => advisory.keep().await,
        }
    }

    /// Lets other processes in.
    pub fn release(&mut self) {
        self.hold = None;
    }
}

/// Where SQLite's file is.
#[must_use]
pub fn sqlite_path(folder: &Path) -> PathBuf {
    folder.join("mint.db")
}

/// Writes a copy of SQLite's database, of one moment, while a mint may be at work on it.
///
/// # Errors
/// When there is no database, the copy exists already, or the disk says no.
pub fn back_up(folder: &Path, copy: &Path) -> Result<(), StoreError> {
    sqlite::back_up(folder, copy)
}

/// Why the books cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another mint works on it.
    #[error("another mint works on this database")]
    InUse,
    /// The disk says no.
    #[error("{path} cannot be used")]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing has been written yet.
    #[error("there is no database at {path} yet: start the mint first")]
    None {
        /// Where it would be.
        path: PathBuf,
    },
    /// The database says no.
    #[error("the database cannot be used")]
    Database(#[from] database::Error),
    /// The copy of a database says no.
    #[error("the copy cannot be written")]
    Copy(#[from] rusqlite::Error),
    /// Something in it is not what we know.
    #[error("the database holds something unexpected: {what}")]
    Unexpected {
        /// What.
        what: &'static str,
    },
    /// Not in this program.
    #[error("this program was built without PostgreSQL")]
    NoPostgres,
}
