//! SQLite: `mint.db` in the data folder, with a lock beside it. Its owner alone can read it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use cdk_sql_common::pool::Pool;
use cdk_sqlite::{MintSqliteDatabase, SqliteConnectionManager};
use rusqlite::{Connection, OpenFlags};

use super::accounts::Accounts;
use super::{Access, Hold, Store, StoreError, sqlite_path};

pub(super) async fn open(folder: &Path, access: Access) -> Result<Store, StoreError> {
    let path = sqlite_path(folder);
    let hold = match access {
        Access::Alone => {
            create_folder(folder)
                .map_err(|source| StoreError::Disk { path: folder.into(), source })?;
            Some(Hold::File(lock(folder)?))
        }
        // Whoever only looks makes nothing.
        Access::Beside if !path.exists() => return Err(StoreError::None { path }),
        Access::Beside => None,
    };
    // Made by us first, so that it is never readable to others; SQLite gives its other files the
    // same rights.
    private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&path)
        .map_err(|source| StoreError::Disk { path: path.clone(), source })?;
    let database = Arc::new(MintSqliteDatabase::new(&path).await?);
    let pool = Pool::<SqliteConnectionManager>::new((&path).into());
    Ok(Store { mint: database.clone(), keys: database, accounts: Accounts::Sqlite(pool), hold })
}

pub(super) fn back_up(folder: &Path, copy: &Path) -> Result<(), StoreError> {
    let path = sqlite_path(folder);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    // An empty file of ours is what SQLite writes the copy into.
    private(OpenOptions::new().write(true).create_new(true))
        .open(copy)
        .map_err(|source| StoreError::Disk { path: copy.into(), source })?;
    let name =
        copy.to_str().ok_or(StoreError::Unexpected { what: "a path that is not Unicode" })?;
    let written = connection.execute("VACUUM INTO ?1", [name]);
    if written.is_err() {
        drop(std::fs::remove_file(copy));
    }
    written?;
    Ok(())
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("mint.lock");
    let disk = |source| StoreError::Disk { path: path.clone(), source };
    let file = private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&path)
        .map_err(disk)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(source)) => Err(disk(source)),
    }
}

/// Creates the folder and those above it, for their owner alone. Folders that exist stay as they
/// are.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A file that is made is its owner's alone.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
