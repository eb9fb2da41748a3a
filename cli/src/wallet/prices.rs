//! Where `--auto` learns what a bitcoin costs, and whether it may pay an amount in fiat by itself.
//!
//! The invoice of a request in euros is in satoshi: only a rate of our own says whether it is fair.
//! Without one the person is asked. Nobody is asked for a rate before such a request comes.

use std::sync::Arc;

use portal_core::client::{Client, IncomingRequest, RequestBody};
use portal_core::env::Env;
use portal_core::protocol::Currency;
use portal_core::rates::http::named;
use portal_core::rates::{RateDesk, RateOptions};

use crate::error::CliError;

/// The desk of the sources that were named; `None` without any.
///
/// # Errors
/// When a name is not one of theirs.
pub fn desk(names: &[String], env: &Env) -> Result<Option<Arc<RateDesk>>, CliError> {
    let sources = named(names.iter().map(String::as_str))?;
    if sources.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(RateDesk::new(env.clone(), sources, RateOptions::default()))))
}

/// Why a request must not be paid without asking the person, by its price.
///
/// # Cancel safety
/// Safe to drop.
pub async fn doubt(client: &Client, request: &IncomingRequest, permille: u16) -> Option<String> {
    let RequestBody::Payment(asked) = &request.body else { return None };
    match asked.currency {
        // The examination of the invoice has compared the two.
        Currency::Millisats => None,
        Currency::Fiat(_) => {
            client.prices().check(asked, permille).await.err().map(|error| error.to_string())
        }
    }
}
