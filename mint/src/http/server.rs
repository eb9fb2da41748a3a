//! Connections: accepted, bounded in number and time, and let go when the mint stops.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::bounded::Bounded;
use super::sockets::Place;

/// How long a request's header may take, also the first one of a connection.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may last that does not become a socket. Whoever asks often connects anew.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);

/// How long the request may take that a connection is at when its time is over; a Lightning
/// payment is waited for a minute.
const LAST_REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// How long sockets and requests may take when the mint stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// The largest header.
const HEADER_SIZE: usize = 16 * 1024;

/// How long to wait when the system has no more file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Serves a listener until `stopping`, then lets connections finish what they are at, a few
/// seconds long.
///
/// # Cancel safety
/// Dropping the future stops accepting; connections go on until `stopping`.
pub async fn run(
    listener: TcpListener,
    router: Router,
    connections: usize,
    stopping: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let addresses = Addresses::new((connections / 2).max(1));
    let tasks = TaskTracker::new();
    loop {
        let accepted = async {
            let place =
                Arc::clone(&places).acquire_owned().await.expect("this semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Closed without a word: whoever fills the mint is not worth an answer.
                let Some(seat) = addresses.enter(peer.ip()) else { continue };
                let serving = serve(stream, peer, router.clone(), stopping.clone());
                tasks.spawn(async move {
                    serving.await;
                    drop((place, seat));
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted for now");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(DRAIN_LIMIT, tasks.wait()).await.is_err() {
        tracing::warn!("connections did not end in time and were cut");
    }
}

/// How many connections each address has. One of them may hold half of all places, because many
/// people can stand behind it, and never all of them.
struct Addresses {
    most: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection of an address.
struct Seat {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = address.to_canonical();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { addresses: Arc::clone(self), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.addresses.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = held.entry(self.address) {
            *entry.get_mut() = entry.get().saturating_sub(1);
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stopping: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let place = Place::default();
    let stream = Bounded::new(stream, place.clone());
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(place.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|e| match e {})) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT).max_buf_size(HEADER_SIZE);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let enough = async {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(CONNECTION_LIMIT) => {}
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_never_has_all_places() {
        let addresses = Addresses::new(2);
        let one: IpAddr = "192.0.2.1".parse().expect("an address");
        let seats = (addresses.enter(one), addresses.enter(one));
        assert!(seats.0.is_some() && seats.1.is_some());
        let mapped = "::ffff:192.0.2.1".parse().expect("an address");
        assert!(addresses.enter(mapped).is_none(), "the same address in another spelling");
        assert!(addresses.enter("192.0.2.2".parse().expect("an address")).is_some());
        drop(seats);
        assert!(addresses.enter(one).is_some());
        assert!(addresses.held.lock().expect("held").is_empty(), "nothing is kept of who left");
    }
}
