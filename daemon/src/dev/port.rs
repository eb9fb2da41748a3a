//! Ports of `--dev` that stay: URLs, wallet links and tokens name them, so what comes back in a
//! folder has to be where it was.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use tokio::net::TcpListener;

/// Listens on loopback: on the port that is written in the file, else on the usual one, else on
/// any. Which it is, is written to the file.
pub(super) async fn listen(file: &Path, usual: u16) -> io::Result<TcpListener> {
    let before = std::fs::read_to_string(file).ok().and_then(|text| text.parse().ok());
    let listener = bind(before.into_iter().chain([usual])).await?;
    std::fs::write(file, listener.local_addr()?.port().to_string())?;
    Ok(listener)
}

/// The first of the ports that is free, or any.
async fn bind(ports: impl Iterator<Item = u16>) -> io::Result<TcpListener> {
    for port in ports {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}
