//! How a client or a service is set up.

use std::path::PathBuf;
use std::sync::Arc;

use portal_core::env::Env;
use portal_core::rates::http::named;
use portal_core::rates::{RateDesk, RateOptions};
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
    /// Where exchange rates come from, which amounts in fiat need: `all` public sources, or some of
    /// `kraken`, `coinbase`, `coingecko`, `bitpay`, `yadio`, `bitso`, `nobitex` and `exir`, each
    /// also at another address (`kraken=https://…`). None when empty.
    #[uniffi(default = [])]
    pub rates: Vec<String>,
}

impl ClientOptions {
    pub(crate) fn checked(self) -> Result<Checked, PortalError> {
        let Self { relays, database, allow_private_relays, rates } = self;
        checked(&relays, database, allow_private_relays, &rates)
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
    /// Where exchange rates come from, which amounts in fiat need: `all` public sources, or some of
    /// `kraken`, `coinbase`, `coingecko`, `bitpay`, `yadio`, `bitso`, `nobitex` and `exir`, each
    /// also at another address (`kraken=https://…`). None when empty.
    #[uniffi(default = [])]
    pub rates: Vec<String>,
}

impl ServiceOptions {
    pub(crate) fn checked(self) -> Result<(Checked, Option<Arc<Wallet>>), PortalError> {
        let Self { relays, database, wallet, allow_private_relays, rates } = self;
        Ok((checked(&relays, database, allow_private_relays, &rates)?, wallet))
    }
}

/// What both have in common.
pub(crate) struct Checked {
    pub(crate) relays: Vec<RelayAddress>,
    pub(crate) database: Option<PathBuf>,
    pub(crate) allow_private_relays: bool,
    pub(crate) rates: Option<Arc<RateDesk>>,
}

fn checked(
    relays: &[String],
    database: Option<String>,
    allow_private_relays: bool,
    rates: &[String],
) -> Result<Checked, PortalError> {
    limits::list("relays", relays, limits::RELAYS, limits::RELAY)?;
    if let Some(path) = &database {
        limits::text("the path of the database", path, limits::PATH)?;
    }
    let relays = relays.iter().map(|relay| RelayAddress::parse(relay)).collect::<Result<_, _>>()?;
    let rates = desk(rates)?;
    Ok(Checked { relays, database: database.map(PathBuf::from), allow_private_relays, rates })
}

/// What prices amounts in fiat; nobody is asked before there is one.
fn desk(names: &[String]) -> Result<Option<Arc<RateDesk>>, PortalError> {
    limits::list("rates", names, limits::RATES, limits::URL)?;
    let sources = named(names.iter().map(String::as_str))
        .map_err(|error| PortalError::invalid(error.to_string()))?;
    if sources.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(RateDesk::new(Env::system(), sources, RateOptions::default()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn rates_are_named_and_bounded() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            desk(&names).map(|desk| desk.is_some())
        };
        assert_eq!(named(&[]), Ok(false));
        assert_eq!(named(&["all"]), Ok(true));
        assert_eq!(named(&["kraken", "yadio=http://127.0.0.1:1"]), Ok(true));
        let long = format!("kraken=http://127.0.0.1/{}", "a".repeat(limits::URL));
        for wrong in [&["bank"][..], &[""], &["kraken"; 17], &[&long]] {
            let refused = named(wrong);
            assert!(matches!(
                refused,
                Err(PortalError::Failed { code: ErrorCode::InvalidRequest, .. })
            ));
        }
    }
}
