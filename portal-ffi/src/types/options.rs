//! How a client or a service is set up.

use std::path::PathBuf;
use std::sync::Arc;

use portal_core::relay::RelayAddress;

use crate::error::PortalError;
use crate::limits;
use crate::wallet::Wallet;

/// How a client is set up.
#[derive(Clone, uniffi::Record)]
pub struct ClientOptions {
    /// The relays it listens on, and names to services.
    pub relays: Vec<String>,
    /// The SQLite file that everything survives in; without it nothing survives the process.
    #[uniffi(default = None)]
    pub database: Option<String>,
    /// Whether services may name relays on private addresses: for development and tests.
    #[uniffi(default = false)]
    pub allow_private_relays: bool,
}

impl ClientOptions {
    pub(crate) fn checked(self) -> Result<Checked, PortalError> {
        let Self { relays, database, allow_private_relays } = self;
        checked(&relays, database, allow_private_relays)
    }
}

/// How a service is set up.
#[derive(Clone, uniffi::Record)]
pub struct ServiceOptions {
    /// Its relays.
    pub relays: Vec<String>,
    /// The SQLite file that everything survives in; without it nothing survives the process.
    #[uniffi(default = None)]
    pub database: Option<String>,
    /// The wallet that makes invoices and says what is paid. Needed for payments only.
    #[uniffi(default = None)]
    pub wallet: Option<Arc<Wallet>>,
    /// Whether people may name relays on private addresses: for development and tests.
    #[uniffi(default = false)]
    pub allow_private_relays: bool,
}

impl ServiceOptions {
    pub(crate) fn checked(self) -> Result<(Checked, Option<Arc<Wallet>>), PortalError> {
        let Self { relays, database, wallet, allow_private_relays } = self;
        Ok((checked(&relays, database, allow_private_relays)?, wallet))
    }
}

/// What both have in common.
pub(crate) struct Checked {
    pub(crate) relays: Vec<RelayAddress>,
    pub(crate) database: Option<PathBuf>,
    pub(crate) allow_private_relays: bool,
}

fn checked(
    relays: &[String],
    database: Option<String>,
    allow_private_relays: bool,
) -> Result<Checked, PortalError> {
    limits::list("relays", relays, limits::RELAYS, limits::RELAY)?;
    if let Some(path) = &database {
        limits::text("the path of the database", path, limits::PATH)?;
    }
    let relays = relays.iter().map(|relay| RelayAddress::parse(relay)).collect::<Result<_, _>>()?;
    Ok(Checked { relays, database: database.map(PathBuf::from), allow_private_relays })
}
