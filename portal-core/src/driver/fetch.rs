//! Reading small documents from hosts that strangers name: one guarded GET, no redirects.

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::identity::{Nip05Entry, Nip05Error, Nip05Name};
use crate::payments::instructions::{Web, WebError};
use crate::relay::{AddressError, AddressPolicy};

const PATIENCE: Duration = Duration::from_secs(5);
/// LNURL servers make an invoice while we wait.
const WEB_PATIENCE: Duration = Duration::from_secs(15);
const MOST_BYTES: usize = 64 * 1024;

/// Asks a domain who has a name (NIP-05).
///
/// # Errors
/// When the host may not be asked, does not answer, or does not know the name.
///
/// # Cancel safety
/// Safe to drop.
pub async fn nip05(policy: AddressPolicy, name: &Nip05Name) -> Result<Nip05Entry, FetchError> {
    let body = get(policy, name.well_known_url(), PATIENCE).await?;
    Ok(name.check(&body)?)
}

/// The web, as far as strangers may lead us: public addresses, or all of them when the operator
/// has opened his network.
#[derive(Clone, Copy, Debug)]
pub struct GuardedWeb(pub AddressPolicy);

#[async_trait]
impl Web for GuardedWeb {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, WebError> {
        get(self.0, url, WEB_PATIENCE).await.map_err(|error| {
            tracing::debug!(%error, "a payment instruction could not be followed");
            match error {
                FetchError::Address(AddressError::Unresolvable) | FetchError::Http { .. } => {
                    WebError::Unreachable
                }
                FetchError::Address(_) => WebError::Forbidden,
                FetchError::TooLong | FetchError::Nip05(_) => WebError::TooLong,
            }
        })
    }

    fn allows_plain(&self, host: &str) -> bool {
        host.ends_with(".onion") || self.0 == AddressPolicy::Open
    }
}

async fn get(policy: AddressPolicy, url: &Url, patience: Duration) -> Result<Vec<u8>, FetchError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let failed = |source| FetchError::Http { host: host.clone(), source };
    // The connection goes to the addresses that were checked, not to what the name says later.
    let addresses = policy.resolve(&host, port).await?;
    let client = reqwest::Client::builder()
        .timeout(patience)
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
            return Err(FetchError::TooLong);
        }
    }
    Ok(body)
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
    /// It is longer than any document that we read.
    #[error("the document is longer than {MOST_BYTES} bytes")]
    TooLong,
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
