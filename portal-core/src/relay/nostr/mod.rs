//! Relays over WebSocket: one task a relay, which connects, subscribes, reads and writes.
//!
//! It does not parse events, verify them or drop duplicates; the sink does. It does not keep what
//! could not be sent: whoever must reach a relay sends again when `connected` names it.
//!
//! - `link` connects and connects again, `dial` makes one connection, `backoff` says how long to
//!   wait in between;
//! - `connection` reads and writes, with the queue in `outbox`, the subscriptions in `standing`,
//!   NIP-42 in `auth` and the words of relays in `frame`.

pub(in crate::relay) mod auth;
mod backoff;
mod connection;
mod dial;
pub(in crate::relay) mod frame;
mod link;
mod outbox;
pub(in crate::relay) mod standing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::backoff::BackoffOptions;
#[cfg(feature = "cashu")]
pub(crate) use self::dial::{Socket, dial};
#[cfg(feature = "testing")]
pub use self::frame::event_in;
use self::link::Link;
use self::standing::Subscription;
use super::{
    AddressPolicy, LeaseRefused, Publication, RelayAddress, RelayPool, RelaySink, RelayStatus,
    Targets,
};
use crate::env::Env;

/// Goes on, or ends the connection.
type Step<T = ()> = Result<T, connection::End>;

/// How the connections behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayOptions {
    /// Whether relays that strangers name may be on private addresses.
    pub allow_private: bool,
    /// How many relays that strangers name are held at once.
    pub max_leases: usize,
    /// How many frames may wait for one relay.
    pub queue_frames: usize,
    /// How many bytes may wait for one relay.
    pub queue_bytes: usize,
    /// How long a connection may take to be made, name look-up and handshakes included.
    pub connect_timeout: Duration,
    /// How often a protocol ping is sent.
    pub ping_every: Duration,
    /// How long a relay may say nothing at all.
    pub dead_after: Duration,
    /// How long a relay may leave unread what is written to it.
    pub stall_after: Duration,
    /// How long a connection must have lasted for the back-off to start anew.
    pub stable_after: Duration,
    /// The pauses between attempts.
    pub backoff: BackoffOptions,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            allow_private: false,
            max_leases: 32,
            queue_frames: 16_384,
            queue_bytes: 16 << 20,
            connect_timeout: Duration::from_secs(5),
            ping_every: Duration::from_secs(30),
            dead_after: Duration::from_secs(75),
            stall_after: Duration::from_secs(20),
            stable_after: Duration::from_secs(10),
            backoff: BackoffOptions::default(),
        }
    }
}

impl RelayOptions {
    /// How often a connection looks at its deadlines.
    fn tick(&self) -> Duration {
        let shortest = self.ping_every.min(self.dead_after).min(self.stall_after);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// The relay pool over WebSocket.
pub struct NostrRelays {
    shared: Arc<Shared>,
    handle: Handle,
}

/// What all links see.
struct Shared {
    options: RelayOptions,
    env: Env,
    sink: Arc<dyn RelaySink>,
    subscriptions: RwLock<Arc<[Subscription]>>,
    links: RwLock<HashMap<RelayAddress, Arc<Link>>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl NostrRelays {
    /// An empty pool whose tasks run on this runtime. They end when it is shut down or dropped.
    #[must_use]
    pub fn start(
        handle: Handle,
        env: Env,
        sink: Arc<dyn RelaySink>,
        options: RelayOptions,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            options,
            env,
            sink,
            subscriptions: RwLock::new(Arc::from([])),
            links: RwLock::default(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        Arc::new(Self { shared, handle })
    }

    fn open(&self, relay: RelayAddress, lease: Option<Instant>) -> Arc<Link> {
        let cancel = self.shared.cancel.child_token();
        let link = Arc::new(Link::new(relay, lease, cancel, &self.shared.options));
        let task = link.clone().run(self.shared.clone());
        self.shared.tasks.spawn_on(task, &self.handle);
        link
    }
}

impl RelayPool for NostrRelays {
    fn set_subscriptions(&self, subscriptions: Vec<(String, String)>) {
        let new = subscriptions.iter().map(|(id, filter)| Subscription::new(id, filter)).collect();
        *self.shared.subscriptions.write().unwrap_or_else(PoisonError::into_inner) = new;
        for link in self.shared.links().values() {
            link.outbox.subscriptions_changed();
        }
    }

    fn publish(&self, publication: Publication) -> usize {
        let Publication { event_id, frame, to, track } = &publication;
        let track = track.then_some(*event_id);
        let links = self.shared.links();
        let hand_over = |link: &Arc<Link>| link.outbox.publish(frame, track);
        match to {
            Targets::All => links.values().filter(|link| hand_over(link)).count(),
            Targets::Only(relays) => distinct(relays)
                .filter_map(|relay| links.get(relay))
                .filter(|link| hand_over(link))
                .count(),
            Targets::OwnAnd(relays) => links
                .values()
                .filter(|link| link.lease().is_none() || relays.contains(&link.relay))
                .filter(|link| hand_over(link))
                .count(),
        }
    }

    fn query(&self, id: &str, filter: &str) -> Vec<RelayAddress> {
        let request = standing::request(id, filter);
        let links = self.shared.links();
        let asked = links.values().filter(|link| link.outbox.query(id, &request));
        asked.map(|link| link.relay.clone()).collect()
    }

    fn close_query(&self, id: &str) {
        let close = standing::close(id);
        for link in self.shared.links().values() {
            link.outbox.close_query(id, &close);
        }
    }

    fn add(&self, relay: RelayAddress) {
        let mut links = self.shared.links_mut();
        if self.shared.cancel.is_cancelled() {
            return;
        }
        match links.entry(relay) {
            Entry::Vacant(vacant) => {
                let link = self.open(vacant.key().clone(), None);
                vacant.insert(link);
            }
            Entry::Occupied(mut occupied) => {
                // What a stranger named becomes ours: connected anew, under the rules for ours.
                if occupied.get().lease().is_some() {
                    occupied.get().cancel.cancel();
                    let link = self.open(occupied.key().clone(), None);
                    occupied.insert(link);
                }
            }
        }
    }

    fn remove(&self, relay: &RelayAddress) -> bool {
        let mut links = self.shared.links_mut();
        if links.get(relay).is_none_or(|link| link.lease().is_some()) {
            return false;
        }
        if let Some(link) = links.remove(relay) {
            link.cancel.cancel();
        }
        true
    }

    fn lease(&self, relay: RelayAddress, duration: Duration) -> Result<(), LeaseRefused> {
        let now = Instant::now();
        let until = now + duration.min(MAX_LEASE);
        let mut links = self.shared.links_mut();
        if self.shared.cancel.is_cancelled() {
            return Err(LeaseRefused::ShutDown);
        }
        if let Some(link) = links.get(&relay) {
            link.extend_lease(until);
            return Ok(());
        }
        if !self.shared.options.allow_private {
            AddressPolicy::PublicOnly.allows(&relay)?;
        }
        let leases = links.values().filter_map(|link| Some((link.lease()?, link.relay.clone())));
        let mut leases: Vec<_> = leases.collect();
        if leases.len() >= self.shared.options.max_leases {
            leases.sort_unstable();
            let Some((end, oldest)) = leases.into_iter().next() else {
                return Err(LeaseRefused::TooMany);
            };
            if end > now {
                return Err(LeaseRefused::TooMany);
            }
            if let Some(link) = links.remove(&oldest) {
                link.cancel.cancel();
            }
        }
        let link = self.open(relay.clone(), Some(until));
        links.insert(relay, link);
        Ok(())
    }

    fn status(&self) -> Vec<RelayStatus> {
        let mut all: Vec<_> = self.shared.links().values().map(|link| link.status()).collect();
        all.sort_unstable_by(|a, b| a.relay.cmp(&b.relay));
        all
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        self.shared.cancel.cancel();
        // Under the lock: whoever has it now adds a task that is waited for, later ones add none.
        self.shared.links_mut().clear();
        self.shared.tasks.close();
        let tasks = self.shared.tasks.clone();
        async move { tasks.wait().await }.boxed()
    }
}

/// The longest lease: nobody is served by more, and times stay in range.
const MAX_LEASE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Drop for NostrRelays {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}

impl Shared {
    fn subscriptions(&self) -> Arc<[Subscription]> {
        self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn links(&self) -> RwLockReadGuard<'_, HashMap<RelayAddress, Arc<Link>>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn links_mut(&self) -> RwLockWriteGuard<'_, HashMap<RelayAddress, Arc<Link>>> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a link whose lease is over. False when it was extended in the meantime.
    fn forget_expired(&self, link: &Arc<Link>) -> bool {
        let mut links = self.links_mut();
        if !link.lease_is_over(Instant::now()) {
            return false;
        }
        if links.get(&link.relay).is_some_and(|known| Arc::ptr_eq(known, link)) {
            links.remove(&link.relay);
        }
        true
    }
}

/// Each relay once, however often it was named.
fn distinct(relays: &[RelayAddress]) -> impl Iterator<Item = &RelayAddress> {
    relays.iter().enumerate().filter(|(at, relay)| !relays[..*at].contains(relay)).map(|(_, r)| r)
}
