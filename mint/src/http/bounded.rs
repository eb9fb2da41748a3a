//! What bounds a WebSocket: it leaves the HTTP connection with its stream, so the bounds go with
//! the stream.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

/// How long a socket may last. Wallets connect anew.
const SOCKET_LIMIT: Duration = Duration::from_secs(3600);

/// How much a socket may send in all: questions are short.
const SOCKET_BYTES: usize = 1024 * 1024;

/// The place of a connection among the sockets; empty until it becomes one.
pub(super) type Place = Arc<OnceLock<OwnedSemaphorePermit>>;

/// A connection's stream, with an end in time and bytes once it is a socket.
pub(super) struct Bounded {
    stream: TcpStream,
    place: Place,
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl Bounded {
    /// A stream that is no socket yet.
    pub(super) fn new(stream: TcpStream, place: Place) -> Self {
        let end = Box::pin(tokio::time::sleep(SOCKET_LIMIT));
        Self { stream, place, left: SOCKET_BYTES, end }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let socket = this.place.get().is_some();
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

impl AsyncWrite for Bounded {
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
