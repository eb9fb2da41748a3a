//! Relays in the same process, for tests that repeat exactly: [`MemoryHub`] is a relay,
//! [`MemoryRelays`] the pool that connects to some.
//!
//! One task reads what the hubs send and calls the sink, so publishing never calls back into the
//! caller. Time is the clock of the [`Env`]: leases end when the pool is next used.

mod hub;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::nostr::EventId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::hub::Delivery;
pub use self::hub::{Faults, MemoryHub, MemoryNetwork};
use super::nostr::auth::Authentication;
use super::nostr::frame::Incoming;
use super::nostr::standing::{close, request};
use super::{
    LeaseRefused, Publication, RelayAddress, RelayCounters, RelayPool, RelaySink, RelayState,
    RelayStatus, Targets,
};
use crate::env::Env;
use crate::primitives::Timestamp;

/// How many relays that strangers name are held at once.
const MAX_LEASES: usize = 32;

/// A relay pool that reaches the hubs of a [`MemoryNetwork`].
pub struct MemoryRelays {
    shared: Arc<Shared>,
}

struct Shared {
    network: MemoryNetwork,
    sink: Arc<dyn RelaySink>,
    inbox: mpsc::UnboundedSender<Delivery>,
    state: Mutex<State>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    subscriptions: Vec<(String, String)>,
    links: BTreeMap<RelayAddress, Link>,
}

struct Link {
    hub: Arc<MemoryHub>,
    number: u64,
    /// The connection that the sink knows of.
    session: Option<u64>,
    since: Option<Timestamp>,
    was_connected: bool,
    /// The end of the lease in milliseconds; `None` for a relay of our own.
    lease: Option<u64>,
    tracked: HashSet<EventId>,
    /// True once answered.
    queries: BTreeMap<String, bool>,
    authentication: Authentication,
    counters: RelayCounters,
}

impl MemoryRelays {
    /// An empty pool; its reader runs on this runtime until the pool is shut down or dropped.
    #[must_use]
    pub fn start(handle: &Handle, network: &MemoryNetwork, sink: Arc<dyn RelaySink>) -> Arc<Self> {
        let (inbox, deliveries) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            network: network.clone(),
            sink,
            inbox,
            state: Mutex::default(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn_on(read(shared.clone(), deliveries), handle);
        Arc::new(Self { shared })
    }
}

/// Calls the sink with what the hubs send.
async fn read(shared: Arc<Shared>, mut deliveries: mpsc::UnboundedReceiver<Delivery>) {
    let mut batch = Vec::new();
    loop {
        let count = tokio::select! {
            biased;
            () = shared.cancel.cancelled() => return shared.leave_all(),
            count = deliveries.recv_many(&mut batch, 256) => count,
        };
        if count == 0 {
            return;
        }
        shuffle(shared.network.env(), &mut batch);
        for delivery in batch.drain(..) {
            shared.on_delivery(delivery);
        }
    }
}

/// Swaps deliveries that may come in any order, leaving all others in their places.
fn shuffle(env: &Env, batch: &mut [Delivery]) {
    let free = |delivery: &Delivery| matches!(delivery, Delivery::Text { reorder: true, .. });
    let places: Vec<usize> = (0..batch.len()).filter(|at| free(&batch[*at])).collect();
    for (count, place) in places.iter().enumerate().skip(1) {
        let other = usize::from(u16::from_le_bytes(env.bytes())) % (count + 1);
        batch.swap(*place, places[other]);
    }
}

impl Shared {
    fn on_delivery(&self, delivery: Delivery) {
        match delivery {
            Delivery::Up { relay, session } => self.on_up(&relay, session),
            Delivery::Down { relay } => self.on_down(&relay),
            Delivery::Text { relay, session, text, .. } => self.on_text(&relay, session, &text),
            Delivery::Left { relay, known, queries } => self.report_gone(&relay, known, queries),
        }
    }

    /// Subscribes, then reports; again after an authentication.
    fn on_up(&self, relay: &RelayAddress, session: u64) {
        let mut state = self.state();
        let State { subscriptions, links } = &mut *state;
        let Some(link) = links.get_mut(relay) else { return };
        if link.session.replace(session) != Some(session) {
            link.authentication = Authentication::default();
        }
        link.since = Some(self.network.env().now());
        let first = !std::mem::replace(&mut link.was_connected, true);
        for (id, filter) in subscriptions {
            link.hub.receive(link.number, &request(id, filter));
        }
        drop(state);
        self.sink.connected(relay, first);
    }

    fn on_down(&self, relay: &RelayAddress) {
        let mut state = self.state();
        let Some(link) = state.links.get_mut(relay) else { return };
        let known = link.session.take().is_some();
        link.since = None;
        link.tracked.clear();
        let queries = std::mem::take(&mut link.queries);
        drop(state);
        self.report_gone(relay, known, unanswered(queries));
    }

    fn report_gone(&self, relay: &RelayAddress, known: bool, queries: Vec<String>) {
        for id in queries {
            self.sink.query_ended(relay, &id);
        }
        if known {
            self.sink.disconnected(relay);
        }
    }

    fn on_text(&self, relay: &RelayAddress, session: u64, text: &str) {
        let mut state = self.state();
        let Some(link) = state.links.get_mut(relay) else { return };
        if link.session != Some(session) {
            return;
        }
        link.counters.received += 1;
        match Incoming::read(text) {
            Incoming::Event(frame) => {
                drop(state);
                self.sink.event(relay, &frame);
            }
            Incoming::Ok { id, accepted, message } => {
                match link.authentication.answered(&id, accepted) {
                    Some(true) => {
                        drop(state);
                        self.on_up(relay, session);
                    }
                    Some(false) => {}
                    None => {
                        let awaited = link.tracked.remove(&id);
                        drop(state);
                        if awaited {
                            self.sink.accepted(relay, id, accepted, &message);
                        }
                    }
                }
            }
            Incoming::Eose(id) | Incoming::Closed { id, .. } => {
                let query = link.queries.get_mut(&id);
                let ended = query.is_some_and(|answered| !std::mem::replace(answered, true));
                drop(state);
                if ended {
                    self.sink.query_ended(relay, &id);
                }
            }
            Incoming::Auth(challenge) => {
                link.authentication.challenged(challenge.clone());
                let allowed = link.authentication.to_answer().is_some();
                drop(state);
                if allowed && let Some((id, frame)) = self.sink.authenticate(relay, &challenge) {
                    self.send_authentication(relay, id, &frame);
                }
            }
            Incoming::Notice(_) => {}
            Incoming::Oversized => link.counters.oversized += 1,
            Incoming::Garbage => link.counters.garbage += 1,
        }
    }

    fn send_authentication(&self, relay: &RelayAddress, id: EventId, frame: &str) {
        if let Some(link) = self.state().links.get_mut(relay) {
            link.authentication.sent(id);
            link.hub.receive(link.number, frame);
        }
    }

    /// The end of the pool: the reader itself reports.
    fn leave_all(&self) {
        let links = std::mem::take(&mut self.state().links);
        for (relay, link) in links {
            link.hub.detach(link.number);
            self.report_gone(&relay, link.session.is_some(), unanswered(link.queries));
        }
    }

    /// Lets go of a relay. The reader reports it, so that the sink is not called from here.
    fn leave(&self, relay: &RelayAddress, link: Link) {
        link.hub.detach(link.number);
        let left = Delivery::Left {
            relay: relay.clone(),
            known: link.session.is_some(),
            queries: unanswered(link.queries),
        };
        if self.inbox.send(left).is_err() {
            tracing::debug!("the reader has ended");
        }
    }

    /// Takes away the leases that are over.
    fn sweep(&self, state: &mut State) {
        let now = self.network.env().now_millis();
        let over = |link: &Link| link.lease.is_some_and(|end| end <= now);
        let relays: Vec<_> =
            state.links.iter().filter(|(_, link)| over(link)).map(|(r, _)| r.clone()).collect();
        for relay in relays {
            if let Some(link) = state.links.remove(&relay) {
                self.leave(&relay, link);
            }
        }
    }

    fn join(&self, state: &mut State, relay: RelayAddress, lease: Option<u64>) {
        let hub = self.network.hub(&relay);
        let number = hub.attach(self.inbox.clone());
        let link = Link {
            hub,
            number,
            session: None,
            since: None,
            was_connected: false,
            lease,
            tracked: HashSet::new(),
            queries: BTreeMap::new(),
            authentication: Authentication::default(),
            counters: RelayCounters::default(),
        };
        state.links.insert(relay, link);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queries that no answer has come to.
fn unanswered(queries: BTreeMap<String, bool>) -> Vec<String> {
    queries.into_iter().filter(|(_, answered)| !answered).map(|(id, _)| id).collect()
}

impl RelayPool for MemoryRelays {
    fn set_subscriptions(&self, subscriptions: Vec<(String, String)>) {
        let mut state = self.shared.state();
        let old = std::mem::replace(&mut state.subscriptions, subscriptions);
        let State { subscriptions, links } = &*state;
        for link in links.values().filter(|link| link.session.is_some()) {
            for (id, _) in &old {
                if !subscriptions.iter().any(|(known, _)| known == id) {
                    link.hub.receive(link.number, &close(id));
                }
            }
            for new in subscriptions {
                if !old.contains(new) {
                    link.hub.receive(link.number, &request(&new.0, &new.1));
                }
            }
        }
    }

    fn publish(&self, publication: Publication) -> usize {
        let mut state = self.shared.state();
        self.shared.sweep(&mut state);
        let wanted = |relay: &RelayAddress, link: &Link| match &publication.to {
            Targets::All => true,
            Targets::OwnAnd(relays) => link.lease.is_none() || relays.contains(relay),
            Targets::Only(relays) => relays.contains(relay),
        };
        let mut count = 0;
        for (relay, link) in &mut state.links {
            if link.session.is_some() && wanted(relay, link) {
                if publication.track {
                    link.tracked.insert(publication.event_id);
                }
                link.counters.sent += 1;
                link.hub.receive(link.number, &publication.frame);
                count += 1;
            }
        }
        count
    }

    fn query(&self, id: &str, filter: &str) -> Vec<RelayAddress> {
        let mut asked = Vec::new();
        for (relay, link) in &mut self.shared.state().links {
            if link.session.is_some() {
                link.queries.insert(id.to_owned(), false);
                link.hub.receive(link.number, &request(id, filter));
                asked.push(relay.clone());
            }
        }
        asked
    }

    fn close_query(&self, id: &str) {
        for link in self.shared.state().links.values_mut() {
            if link.queries.remove(id).is_some() {
                link.hub.receive(link.number, &close(id));
            }
        }
    }

    fn add(&self, relay: RelayAddress) {
        let mut state = self.shared.state();
        if self.shared.cancel.is_cancelled() {
            return;
        }
        match state.links.get_mut(&relay) {
            Some(link) => link.lease = None,
            None => self.shared.join(&mut state, relay, None),
        }
    }

    fn remove(&self, relay: &RelayAddress) -> bool {
        let mut state = self.shared.state();
        if state.links.get(relay).is_none_or(|link| link.lease.is_some()) {
            return false;
        }
        if let Some(link) = state.links.remove(relay) {
            self.shared.leave(relay, link);
        }
        true
    }

    fn lease(&self, relay: RelayAddress, duration: Duration) -> Result<(), LeaseRefused> {
        let mut state = self.shared.state();
        if self.shared.cancel.is_cancelled() {
            return Err(LeaseRefused::ShutDown);
        }
        self.shared.sweep(&mut state);
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let until = self.shared.network.env().now_millis().saturating_add(millis);
        if let Some(link) = state.links.get_mut(&relay) {
            if let Some(lease) = &mut link.lease {
                *lease = (*lease).max(until);
            }
            return Ok(());
        }
        if state.links.values().filter(|link| link.lease.is_some()).count() >= MAX_LEASES {
            return Err(LeaseRefused::TooMany);
        }
        self.shared.join(&mut state, relay, Some(until));
        Ok(())
    }

    fn status(&self) -> Vec<RelayStatus> {
        let mut state = self.shared.state();
        self.shared.sweep(&mut state);
        let of = |(relay, link): (&RelayAddress, &Link)| RelayStatus {
            relay: relay.clone(),
            state: match link.session {
                Some(_) => RelayState::Connected,
                None => RelayState::Waiting { retry: Duration::ZERO },
            },
            leased: link.lease.is_some(),
            connected_since: link.since,
            attempts: 0,
            latency: None,
            queued: 0,
            counters: link.counters,
        };
        state.links.iter().map(of).collect()
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        self.shared.cancel.cancel();
        self.shared.tasks.close();
        let tasks = self.shared.tasks.clone();
        async move { tasks.wait().await }.boxed()
    }
}

impl Drop for MemoryRelays {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}
