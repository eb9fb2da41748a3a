//! What bounds a WebSocket: it leaves the HTTP connection with its stream, so the bounds go with
//! the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::sockets::Place;

/// How long a socket may last. Wallets connect anew.
const SOCKET_LIMIT: Duration = Duration::from_secs(3600);

/// How much a socket may send in all: questions are short.
const SOCKET_BYTES: usize = 1024 * 1024;

/// A connection's stream, with an end in time and bytes once it is a socket.
pub(super) struct Bounded<S> {
    stream: S,
    place: Place,
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl<S> Bounded<S> {
    /// A stream that is no socket yet.
    pub(super) fn new(stream: S, place: Place) -> Self {
        Self::within(stream, place, SOCKET_LIMIT, SOCKET_BYTES)
    }

    fn within(stream: S, place: Place, limit: Duration, bytes: usize) -> Self {
        Self { stream, place, left: bytes, end: Box::pin(tokio::time::sleep(limit)) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let socket = this.place.is_held();
        if socket && (this.left == 0 || this.end.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = into.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, into);
        if socket {
            let read = into.filled().len().saturating_sub(before);
            this.left = this.left.saturating_sub(read);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::sockets::Sockets;
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn held() -> Place {
        let place = Place::default();
        let seat = Sockets::new(4).enter(IpAddr::V4(Ipv4Addr::LOCALHOST));
        place.hold(seat.expect("a place"));
        place
    }

    #[tokio::test]
    async fn a_socket_that_says_nothing_ends_in_time() {
        let (_peer, stream) = tokio::io::duplex(64);
        let mut socket = Bounded::within(stream, held(), Duration::from_millis(1), 100);
        let ended = socket.read_u8().await.expect_err("it ends, though nobody says a word");
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_socket_that_says_too_much_ends() {
        let (mut peer, stream) = tokio::io::duplex(64);
        let mut socket = Bounded::within(stream, held(), LONG, 10);
        peer.write_all(&[0; 20]).await.expect("written");
        let mut read = [0; 10];
        socket.read_exact(&mut read).await.expect("so much is allowed");
        assert!(socket.read_u8().await.is_err(), "and no more");
    }

    #[tokio::test]
    async fn a_connection_that_is_no_socket_has_neither_end() {
        let (mut peer, stream) = tokio::io::duplex(64);
        let none = Place::default();
        let mut connection = Bounded::within(stream, none.clone(), Duration::ZERO, 0);
        peer.write_all(&[7; 20]).await.expect("written");
        assert_eq!(connection.read_u8().await.expect("reads on"), 7);
        assert!(!none.is_held());
    }
}
