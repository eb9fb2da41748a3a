//! Reading small documents from hosts that strangers name: one guarded GET, no redirects.

use std::time::Duration;

use crate::identity::{Nip05Entry, Nip05Error, Nip05Name};
use crate::relay::{AddressError, AddressPolicy};

const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 64 * 1024;

/// Asks a domain who has a name (NIP-05).
///
/// # Errors
/// When the host may not be asked, does not answer, or does not know the name.
///
/// # Cancel safety
/// Safe to drop.
pub async fn nip05(policy: AddressPolicy, name: &Nip05Name) -> Result<Nip05Entry, FetchError> {
    let url = name.well_known_url();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let failed = |source| FetchError::Http { host: host.clone(), source };
    // The connection goes to the addresses that were checked, not to what the name says later.
    let addresses = policy.resolve(&host, port).await?;
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .resolve_to_addrs(&host, &addresses)
        .build()
        .map_err(failed)?;
    let mut response = client
        .get(url.as_str())
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(Nip05Error::TooLong.into());
        }
    }
    Ok(name.check(&body)?)
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The host may not be asked, or its name leads nowhere.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It is not the document that was asked for.
    #[error(transparent)]
    Nip05(#[from] Nip05Error),
    /// The host did not give it.
    #[error("{host} cannot be asked")]
    Http {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}
