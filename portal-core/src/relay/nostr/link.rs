//! One relay: its state, its queue, and the task that connects and connects again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::connection::{self, End};
use super::dial::{DialError, dial};
use super::outbox::Outbox;
use super::{RelayOptions, Shared};
use crate::primitives::Timestamp;
use crate::relay::{
    AddressError, AddressPolicy, RelayAddress, RelayCounters, RelayRefusal, RelayState, RelayStatus,
};

/// One relay.
pub(super) struct Link {
    pub(super) relay: RelayAddress,
    pub(super) outbox: Outbox,
    pub(super) cancel: CancellationToken,
    pub(super) counters: Counters,
    /// Whether `connected` was ever reported.
    pub(super) was_connected: AtomicBool,
    health: Mutex<Health>,
}

/// What only the link's own task counts.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) oversized: AtomicU64,
    pub(super) garbage: AtomicU64,
    pub(super) closed: AtomicU64,
}

struct Health {
    state: RelayState,
    connected_since: Option<Timestamp>,
    attempts: u32,
    latency: Option<Duration>,
    /// `None` for relays of our own.
    lease: Option<Instant>,
}

impl Link {
    pub(super) fn new(
        relay: RelayAddress,
        lease: Option<Instant>,
        cancel: CancellationToken,
        options: &RelayOptions,
    ) -> Self {
        Self {
            relay,
            outbox: Outbox::new(options.queue_frames, options.queue_bytes),
            cancel,
            counters: Counters::default(),
            was_connected: AtomicBool::new(false),
            health: Mutex::new(Health {
                state: RelayState::Connecting,
                connected_since: None,
                attempts: 0,
                latency: None,
                lease,
            }),
        }
    }

    /// The end of the lease; `None` for a relay of our own.
    pub(super) fn lease(&self) -> Option<Instant> {
        self.health().lease
    }

    /// Makes a lease longer; never shorter, and never makes one.
    pub(super) fn extend_lease(&self, until: Instant) {
        if let Some(lease) = &mut self.health().lease {
            *lease = (*lease).max(until);
        }
    }

    pub(super) fn lease_is_over(&self, now: Instant) -> bool {
        self.lease().is_some_and(|end| end <= now)
    }

    pub(super) fn set_connected(&self, since: Timestamp, refused: bool) {
        let mut health = self.health();
        if !refused {
            health.state = RelayState::Connected;
        }
        health.connected_since.get_or_insert(since);
    }

    pub(super) fn set_refused_authentication(&self) {
        self.health().state = RelayState::Refused(RelayRefusal::Authentication);
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        self.health().latency = Some(latency);
    }

    pub(super) fn status(&self) -> RelayStatus {
        let (queued, dropped) = self.outbox.counts();
        let health = self.health();
        RelayStatus {
            relay: self.relay.clone(),
            state: health.state,
            leased: health.lease.is_some(),
            connected_since: health.connected_since,
            attempts: health.attempts,
            latency: health.latency,
            queued,
            counters: self.counters.read(dropped),
        }
    }

    /// Connects, and connects again, until it is cancelled or its lease is over.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let options = &shared.options;
        let mut backoff = Backoff::new(options.backoff);
        loop {
            self.set_disconnected(RelayState::Connecting, backoff.failures());
            let mut refusal = None;
            match self.connect(&shared).await {
                Attempt::Cancelled => break,
                Attempt::Failed(error) => {
                    tracing::debug!(relay = %self.relay, %error, "no connection");
                    refusal = refusal_of(&error);
                }
                Attempt::TimedOut => tracing::debug!(relay = %self.relay, "no answer"),
                Attempt::Connected(socket) => {
                    let since = Instant::now();
                    let end = connection::run(*socket, &self, &shared).await;
                    tracing::debug!(relay = %self.relay, ?end, "connection ended");
                    if end == End::Cancelled {
                        break;
                    }
                    if since.elapsed() >= options.stable_after {
                        backoff.worked();
                    }
                }
            }
            if self.lease_is_over(Instant::now()) && shared.forget_expired(&self) {
                break;
            }
            let mut pause = backoff.failed(&shared.env, Instant::now());
            let state = match refusal {
                // Nothing on our side will change that soon.
                Some(error) => {
                    pause = options.backoff.limit;
                    RelayState::Refused(RelayRefusal::Address(error))
                }
                None => RelayState::Waiting { retry: pause },
            };
            self.set_disconnected(state, backoff.failures());
            let mut until = Instant::now() + pause;
            if let Some(lease) = self.lease() {
                until = until.min(lease);
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                () = tokio::time::sleep_until(until) => {}
            }
        }
        self.outbox.close();
    }

    async fn connect(&self, shared: &Shared) -> Attempt {
        let leased = self.lease().is_some();
        let policy = if leased && !shared.options.allow_private {
            AddressPolicy::PublicOnly
        } else {
            AddressPolicy::Open
        };
        let dialling =
            tokio::time::timeout(shared.options.connect_timeout, dial(&self.relay, policy));
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Attempt::Cancelled,
            outcome = dialling => match outcome {
                Ok(Ok(socket)) => Attempt::Connected(Box::new(socket)),
                Ok(Err(error)) => Attempt::Failed(error),
                Err(_) => Attempt::TimedOut,
            },
        }
    }

    fn set_disconnected(&self, state: RelayState, attempts: u32) {
        let mut health = self.health();
        health.state = state;
        health.connected_since = None;
        health.attempts = attempts;
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Attempt {
    Cancelled,
    TimedOut,
    Failed(DialError),
    Connected(Box<super::dial::Socket>),
}

/// A name that leads nowhere may lead somewhere in a moment; a forbidden place stays forbidden.
fn refusal_of(error: &DialError) -> Option<AddressError> {
    match error {
        DialError::Address(AddressError::Unresolvable)
        | DialError::Connect(_)
        | DialError::Handshake(_) => None,
        DialError::Address(error) => Some(*error),
    }
}

impl Counters {
    /// Adds one; only the link's task writes, so nothing is lost.
    pub(super) fn add(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    fn read(&self, dropped: u64) -> RelayCounters {
        RelayCounters {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            dropped,
            oversized: self.oversized.load(Ordering::Relaxed),
            garbage: self.garbage.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
        }
    }
}
