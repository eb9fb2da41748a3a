//! Connections: accepts them, bounds them, hands them to the router, and lets them go when the
//! daemon stops. Written on hyper's own connection type, because a stranger's half-sent header
//! needs a time limit and a socket before its login needs a byte limit.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::rest;
use crate::rate_limit::OpenGuard;
use crate::state::AppState;

/// How long a request's header may take, also the first one of a connection.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may last that does not become a socket. Whoever asks often connects anew.
const PLAIN_LIMIT: Duration = Duration::from_secs(60);

/// How long the request may take that a connection is at when its time is over.
const LAST_REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The largest header.
const HEADER_SIZE: usize = 16 * 1024;

/// How long to wait when the system has no more file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Every way in, as a service: for [`run`], and for tests that want no socket.
pub fn router(state: AppState) -> Router {
    rest::routes()
        .merge(super::lightning_address::routes())
        .route("/ws", axum::routing::any(super::ws::upgrade))
        .with_state(state)
}

/// Serves a listener until `shutdown` ends, then lets connections finish what they are at.
/// Returns when all of them have gone; the caller sets the limit.
///
/// # Cancel safety
/// Dropping the future stops accepting; connections are tasks of `state.tasks`.
pub async fn run(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) {
    let router = router(state.clone());
    let places = usize::try_from(state.limits.connections).unwrap_or(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let place =
                Arc::clone(&places).acquire_owned().await.expect("this semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, address)) => {
                // Refused without a word: words are what a flood wants.
                let Some(plain) = state.gate.connect(address.ip()) else { continue };
                let peer = Peer { address, meter: Arc::default(), place: Arc::new(place) };
                state.tasks.spawn(serve(stream, peer, plain, router.clone(), state.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted for now");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    drop(listener);
    state.stopping.cancel();
    state.tasks.close();
    state.tasks.wait().await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Serves a connection until it ends or becomes a socket, which is a task of its own.
async fn serve(stream: TcpStream, peer: Peer, plain: OpenGuard, router: Router, state: AppState) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let stream = Metered { stream, meter: Arc::clone(&peer.meter) };
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|e| match e {})) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT).max_buf_size(HEADER_SIZE);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let enough = async {
        tokio::select! {
            () = state.stopping.cancelled() => {}
            () = tokio::time::sleep(PLAIN_LIMIT) => {}
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = enough => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_REQUEST_LIMIT, connection).await.ok()
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
        None => tracing::debug!("a connection did not end in time"),
    }
    drop(plain);
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their address, as the kernel says.
    pub address: SocketAddr,
    /// What they may still send.
    pub meter: Arc<Meter>,
    /// The connection's place among all; a socket keeps it to its end.
    #[expect(dead_code, reason = "held, so that it is given back when the last clone goes")]
    place: Arc<OwnedSemaphorePermit>,
}

/// How many bytes a connection may still send. No limit until one is set.
#[derive(Debug)]
pub struct Meter(AtomicUsize);

const UNLIMITED: usize = usize::MAX;

impl Default for Meter {
    fn default() -> Self {
        Self(AtomicUsize::new(UNLIMITED))
    }
}

impl Meter {
    /// From now on only this many.
    pub fn limit(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// From now on as many as they like.
    pub fn unlimit(&self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }

    /// Whether all of them are used up.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn count(&self, bytes: usize) {
        let left = self.0.load(Ordering::Relaxed);
        if left != UNLIMITED {
            self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
        }
    }
}

/// A connection whose incoming bytes are counted.
struct Metered {
    stream: TcpStream,
    meter: Arc<Meter>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.is_exhausted() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more than may be sent before authentication",
            )));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.meter.count(buffer.filled().len().saturating_sub(before));
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_counts_only_while_it_is_limited() {
        let meter = Meter::default();
        meter.count(usize::MAX);
        assert!(!meter.is_exhausted());
        meter.limit(10);
        meter.count(9);
        assert!(!meter.is_exhausted());
        meter.count(5);
        assert!(meter.is_exhausted());
        meter.unlimit();
        assert!(!meter.is_exhausted());
    }
}
