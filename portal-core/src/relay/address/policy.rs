//! What may be connected to: everything for addresses of our own, the public internet only for
//! what strangers name.
//!
//! A name is resolved here and the caller connects to the addresses it gets, so that a second,
//! different answer of the name server cannot lead anywhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{AddressError, RelayAddress};

/// How many addresses of one name are looked at.
const MAX_RESOLVED: usize = 16;
/// How long a name server may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Endings of names that lead into the local network.
const LOCAL_ENDINGS: [&str; 11] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "arpa",
    "onion",
];
/// Reached by every virtual machine of one large provider, and public by its number alone.
const METADATA_IN_PUBLIC_SPACE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressPolicy {
    /// Anything: for what the operator has configured.
    Open,
    /// The public internet, web ports and unprivileged ports: for what strangers name.
    PublicOnly,
}

impl AddressPolicy {
    /// Whether a connection to this relay may be tried. Says nothing about where its name leads;
    /// [`AddressPolicy::resolve`] does.
    ///
    /// # Errors
    /// When the address names a place or a port that this policy refuses.
    pub fn allows(self, address: &RelayAddress) -> Result<(), AddressError> {
        if self == Self::Open {
            return Ok(());
        }
        let (host, port) = address.host_and_port();
        self.allows_host(&host, port)
    }

    /// The same for any host (a name, or an address without brackets) and port.
    ///
    /// # Errors
    /// When the host or the port is one that this policy refuses.
    pub fn allows_host(self, host: &str, port: u16) -> Result<(), AddressError> {
        if self == Self::Open {
            return Ok(());
        }
        if port < 1024 && !matches!(port, 80 | 443) {
            return Err(AddressError::Port);
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return if self.allows_ip(ip) { Ok(()) } else { Err(AddressError::NotPublic) };
        }
        let mut labels = host.rsplit('.');
        let last = labels.next().unwrap_or("");
        // A resolver of the C library reads `0177.1` and `2130706433` as addresses.
        if last.is_empty() || last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
            return Err(AddressError::Host);
        }
        let single = labels.next().is_none();
        if single || LOCAL_ENDINGS.iter().any(|ending| last.eq_ignore_ascii_case(ending)) {
            return Err(AddressError::NotPublic);
        }
        Ok(())
    }

    /// Whether a connection to this IP address may be made.
    #[must_use]
    pub fn allows_ip(self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Self::Open, _) => true,
            (Self::PublicOnly, IpAddr::V4(ip)) => is_public_v4(ip),
            (Self::PublicOnly, IpAddr::V6(ip)) => is_public_v6(ip),
        }
    }

    /// Resolves a host, once, into addresses that may all be connected to. The caller must connect
    /// to one of these and not resolve again, and must not follow redirects without asking again.
    ///
    /// # Errors
    /// When the host or any address it leads to is refused, or it leads nowhere within 5 s.
    ///
    /// # Cancel safety
    /// Safe to drop at any point; the look-up itself may go on in the background until it ends.
    pub async fn resolve(self, host: &str, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
        self.allows_host(host, port)?;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, port)))
            .await
            .map_err(|_| AddressError::Unresolvable)?
            .map_err(|_| AddressError::Unresolvable)?;
        self.vet(found.take(MAX_RESOLVED).collect())
    }

    /// Refuses the whole answer when one address in it is refused: who mixes them has a reason.
    fn vet(self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, AddressError> {
        if found.is_empty() {
            return Err(AddressError::Unresolvable);
        }
        if !found.iter().all(|address| self.allows_ip(address.ip())) {
            return Err(AddressError::NotPublic);
        }
        Ok(found)
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _)
    );
    !special && ip != METADATA_IN_PUBLIC_SPACE
}

/// Only global unicast, and of that nothing that carries an IPv4 address or is reserved.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let global = a & 0xe000 == 0x2000;
    let special = match a {
        // IETF assignments, Teredo and ORCHID; documentation.
        0x2001 => b < 0x0200 || b == 0x0db8,
        // 6to4.
        0x2002 => true,
        // Documentation.
        0x3fff => b < 0x1000,
        _ => false,
    };
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: [&str; 56] = [
        "ws://localhost",
        "ws://localhost:7777",
        "ws://LOCALHOST",
        "ws://localhost.",
        "ws://foo.localhost",
        "ws://localhost.localdomain",
        "ws://printer.local",
        "ws://printer.local.",
        "ws://vault.internal",
        "ws://metadata.google.internal",
        "ws://router.lan",
        "ws://nas.home",
        "ws://nas.home.arpa",
        "ws://wiki.corp",
        "ws://wiki.intranet",
        "ws://1.0.0.127.in-addr.arpa",
        "ws://intranet",
        "ws://redis:6379",
        "ws://hidden.onion",
        "ws://127.0.0.1",
        "ws://127.0.0.1:3000",
        "ws://127.255.255.254",
        "ws://0.0.0.0",
        "ws://0.1.2.3",
        "ws://10.0.0.1",
        "ws://10.255.255.255",
        "ws://172.16.0.1",
        "ws://172.31.255.255",
        "ws://192.168.0.1",
        "ws://192.168.255.255",
        "ws://100.64.0.1",
        "ws://100.100.100.200",
        "ws://100.127.255.255",
        "ws://169.254.169.254",
        "ws://169.254.0.1",
        "ws://168.63.129.16",
        "ws://192.0.0.192",
        "ws://192.0.2.1",
        "ws://198.18.0.1",
        "ws://198.51.100.7",
        "ws://203.0.113.9",
        "ws://192.88.99.1",
        "ws://224.0.0.1",
        "ws://255.255.255.255",
        "ws://[::]",
        "ws://[::1]",
        "ws://[::ffff:127.0.0.1]",
        "ws://[::ffff:8.8.8.8]",
        "ws://[::ffff:a9fe:a9fe]",
        "ws://[::127.0.0.1]",
        "ws://[64:ff9b::7f00:1]",
        "ws://[fd00:ec2::254]",
        "ws://[fe80::1]",
        "ws://[fec0::1]",
        "ws://[2002:7f00:1::]",
        "ws://[ff02::1]",
    ];

    #[test]
    fn strangers_cannot_name_private_places() {
        for text in PRIVATE {
            let address = RelayAddress::parse(text).unwrap();
            let answer = AddressPolicy::PublicOnly.allows(&address);
            assert_eq!(answer, Err(AddressError::NotPublic), "{text}");
            assert_eq!(AddressPolicy::Open.allows(&address), Ok(()), "{text}");
        }
    }

    #[test]
    fn strangers_can_name_public_places() {
        for text in [
            "wss://relay.example.com",
            "ws://relay.example.com:7777",
            "wss://8.8.8.8",
            "wss://100.63.255.255",
            "wss://100.128.0.1",
            "wss://172.15.0.1",
            "wss://172.32.0.1",
            "wss://169.253.1.1",
            "wss://[2606:4700:4700::1111]",
            "wss://[2001:4860:4860::8888]",
            "wss://local.example.com",
            "wss://xn--bcher-kva.example",
        ] {
            let address = RelayAddress::parse(text).unwrap();
            assert_eq!(AddressPolicy::PublicOnly.allows(&address), Ok(()), "{text}");
        }
    }

    #[test]
    fn strangers_cannot_name_ports_of_other_services() {
        for port in [1, 22, 25, 81, 110, 444, 1023] {
            let answer = AddressPolicy::PublicOnly.allows_host("relay.example.com", port);
            assert_eq!(answer, Err(AddressError::Port));
        }
    }

    #[tokio::test]
    async fn disguised_numbers_never_reach_the_resolver() {
        for host in ["2130706433", "0177.0.0.1", "127.1", "0x7f.0.0.0x1", "0x7f000001", ""] {
            let answer = AddressPolicy::PublicOnly.resolve(host, 443).await;
            assert_eq!(answer, Err(AddressError::Host), "{host}");
        }
    }

    #[test]
    fn an_answer_with_one_private_address_is_refused_whole() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        let policy = AddressPolicy::PublicOnly;
        assert_eq!(policy.vet(vec![at("8.8.8.8")]), Ok(vec![at("8.8.8.8")]));
        for private in ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1", "169.254.169.254"] {
            let mixed = vec![at("8.8.8.8"), at(private)];
            assert_eq!(policy.vet(mixed), Err(AddressError::NotPublic), "{private}");
        }
        assert_eq!(policy.vet(Vec::new()), Err(AddressError::Unresolvable));
    }

    #[tokio::test]
    async fn literal_addresses_resolve_to_themselves_when_allowed() {
        let loopback: SocketAddr = "127.0.0.1:7777".parse().unwrap();
        assert_eq!(AddressPolicy::Open.resolve("127.0.0.1", 7777).await, Ok(vec![loopback]));
        let refused = AddressPolicy::PublicOnly.resolve("127.0.0.1", 7777).await;
        assert_eq!(refused, Err(AddressError::NotPublic));
        let six = AddressPolicy::Open.resolve("::1", 7777).await;
        assert_eq!(six, Ok(vec!["[::1]:7777".parse().unwrap()]));
    }
}
