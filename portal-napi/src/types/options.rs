//! How a client or a service is set up.

use std::path::PathBuf;

use napi::Result;
use napi_derive::napi;
use portal_core::relay::RelayAddress;

use crate::error::failed;
use crate::limits;

/// How a client or a service is set up.
#[napi(object)]
pub struct StartOptions {
    /// Its relays.
    pub relays: Vec<String>,
    /// The SQLite file that everything survives in; without it nothing survives the process.
    pub database: Option<String>,
    /// Whether others may name relays on private addresses: for development and tests.
    pub allow_private_relays: Option<bool>,
}

pub(crate) struct Checked {
    pub(crate) relays: Vec<RelayAddress>,
    pub(crate) database: Option<PathBuf>,
    pub(crate) allow_private_relays: bool,
}

impl StartOptions {
    pub(crate) fn checked(self) -> Result<Checked> {
        let Self { relays, database, allow_private_relays } = self;
        limits::list("relays", &relays, limits::RELAYS, limits::RELAY)?;
        if let Some(path) = &database {
            limits::text("the path of the database", path, limits::PATH)?;
        }
        let relays = relays.iter().map(|relay| RelayAddress::parse(relay)).collect::<Vec<_>>();
        Ok(Checked {
            relays: relays.into_iter().collect::<std::result::Result<_, _>>().map_err(failed)?,
            database: database.map(PathBuf::from),
            allow_private_relays: allow_private_relays == Some(true),
        })
    }
}
