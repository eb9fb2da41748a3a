//! One bounded GET.

use std::sync::OnceLock;
use std::time::Duration;

use super::SourceError;

const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 256 * 1024;
/// Some of the sources refuse callers without a name.
const NAME: &str = concat!("portal/", env!("CARGO_PKG_VERSION"));

/// Fetches the answers of sources. One for all of them; nothing is made before the first use.
#[derive(Debug)]
pub struct Fetcher {
    client: OnceLock<reqwest::Client>,
    patience: Duration,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl Fetcher {
    /// A fetcher that waits this long for a whole answer.
    #[must_use]
    pub const fn with_patience(patience: Duration) -> Self {
        Self { client: OnceLock::new(), patience }
    }

    /// The body of a successful answer.
    ///
    /// # Errors
    /// When there is none in time, or it is too long.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn get(&self, url: &str) -> Result<Vec<u8>, SourceError> {
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => SourceError::Timeout,
            false => SourceError::Unreachable,
        };
        let mut response = self.client()?.get(url).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(SourceError::Status { status });
        }
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |length| length > MOST_BYTES) {
            return Err(SourceError::TooLong);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > MOST_BYTES {
                return Err(SourceError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn client(&self) -> Result<&reqwest::Client, SourceError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .timeout(self.patience)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(NAME)
            .build()
            .map_err(|_| SourceError::Unreachable)?;
        Ok(self.client.get_or_init(|| client))
    }
}
