//! A proxy in front of a relay that breaks the connection in every way a network does, switched
//! while it runs. It works on bytes: nothing is ever changed or left out in the middle of what is
//! passed on; a connection that has lost bytes is cut before it passes any again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::RelayError;
use super::listener::Listener;

/// How much is passed on at once.
const CHUNK: usize = 16 * 1024;
/// How many chunks may be on the way in one direction.
const ON_THE_WAY: usize = 1024;

/// What a [`FaultProxy`] does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// Passes everything on.
    Pass,
    /// Accepts, reads everything, passes nothing on in either direction.
    Silent,
    /// Passes everything on, each way this much later.
    Slow(Duration),
    /// Cuts what is open and refuses what is new.
    Dead,
    /// Accepts and then neither reads nor writes: buffers fill up. As when a peer is unplugged.
    HalfOpen,
    /// Passes on, and cuts the connection after one chunk in so many, chosen at random.
    Flaky {
        /// One in how many.
        one_in: u32,
    },
}

/// A link to a relay that can be broken.
pub struct FaultProxy {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    /// The mode, and how often the connections were cut.
    mode: watch::Sender<(ProxyMode, u64)>,
    accepted: AtomicU64,
    random: AtomicU64,
}

impl FaultProxy {
    /// Starts a proxy to this port.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(upstream: SocketAddr) -> Result<Self, RelayError> {
        let shared = Arc::new(Shared {
            upstream,
            mode: watch::channel((ProxyMode::Pass, 0)).0,
            accepted: AtomicU64::new(0),
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
        });
        let handler = shared.clone();
        let listener = Listener::start(move |stream, _| link(handler.clone(), stream)).await?;
        Ok(Self { listener, shared })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.listener.address())
    }

    /// How many connections were accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Switches, for open connections too.
    ///
    /// # Errors
    /// When the port cannot be opened again after [`ProxyMode::Dead`].
    pub async fn set(&self, mode: ProxyMode) -> Result<(), RelayError> {
        self.shared.mode.send_modify(|current| current.0 = mode);
        if mode == ProxyMode::Dead {
            self.listener.stop().await;
            Ok(())
        } else {
            Ok(self.listener.restart().await?)
        }
    }

    /// Cuts every open connection; new ones are treated as before.
    pub fn cut(&self) {
        self.shared.mode.send_modify(|current| current.1 += 1);
    }
}

/// A chunk and when it is due.
type Passing = (Instant, Vec<u8>);

async fn link(shared: Arc<Shared>, client: TcpStream) {
    shared.accepted.fetch_add(1, Ordering::SeqCst);
    let mut mode = shared.mode.subscribe();
    let cuts = mode.borrow_and_update().1;
    let cut = async {
        // Ends when the proxy is gone, too.
        while mode.changed().await.is_ok() && mode.borrow_and_update().1 == cuts {}
    };
    let passing = async {
        let Ok(relay) = TcpStream::connect(shared.upstream).await else { return };
        if relay.set_nodelay(true).is_err() {
            return;
        }
        let (from_client, to_client) = client.into_split();
        let (from_relay, to_relay) = relay.into_split();
        tokio::select! {
            () = pass(&shared, from_client, to_relay) => {}
            () = pass(&shared, from_relay, to_client) => {}
        }
    };
    tokio::select! {
        () = cut => {}
        () = passing => {}
    }
}

/// One direction of a link, until it ends or must be cut.
async fn pass(shared: &Shared, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (sender, mut receiver) = mpsc::channel::<Passing>(ON_THE_WAY);
    let mut mode = shared.mode.subscribe();
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        let mut lost = false;
        loop {
            let current = mode.borrow_and_update().0;
            if current == ProxyMode::HalfOpen {
                if mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let length = tokio::select! {
                changed = mode.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                read = from.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(length) => length,
                },
            };
            // As it is when the bytes come, not when the wait began.
            let current = mode.borrow().0;
            if current == ProxyMode::Silent {
                lost = true;
                continue;
            }
            if lost {
                return;
            }
            let delay = if let ProxyMode::Slow(delay) = current { delay } else { Duration::ZERO };
            let due = Instant::now() + delay;
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                return;
            }
            if let ProxyMode::Flaky { one_in } = current
                && shared.random().is_multiple_of(u64::from(one_in.max(1)))
            {
                return;
            }
        }
    };
    let mut mode = shared.mode.subscribe();
    let writing = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            while mode.borrow_and_update().0 == ProxyMode::HalfOpen {
                if mode.changed().await.is_err() {
                    return;
                }
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    // What was read before the end is still written.
    tokio::join!(reading, writing);
}

impl Shared {
    /// A sequence that looks random and repeats (xorshift).
    fn random(&self) -> u64 {
        let step = |mut x: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        let update = |x| Some(step(x));
        match self.random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update) {
            Ok(old) | Err(old) => step(old),
        }
    }
}
