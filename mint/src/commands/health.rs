//! `portal-mint health`: asks a mint that runs whether it is healthy; for containers.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use portal_mint::config::DEFAULT_PORT;

use super::Place;

const LIMIT: Duration = Duration::from_secs(3);

/// Asks.
pub fn run(place: &Place, listen: Option<SocketAddr>) -> anyhow::Result<()> {
    let usual = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DEFAULT_PORT);
    let listen = match (listen, place.find()) {
        (Some(listen), _) => listen,
        (None, Ok(found)) => found.config.listen,
        // Whether the configuration is complete is not the question here.
        (None, Err(_)) => usual,
    };
    let address = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port())
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listen.port())
        }
        _ => listen,
    };
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    anyhow::ensure!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("OK"),
        "{address} is not a healthy mint"
    );
    Ok(())
}
