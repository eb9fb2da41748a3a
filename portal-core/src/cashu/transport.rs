//! Talking to a mint: one request, one bounded answer, in bounded time.
//!
//! No redirects. Where a stranger named the mint the connection goes to addresses that were
//! checked. The token that a mint lets us in by is sent to the origin of that mint and nowhere
//! else, in both headers that mints of this kind read. What matters afterwards is whether the mint
//! may have acted: [`CallError`] says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CashuError, MintAddress};
use crate::primitives::{Secret, Timestamp};
use crate::relay::{AddressError, AddressPolicy};

/// The largest answer: a thousand signatures with their proofs take half of it.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// How long the addresses of a mint are used before its name is asked for again.
const RESOLVED_FOR: Duration = Duration::from_secs(300);
/// What cdk's mint answers, with any status, when something went wrong inside it: its database, for
/// example, while it wrote down what it had done.
const FAILED_INSIDE: u64 = 50_000;
/// The most mints whose connections are kept.
const MOST_MINTS: usize = 256;

/// How to talk to mints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the whole answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(15) }
    }
}

/// What became of a request that did not end well.
#[derive(Debug)]
pub(super) enum CallError {
    /// It never left: the mint cannot know of it.
    NotSent(CashuError),
    /// It may have been acted upon.
    Lost(CashuError),
    /// The mint said no.
    Refused {
        /// Its code; 0 when it gave none. It may then have been somebody between, and says nothing
        /// about what became of proofs.
        code: u16,
    },
}

impl CallError {
    /// The same for a request that changes nothing.
    pub(super) fn plain(self) -> CashuError {
        match self {
            Self::NotSent(error) | Self::Lost(error) => error,
            Self::Refused { code } => refusal(code),
        }
    }
}

/// What a code of the protocol means.
pub(super) const fn refusal(code: u16) -> CashuError {
    match code {
        10001 => CashuError::InvalidToken { reason: "it is not signed by the mint" },
        11001 => CashuError::Spent,
        11002 | 11004 | 20005 => CashuError::Pending,
        11006 => CashuError::AmountLimits,
        11013 => CashuError::UnsupportedUnit,
        12001 => CashuError::UnknownKeyset,
        12003 => CashuError::Expired,
        20003 => CashuError::Unsupported { what: "minting" },
        30001 | 30002 | 31001 | 31002 => CashuError::Unauthorized,
        code => CashuError::Refused { code },
    }
}

/// All connections to mints.
pub(super) struct Transport {
    strangers: AddressPolicy,
    patience: Patience,
    clients: Mutex<HashMap<MintAddress, (Client, Timestamp)>>,
}

impl Transport {
    pub(super) fn new(strangers: AddressPolicy, patience: Patience) -> Self {
        Self { strangers, patience, clients: Mutex::default() }
    }

    /// Where a mint may be; `trusted` when the owner of the wallet named it.
    pub(super) const fn policy(&self, trusted: bool) -> AddressPolicy {
        if trusted { AddressPolicy::Open } else { self.strangers }
    }

    /// How long a mint may take.
    pub(super) const fn patience(&self) -> Patience {
        self.patience
    }

    /// The connection to one mint; `trusted` when the owner of the wallet named it.
    pub(super) async fn to(
        &self,
        mint: &MintAddress,
        trusted: bool,
        token: Option<Arc<Secret<String>>>,
        now: Timestamp,
    ) -> Result<Connection, CallError> {
        let known = {
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.get(mint).filter(|(_, made)| made.saturating_add(RESOLVED_FOR) > now).cloned()
        };
        let http = match known {
            Some((client, _)) => client,
            None => {
                let client = self.connect(mint, trusted).await.map_err(CallError::NotSent)?;
                let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
                if clients.len() >= MOST_MINTS {
                    clients.clear();
                }
                clients.insert(mint.clone(), (client.clone(), now));
                client
            }
        };
        Ok(Connection { http, mint: mint.clone(), token })
    }

    async fn connect(&self, mint: &MintAddress, trusted: bool) -> Result<Client, CashuError> {
        let policy = self.policy(trusted);
        let mut builder = Client::builder()
            .connect_timeout(self.patience.connect)
            .timeout(self.patience.answer)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .no_proxy();
        if policy == AddressPolicy::PublicOnly {
            let (host, port) = mint.host_and_port();
            let addresses = policy.resolve(&host, port).await.map_err(|error| match error {
                // No network, most of the time: nothing is known of the mint.
                AddressError::Unresolvable => CashuError::Unreachable,
                error => CashuError::ForbiddenMint(error),
            })?;
            builder = builder.resolve_to_addrs(&host, &addresses);
        }
        builder.build().map_err(|_| CashuError::Unreachable)
    }
}

/// The connection to one mint.
pub(super) struct Connection {
    http: Client,
    mint: MintAddress,
    token: Option<Arc<Secret<String>>>,
}

impl Connection {
    pub(super) async fn get<R: DeserializeOwned>(&self, route: &[&str]) -> Result<R, CallError> {
        self.send(Method::GET, route, None).await
    }

    pub(super) async fn post<R: DeserializeOwned>(
        &self,
        route: &[&str],
        body: &impl Serialize,
    ) -> Result<R, CallError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| CallError::NotSent(CashuError::protocol(error)))?;
        self.send(Method::POST, route, Some(body)).await
    }

    async fn send<R: DeserializeOwned>(
        &self,
        method: Method,
        route: &[&str],
        body: Option<Vec<u8>>,
    ) -> Result<R, CallError> {
        let url = self.mint.route(route).map_err(CallError::NotSent)?;
        let headers = self.headers(&url).map_err(CallError::NotSent)?;
        let mut request = self.http.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| {
            // Only a connection that never stood is sure not to have carried anything.
            if error.is_connect() || error.is_builder() {
                CallError::NotSent(CashuError::Unreachable)
            } else {
                CallError::Lost(CashuError::Unreachable)
            }
        })?;
        let status = response.status();
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => return Err(CallError::Lost(CashuError::Unreachable)),
            }
            if answer.len() > MOST_BYTES {
                return Err(CallError::Lost(CashuError::BadAnswer { reason: "it is too large" }));
            }
        }
        read(status, &answer)
    }

    fn headers(&self, url: &url::Url) -> Result<HeaderMap, CashuError> {
        let mut headers = HeaderMap::new();
        let Some(token) = &self.token else { return Ok(headers) };
        // By construction the same; a token is worth a second look.
        if url.origin().ascii_serialization() != self.mint.origin() {
            return Err(CashuError::Unauthorized);
        }
        let value = |text: String| {
            HeaderValue::from_str(&text)
                .map(|mut value| {
                    value.set_sensitive(true);
                    value
                })
                .map_err(|_| CashuError::Unauthorized)
        };
        headers.insert("authorization", value(format!("Bearer {}", token.expose()))?);
        headers.insert("clear-auth", value(token.expose().clone())?);
        Ok(headers)
    }
}

/// What the mint said.
fn read<R: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<R, CallError> {
    if status.is_success() {
        return serde_json::from_slice(body)
            .map_err(|_| CallError::Lost(CashuError::BadAnswer { reason: "it has another form" }));
    }
    let code = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| value.get("code")?.as_u64());
    if code == Some(FAILED_INSIDE) {
        let error = CashuError::BadAnswer { reason: "it has failed inside" };
        return Err(CallError::Lost(error));
    }
    let code = code
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (10_000..40_000).contains(code));
    match (status, code) {
        (_, Some(code)) => Err(CallError::Refused { code }),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
            Err(CallError::Refused { code: 30001 })
        }
        // Somebody between, or the mint has too much to do: nothing is known.
        (
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS,
            None,
        ) => Err(CallError::Lost(CashuError::Unreachable)),
        (status, None) if status.is_client_error() => Err(CallError::Refused { code: 0 }),
        (_, None) => Err(CallError::Lost(CashuError::Unreachable)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answered(status: u16, body: &str) -> Result<Value, CallError> {
        read(StatusCode::from_u16(status).expect("a status"), body.as_bytes())
    }

    #[test]
    fn only_the_mints_own_word_is_a_refusal() {
        let spent = r#"{"code":11001,"detail":"Token already spent"}"#;
        assert!(matches!(answered(400, spent), Err(CallError::Refused { code: 11001 })));
        assert!(matches!(answered(500, spent), Err(CallError::Refused { code: 11001 })));
        assert!(matches!(answered(422, "amount"), Err(CallError::Refused { code: 0 })));
        assert!(matches!(answered(401, "no"), Err(CallError::Refused { code: 30001 })));
        let inside = r#"{"code":50000,"detail":"database error"}"#;
        for (status, body) in
            [(502, "<html>"), (429, "slow"), (500, inside), (400, inside), (302, "")]
        {
            assert!(matches!(answered(status, body), Err(CallError::Lost(_))), "{status}");
        }
        let strange = answered(200, "{\"keys\":");
        assert!(matches!(strange, Err(CallError::Lost(CashuError::BadAnswer { .. }))));
    }

    #[test]
    fn codes_of_the_protocol_have_meanings() {
        assert!(matches!(refusal(10001), CashuError::InvalidToken { .. }));
        assert!(matches!(refusal(11001), CashuError::Spent));
        assert!(matches!(refusal(11002), CashuError::Pending));
        assert!(matches!(refusal(11006), CashuError::AmountLimits));
        assert!(matches!(refusal(11013), CashuError::UnsupportedUnit));
        assert!(matches!(refusal(12003), CashuError::Expired));
        assert!(matches!(refusal(30001), CashuError::Unauthorized));
        assert!(matches!(refusal(11005), CashuError::Refused { code: 11005 }));
    }
}
