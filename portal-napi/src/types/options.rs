//! How a client or a service is set up.

use std::path::PathBuf;
use std::sync::Arc;

use napi::Result;
use napi_derive::napi;
use portal_core::env::Env;
use portal_core::rates::http::named;
use portal_core::rates::{RateDesk, RateOptions};
use portal_core::relay::RelayAddress;

use crate::error::{failed, invalid};
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
    /// Where exchange rates come from, which amounts in fiat need: `all` public sources, or some of
    /// `kraken`, `coinbase`, `coingecko`, `bitpay`, `yadio`, `bitso`, `nobitex` and `exir`, each
    /// also at another address (`kraken=https://…`). None when absent.
    pub rates: Option<Vec<String>>,
}

pub(crate) struct Checked {
    pub(crate) relays: Vec<RelayAddress>,
    pub(crate) database: Option<PathBuf>,
    pub(crate) allow_private_relays: bool,
    pub(crate) rates: Option<Arc<RateDesk>>,
}

impl StartOptions {
    pub(crate) fn checked(self) -> Result<Checked> {
        let Self { relays, database, allow_private_relays, rates } = self;
        limits::list("relays", &relays, limits::RELAYS, limits::RELAY)?;
        if let Some(path) = &database {
            limits::text("the path of the database", path, limits::PATH)?;
        }
        let relays = relays.iter().map(|relay| RelayAddress::parse(relay)).collect::<Vec<_>>();
        Ok(Checked {
            relays: relays.into_iter().collect::<std::result::Result<_, _>>().map_err(failed)?,
            database: database.map(PathBuf::from),
            allow_private_relays: allow_private_relays == Some(true),
            rates: desk(&rates.unwrap_or_default())?,
        })
    }
}

/// What prices amounts in fiat; nobody is asked before there is one.
fn desk(names: &[String]) -> Result<Option<Arc<RateDesk>>> {
    limits::list("rates", names, limits::RATES, limits::URL)?;
    let sources =
        named(names.iter().map(String::as_str)).map_err(|cause| invalid(&cause.to_string()))?;
    if sources.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(RateDesk::new(Env::system(), sources, RateOptions::default()))))
}
