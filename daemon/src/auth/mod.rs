//! Who may use the daemon: whoever shows the one token, over the socket or as a bearer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use portal_core::env::Env;
use portal_core::primitives::{ErrorCode, Secret};

use crate::config::LimitsConfig;
use crate::error::CommandError;
use crate::rate_limit::{Open, OpenGuard, PerMinute};

/// Checks tokens, and counts those who have none.
pub struct Gate {
    token: Secret<String>,
    env: Env,
    failures: PerMinute,
    waiting: Arc<Open>,
    plain: Arc<Open>,
    proxies: Vec<IpAddr>,
}

/// How long the answer to a wrong token takes once its address has shown too many.
pub const PENALTY: Duration = Duration::from_secs(1);

impl Gate {
    /// A gate that opens for this token.
    #[must_use]
    pub fn new(token: Secret<String>, limits: &LimitsConfig, env: Env) -> Self {
        let local = limits.local_share();
        Self {
            token,
            env,
            failures: PerMinute::new(limits.failed_logins_per_minute),
            waiting: Open::new(limits.unauthenticated_sockets_per_address, local),
            plain: Open::new(limits.plain_connections_per_address, local),
            proxies: limits.trusted_proxies.iter().map(IpAddr::to_canonical).collect(),
        }
    }

    /// Who speaks: the address of the connection or, behind a proxy of ours, the one it names. The
    /// last entry is the proxy's own word; those before it are whatever the other side wrote.
    #[must_use]
    pub fn speaker(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.proxies.contains(&connected.to_canonical()) {
            return connected;
        }
        let last = headers.get_all("x-forwarded-for").iter().next_back();
        last.and_then(|value| value.to_str().ok())
            .and_then(|text| text.rsplit(',').next()?.trim().parse().ok())
            .unwrap_or(connected)
    }

    /// Takes a place for a connection that is no socket yet; `None` when its address has too many.
    #[must_use]
    pub fn connect(&self, address: IpAddr) -> Option<OpenGuard> {
        let ours = self.proxies.contains(&address.to_canonical());
        self.plain.enter(address, ours)
    }

    /// Takes a place for a socket that has not shown the token yet.
    ///
    /// # Errors
    /// `rate_limited` when the address has too many of them open.
    pub fn wait(&self, address: IpAddr) -> Result<OpenGuard, CommandError> {
        self.waiting.enter(address, false).ok_or_else(|| {
            CommandError::new(
                ErrorCode::RateLimited,
                "too many sockets of this address have not authenticated yet",
            )
        })
    }

    /// Compares in constant time. Whoever has the token is never kept waiting by those who guess,
    /// though they may share an address, as all do behind a proxy.
    ///
    /// # Errors
    /// `auth_failed` when the token is wrong, `rate_limited` when it is wrong and the address has
    /// tried too often; the caller then answers after [`PENALTY`].
    pub fn check(&self, address: IpAddr, candidate: &str) -> Result<(), CommandError> {
        if self.token.matches(candidate) {
            return Ok(());
        }
        let now = self.env.now_millis();
        if let Err(left) = self.failures.check(address, now) {
            let seconds = left.as_millis().div_ceil(1000);
            return Err(CommandError::new(
                ErrorCode::RateLimited,
                format!("Authentication failed too often: wait {seconds} s"),
            ));
        }
        self.failures.note(address, now);
        tracing::warn!(%address, "a wrong token");
        Err(CommandError::authentication_failed())
    }

    /// As [`Gate::check_bearer`], and waits for the penalty when there is one.
    ///
    /// # Errors
    /// As [`Gate::check`].
    pub async fn admit(&self, address: IpAddr, headers: &HeaderMap) -> Result<(), CommandError> {
        let checked = self.check_bearer(address, headers);
        if checked.as_ref().is_err_and(|error| error.code == ErrorCode::RateLimited) {
            tokio::time::sleep(PENALTY).await;
        }
        checked
    }

    /// Checks the `Authorization: Bearer` header.
    ///
    /// # Errors
    /// As [`Gate::check`]; the texts are those that clients of the first daemons know.
    pub fn check_bearer(&self, address: IpAddr, headers: &HeaderMap) -> Result<(), CommandError> {
        let failed = |code, reason: &str| {
            CommandError::new(code, format!("Authentication failed: {reason}"))
        };
        let Some(header) = headers.get(header::AUTHORIZATION) else {
            return Err(failed(ErrorCode::Unauthenticated, "Missing Authorization header"));
        };
        let Some(token) = header.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        }) else {
            return Err(failed(ErrorCode::Unauthenticated, "Invalid Authorization header format"));
        };
        self.check(address, token).map_err(|error| match error.code {
            ErrorCode::AuthFailed => failed(ErrorCode::AuthFailed, "Invalid token"),
            _ => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use portal_core::env::mock;
    use portal_core::primitives::Timestamp;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn gate() -> (Gate, Arc<mock::MockClock>) {
        let (env, clock) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
        (Gate::new(Secret::new("0123456789".into()), &LimitsConfig::default(), env), clock)
    }

    #[test]
    fn only_the_exact_token_opens() {
        let (gate, _) = gate();
        assert_eq!(gate.check(HERE, "0123456789"), Ok(()));
        for wrong in ["", "123456789", "0123456789 ", "01234567890"] {
            assert_eq!(gate.check(HERE, wrong), Err(CommandError::authentication_failed()));
        }
    }

    #[test]
    fn after_ten_wrong_tokens_only_wrong_ones_wait() {
        let (gate, clock) = gate();
        let wrong = |address| gate.check(address, "wrong").expect_err("wrong").code;
        for _ in 0..10 {
            assert_eq!(wrong(HERE), ErrorCode::AuthFailed);
        }
        let error = gate.check(HERE, "wrong").expect_err("limited");
        assert_eq!((error.code, error.retryable), (ErrorCode::RateLimited, true));
        assert_eq!(gate.check(HERE, "0123456789"), Ok(()), "others of the same address go on");
        assert_eq!(wrong(IpAddr::from([10, 0, 0, 1])), ErrorCode::AuthFailed);
        clock.advance(Duration::from_secs(60));
        assert_eq!(wrong(HERE), ErrorCode::AuthFailed);
    }

    #[test]
    fn only_a_proxy_of_ours_names_the_speaker_and_only_with_the_last_entry() {
        let (env, _) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
        let limits = LimitsConfig { trusted_proxies: vec![HERE], ..LimitsConfig::default() };
        let gate = Gate::new(Secret::new("x".into()), &limits, env);
        let (far, named) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 9]));
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().expect("a header"));
            }
            headers
        };
        assert_eq!(gate.speaker(HERE, &headers(&["1.1.1.1", "2.2.2.2, 10.0.0.9"])), named);
        assert_eq!(gate.speaker(far, &headers(&["10.0.0.9"])), far);
        for unreadable in [&[][..], &["unknown"], &["10.0.0.9,"]] {
            assert_eq!(gate.speaker(HERE, &headers(unreadable)), HERE);
        }
    }

    #[test]
    fn bearers_are_refused_with_the_texts_of_old() {
        let (gate, _) = gate();
        let with = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            }
            gate.check_bearer(HERE, &headers).map_err(|error| error.message)
        };
        let text = |reason: &str| Err(format!("Authentication failed: {reason}"));
        assert_eq!(with(None), text("Missing Authorization header"));
        assert_eq!(with(Some("Basic abc")), text("Invalid Authorization header format"));
        assert_eq!(with(Some("Bearer")), text("Invalid Authorization header format"));
        assert_eq!(with(Some("Bearer wrong")), text("Invalid token"));
        assert_eq!(with(Some("Bearer 0123456789")), Ok(()));
        assert_eq!(with(Some("bearer 0123456789")), Ok(()));
    }

    #[test]
    fn waiting_sockets_are_counted() {
        let (gate, _) = gate();
        let far = IpAddr::from([10, 0, 0, 1]);
        let held: Vec<_> = (0..16).map(|_| gate.wait(far)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(gate.wait(far).is_err());
        drop(held);
        assert!(gate.wait(far).is_ok());
        let held: Vec<_> = (0..100).map(|_| gate.wait(HERE)).collect();
        assert!(held.iter().all(Result::is_ok), "behind loopback may be many");
    }
}
