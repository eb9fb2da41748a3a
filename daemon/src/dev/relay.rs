//! The relay of `--dev`: someone else's relay behind connections of our own, so that its port is
//! surely free and small frames are not held back by the kernel.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nostr_relay_builder::builder::{RateLimit, RelayBuilder};
use nostr_relay_builder::local::LocalRelay;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::port;

/// The port people expect; another one when it is taken.
const PORT: u16 = 7777;

const PORT_FILE: &str = "dev-relay-port";

/// A relay on loopback.
pub(super) struct DevRelay {
    address: SocketAddr,
    end: CancellationToken,
    tasks: TaskTracker,
}

impl DevRelay {
    /// Starts it where it was before in this folder, since URLs and wallet links name it; else at
    /// the usual port; else anywhere.
    pub(super) async fn start(folder: &Path, handle: &Handle) -> io::Result<Self> {
        let listener = port::listen(&folder.join(PORT_FILE), PORT).await?;
        let address = listener.local_addr()?;
        let limits = RateLimit { max_reqs: 10_000, notes_per_minute: u32::MAX };
        let relay = LocalRelay::new(RelayBuilder::default().rate_limit(limits));
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (stop, connections) = (end.clone(), tasks.clone());
        tasks.spawn_on(
            async move {
                loop {
                    tokio::select! {
                        accepted = listener.accept() => if let Ok((stream, address)) = accepted {
                            let serving = serve(stream, address, relay.clone(), connections.clone());
                            let stop = stop.clone();
                            connections.spawn(async move {
                                stop.run_until_cancelled(serving).await;
                            });
                        },
                        () = stop.cancelled() => break,
                    }
                }
            },
            handle,
        );
        Ok(Self { address, end, tasks })
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Ends it and its connections.
    pub(super) async fn shutdown(&self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for DevRelay {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Does the HTTP part of one connection; the relay does the rest.
async fn serve(stream: TcpStream, address: SocketAddr, relay: LocalRelay, tasks: TaskTracker) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let answer = answer(request.headers());
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgrading = hyper::upgrade::on(&mut request);
            let relay = relay.clone();
            tasks.spawn(async move {
                if let Ok(upgraded) = upgrading.await
                    && let Err(error) = relay.take_connection(TokioIo::new(upgraded), address).await
                {
                    tracing::debug!(%error, "a connection of the development relay ended badly");
                }
            });
        }
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "a connection of the development relay ended badly");
    }
}

fn answer(headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    };
    let Ok(accept) = derive_accept_key(key.as_bytes()).parse() else { return response };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let upgrade = header::HeaderValue::from_static("websocket");
    let connection = header::HeaderValue::from_static("Upgrade");
    response.headers_mut().insert(header::UPGRADE, upgrade);
    response.headers_mut().insert(header::CONNECTION, connection);
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_keeps_its_relay_where_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = DevRelay::start(folder.path(), &Handle::current()).await.expect("starts");
        let other = tempfile::tempdir().expect("a folder");
        let second = DevRelay::start(other.path(), &Handle::current()).await.expect("starts");
        assert_ne!(first.url(), second.url());
        let url = second.url();
        second.shutdown().await;
        let again = DevRelay::start(other.path(), &Handle::current()).await.expect("starts");
        assert_eq!(again.url(), url);
        first.shutdown().await;
        again.shutdown().await;
    }
}
