//! The door: every request passes here before anything else sees it.
//!
//! ```text
//! OPTIONS ───────────────▶ what browsers may send
//! path not on the list ──▶ 404
//! turned off ────────────▶ 20003
//! token needed ─┬ none ──▶ 401, 30001
//!               ├ wrong ─▶ 401, 30002 (ten a minute, then 429)
//!               └ of other scope ▶ 403, 30002
//! no token, too often ───▶ 429
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use portal_core::env::Env;

use super::refusal::Refusal;
use crate::auth::{Endpoint, Grant, Operation, Operations, Quote, Tokens};
use crate::config::{AuthConfig, LimitsConfig};
use crate::rate_limit::Buckets;

/// Longer tokens are not hashed.
const MAX_TOKEN: usize = 1024;

const CLEAR_AUTH: HeaderName = HeaderName::from_static("clear-auth");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who may pass, and how often.
pub struct Door {
    tokens: RwLock<Arc<Tokens>>,
    guarded: Operations,
    disabled: Operations,
    /// Whether quotes that are paid over Lightning need no token.
    lightning_is_open: bool,
    requests: Buckets,
    wrong_tokens: Buckets,
    trusted_proxies: Vec<IpAddr>,
    env: Env,
}

/// Who has passed.
#[derive(Clone, Debug)]
pub struct Passed {
    /// What the request is.
    pub endpoint: Endpoint,
    /// The token's, when there was one.
    pub grant: Option<Arc<Grant>>,
    /// A token would have been needed, but not for a unit that is paid over Lightning: whoever
    /// answers has to look which it is.
    pub lightning_only: bool,
}

impl Door {
    /// A door with these rules.
    #[must_use]
    pub fn new(
        auth: &AuthConfig,
        limits: &LimitsConfig,
        lightning_is_open: bool,
        tokens: Tokens,
        env: Env,
    ) -> Self {
        let wrong = limits.wrong_tokens_per_minute.max(1);
        Self {
            tokens: RwLock::new(Arc::new(tokens)),
            guarded: auth.guarded,
            disabled: auth.disabled,
            lightning_is_open,
            requests: Buckets::new(limits.requests_per_minute, limits.burst),
            wrong_tokens: Buckets::new(wrong, wrong),
            trusted_proxies: limits.trusted_proxies.clone(),
            env,
        }
    }

    /// From now on these tokens, and no others.
    pub fn replace(&self, tokens: Tokens) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// Lets a request pass, or refuses it.
    ///
    /// # Errors
    /// The refusal.
    pub fn pass(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<Passed, Refusal> {
        let endpoint = Endpoint::parse(method, path).ok_or_else(Refusal::not_found)?;
        if endpoint == Endpoint::Health {
            return Ok(Passed { endpoint, grant: None, lightning_only: false });
        }
        let address = self.address(headers, peer);
        let now = self.env.now_millis();
        let Some(operation) = endpoint.operation() else {
            self.requests.take(address, now).map_err(Refusal::too_many)?;
            return Ok(Passed { endpoint, grant: None, lightning_only: false });
        };
        if self.disabled.has(operation) {
            return Err(Refusal::disabled(operation.name()));
        }
        let guarded = self.guarded.has(operation);
        let excused = guarded && self.lightning_is_open && endpoint.method() == Some(Quote::Bolt11);
        let grant = self.grant(headers, address, now, operation, guarded && !excused)?;
        if grant.is_none() {
            self.requests.take(address, now).map_err(Refusal::too_many)?;
        }
        let lightning_only = excused && grant.is_none();
        Ok(Passed { endpoint, grant, lightning_only })
    }

    /// What the token opens; `None` when there is none and none is needed.
    fn grant(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        now: u64,
        operation: Operation,
        guarded: bool,
    ) -> Result<Option<Arc<Grant>>, Refusal> {
        let mut presented = presented(headers).peekable();
        if presented.peek().is_none() {
            return if guarded { Err(Refusal::token_needed()) } else { Ok(None) };
        }
        // Also where no token is needed: a door that answers faster would be one to guess at.
        self.wrong_tokens.check(address, now).map_err(Refusal::too_many)?;
        let tokens = Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner));
        let found = presented.find_map(|token| tokens.find(token, self.env.now()));
        match found {
            Some(grant) if grant.scopes.has(operation) => Ok(Some(Arc::new(grant.clone()))),
            Some(_) if guarded => Err(Refusal::not_covered(operation.name())),
            Some(_) => Ok(None),
            None => {
                self.wrong_tokens.note(address, now);
                if guarded { Err(Refusal::wrong_token()) } else { Ok(None) }
            }
        }
    }

    /// Who asks: the peer, or whom a proxy that we trust names last.
    pub(super) fn address(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        let mut address = peer.ip().to_canonical();
        let named = headers.get_all(FORWARDED_FOR);
        let named: Vec<&str> = named
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for hop in named.iter().rev() {
            if !self.trusted_proxies.contains(&address) {
                break;
            }
            match hop.trim().parse::<IpAddr>() {
                Ok(before) => address = before.to_canonical(),
                Err(_) => break,
            }
        }
        address
    }
}

/// The tokens of a request: `Authorization: Bearer …`, and `Clear-auth` of the Cashu wallets.
fn presented(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let clear = headers.get(CLEAR_AUTH).and_then(|value| value.to_str().ok()).map(str::trim);
    [bearer, clear].into_iter().flatten().filter(|token| (1..=MAX_TOKEN).contains(&token.len()))
}

/// Says what pages of other sites may do: everything that a wallet does. The mint's protocol has
/// no cookies, so there is nothing for a page to borrow. `*` would not cover `Authorization`.
pub fn cross_origin(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Clear-auth, Blind-auth, Content-Type, Accept, Prefer",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
