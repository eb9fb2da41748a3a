//! Makes one connection: resolve, connect to what the policy allows, TLS, WebSocket handshake.
//! Follows no redirects. The caller bounds the time.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, tungstenite,
};

use crate::relay::{AddressError, AddressPolicy, RelayAddress};

/// A connection to a relay, or to whatever else speaks over a WebSocket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The largest frame and message that is read; larger ones end the connection.
const MAX_MESSAGE: usize = 1 << 20;
/// Memory of an idle connection; what is larger is allocated while it passes.
const READ_BUFFER: usize = 4 * 1024;
/// A write to the socket happens when so much is waiting, or the batch is complete.
const WRITE_BUFFER: usize = 16 * 1024;
/// What may wait inside the connection when the relay does not read.
const MAX_WRITE_BUFFER: usize = 2 << 20;
/// The head start of each address over the next one of the same name.
const STAGGER: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("no address answered")]
    Connect(#[from] std::io::Error),
    #[error("the websocket handshake failed")]
    Handshake(#[source] Box<tungstenite::Error>),
}

/// Connects to a relay.
pub(crate) async fn dial(relay: &RelayAddress, policy: AddressPolicy) -> Result<Socket, DialError> {
    policy.allows(relay)?;
    let (host, port) = relay.host_and_port();
    let addresses = policy.resolve(&host, port).await?;
    let stream = connect_any(addresses).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let connector = relay.as_str().starts_with("wss:").then(|| Connector::Rustls(tls()));
    let (socket, _) = client_async_tls_with_config(relay.as_str(), stream, Some(config), connector)
        .await
        .map_err(|error| DialError::Handshake(Box::new(error)))?;
    Ok(socket)
}

/// The first address that answers, each with a small head start over the next.
async fn connect_any(addresses: Vec<SocketAddr>) -> Result<TcpStream, std::io::Error> {
    let mut attempts: FuturesUnordered<_> = addresses
        .into_iter()
        .zip(0u32..)
        .map(|(address, place)| async move {
            if place > 0 {
                tokio::time::sleep(STAGGER.saturating_mul(place)).await;
            }
            TcpStream::connect(address).await
        })
        .collect();
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One configuration for all connections: the roots are large, and sessions can be resumed.
fn tls() -> Arc<ClientConfig> {
    static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    };
    TLS.get_or_init(make).clone()
}
