//! `[info]`: where the daemon listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Flags;
use super::values::Values;

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoConfig {
    /// `info.listen_address` and `info.listen_port`, or `--listen`. Loopback unless told
    /// otherwise; the container image sets `PORTAL__INFO__LISTEN_ADDRESS=0.0.0.0`.
    pub listen: SocketAddr,
}

impl InfoConfig {
    /// The port of every Portal daemon.
    pub const DEFAULT_PORT: u16 = 3000;

    pub(super) fn take(values: &mut Values, flags: &Flags) -> Self {
        let name = values.name_of("info.listen_address");
        let address = values
            .text("info.listen_address")
            .and_then(|text| match text.as_str() {
                "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                text => text.trim_matches(['[', ']']).parse().ok().or_else(|| {
                    values.wrong(name, "an IP address, for instance 127.0.0.1 or 0.0.0.0")
                }),
            })
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = values
            .number("info.listen_port", "a port between 0 and 65535")
            .unwrap_or(Self::DEFAULT_PORT);
        Self { listen: flags.listen.unwrap_or_else(|| SocketAddr::new(address, port)) }
    }
}
