//! `[limits]`: what a stranger can cost. Whoever shows the token has no limit on streams, and
//! none on commands but how many run at once on one socket.

use std::net::IpAddr;

use super::values::Values;

/// What a stranger can cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Sockets of one address that have not shown the token yet.
    pub unauthenticated_sockets_per_address: u32,
    /// Connections of one address that are no sockets.
    pub plain_connections_per_address: u32,
    /// Wrong tokens of one address in a minute; after them wrong ones are answered late.
    pub failed_logins_per_minute: u32,
    /// Proxies whose word counts for who speaks (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpAddr>,
    /// Connections of all kinds at once.
    pub connections: u32,
    /// Commands that run at once on one socket; more wait in the socket.
    pub commands_at_once: u32,
    /// Commands of one socket in a second; 0 is no limit.
    pub commands_per_second: u32,
    /// How long a socket may leave unread what is written to it, in seconds.
    pub stalled_reader_seconds: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            unauthenticated_sockets_per_address: 16,
            plain_connections_per_address: 256,
            failed_logins_per_minute: 10,
            trusted_proxies: Vec::new(),
            connections: 20_000,
            commands_at_once: 512,
            commands_per_second: 0,
            stalled_reader_seconds: 15,
        }
    }
}

impl LimitsConfig {
    /// How many connections an address of this machine may have where others have few: a proxy
    /// or a backend with many sockets connects from there, and strangers do not.
    #[must_use]
    pub const fn local_share(&self) -> u32 {
        self.connections / 4
    }

    pub(super) fn take(values: &mut Values) -> Self {
        let usual = Self::default();
        let name = values.name_of("limits.trusted_proxies");
        let trusted_proxies = values.list("limits.trusted_proxies").unwrap_or_default();
        let trusted_proxies = match trusted_proxies.iter().map(|text| text.parse()).collect() {
            Ok(addresses) => addresses,
            Err(std::net::AddrParseError { .. }) => {
                values.wrong(name, "a list of IP addresses").unwrap_or_default()
            }
        };
        let mut positive = |key, usual: u32| match values.number(key, "a whole number above 0") {
            Some(0) => values.wrong(format!("`{key}`"), "a whole number above 0").unwrap_or(usual),
            Some(number) => number,
            None => usual,
        };
        Self {
            unauthenticated_sockets_per_address: positive(
                "limits.unauthenticated_sockets_per_address",
                usual.unauthenticated_sockets_per_address,
            ),
            plain_connections_per_address: positive(
                "limits.plain_connections_per_address",
                usual.plain_connections_per_address,
            ),
            trusted_proxies,
            failed_logins_per_minute: positive(
                "limits.failed_logins_per_minute",
                usual.failed_logins_per_minute,
            ),
            connections: positive("limits.connections", usual.connections),
            commands_at_once: positive("limits.commands_at_once", usual.commands_at_once),
            stalled_reader_seconds: positive(
                "limits.stalled_reader_seconds",
                usual.stalled_reader_seconds,
            ),
            commands_per_second: values
                .number("limits.commands_per_second", "a whole number, 0 for no limit")
                .unwrap_or(usual.commands_per_second),
        }
    }
}
