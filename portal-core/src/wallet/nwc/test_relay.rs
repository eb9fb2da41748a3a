//! Relays in memory for the tests of this module: everything is handed on at once, in the caller.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nostr::filter::MatchEventOptions;
use nostr::{Event, Filter, JsonUtil};
use serde_json::Value;

use super::message::KIND_INFO;
use crate::relay::{
    LeaseRefused, Publication, RelayAddress, RelayPool, RelaySink, RelayStatus, Targets,
};

/// Some relays and everyone who is connected to them.
#[derive(Clone, Default)]
pub(super) struct Hub(Arc<Mutex<HubState>>);

#[derive(Default)]
struct HubState {
    down: HashSet<RelayAddress>,
    stored: HashMap<RelayAddress, Vec<Event>>,
    pools: Vec<Weak<TestPool>>,
    log: Vec<(RelayAddress, Event)>,
    lost: HashMap<u16, u32>,
}

pub(super) fn relay(name: &str) -> RelayAddress {
    RelayAddress::parse(&format!("wss://{name}.example")).expect("legal")
}

impl Hub {
    /// For `connect` and `start`.
    pub(super) fn connector(
        &self,
        relays: &[RelayAddress],
    ) -> impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> + use<> {
        let (hub, relays) = (self.clone(), relays.to_vec());
        move |sink| {
            let pool = Arc::new_cyclic(|me| TestPool {
                me: me.clone(),
                hub: hub.clone(),
                sink,
                relays,
                state: Mutex::default(),
            });
            hub.lock().pools.push(Arc::downgrade(&pool));
            pool
        }
    }

    pub(super) fn down(&self, relay: &RelayAddress) {
        self.lock().down.insert(relay.clone());
        for pool in self.pools() {
            if pool.lock().connected.remove(relay) {
                pool.sink.disconnected(relay);
            }
        }
    }

    pub(super) fn up(&self, relay: &RelayAddress) {
        self.lock().down.remove(relay);
        for pool in self.pools() {
            pool.connect(relay);
        }
    }

    /// Loses the next events of this kind.
    pub(super) fn lose(&self, kind: u16, times: u32) {
        self.lock().lost.insert(kind, times);
    }

    /// Forgets what was stored, as a relay that starts anew.
    pub(super) fn forget(&self) {
        self.lock().stored.clear();
    }

    /// Everything that was published, once for each relay.
    pub(super) fn published(&self, kind: u16) -> Vec<(RelayAddress, Event)> {
        let of_kind = |entry: &&(RelayAddress, Event)| entry.1.kind.as_u16() == kind;
        self.lock().log.iter().filter(of_kind).cloned().collect()
    }

    /// Hands a frame to everyone, whatever they subscribed to.
    pub(super) fn inject(&self, relay: &RelayAddress, frame: &str) {
        for pool in self.pools() {
            pool.sink.event(relay, frame);
        }
    }

    fn deliver(&self, relay: &RelayAddress, event: &Event) {
        {
            let mut state = self.lock();
            state.log.push((relay.clone(), event.clone()));
            if let Some(lost) = state.lost.get_mut(&event.kind.as_u16()).filter(|lost| **lost > 0) {
                *lost -= 1;
                return;
            }
            if event.kind.as_u16() == KIND_INFO {
                let stored = state.stored.entry(relay.clone()).or_default();
                stored.retain(|old| old.pubkey != event.pubkey);
                stored.push(event.clone());
            }
        }
        for pool in self.pools() {
            if pool.lock().connected.contains(relay) {
                pool.hand(relay, event);
            }
        }
    }

    fn pools(&self) -> Vec<Arc<TestPool>> {
        self.lock().pools.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

struct TestPool {
    me: Weak<TestPool>,
    hub: Hub,
    sink: Arc<dyn RelaySink>,
    relays: Vec<RelayAddress>,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    subscriptions: Vec<(String, Filter)>,
    connected: HashSet<RelayAddress>,
    known: HashSet<RelayAddress>,
    closed: bool,
}

impl TestPool {
    fn connect(&self, relay: &RelayAddress) {
        let first = {
            let mut state = self.lock();
            if state.closed || !self.relays.contains(relay) || state.subscriptions.is_empty() {
                return;
            }
            state.connected.insert(relay.clone());
            state.known.insert(relay.clone())
        };
        let stored = self.hub.lock().stored.get(relay).cloned().unwrap_or_default();
        for event in stored {
            self.hand(relay, &event);
        }
        self.sink.connected(relay, first);
    }

    fn hand(&self, relay: &RelayAddress, event: &Event) {
        let matching: Vec<String> = self
            .lock()
            .subscriptions
            .iter()
            .filter(|(_, filter)| filter.match_event(event, MatchEventOptions::new()))
            .map(|(id, _)| id.clone())
            .collect();
        for id in matching {
            self.sink.event(relay, &format!("[\"EVENT\",\"{id}\",{}]", event.as_json()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl RelayPool for TestPool {
    fn set_subscriptions(&self, subscriptions: Vec<(String, String)>) {
        self.lock().subscriptions = subscriptions
            .into_iter()
            .map(|(id, filter)| (id, Filter::from_json(filter).expect("a filter")))
            .collect();
        for relay in &self.relays {
            if !self.hub.lock().down.contains(relay) {
                self.connect(relay);
            }
        }
    }

    fn publish(&self, publication: Publication) -> usize {
        let (_, event): (Value, Event) =
            serde_json::from_str(&publication.frame).expect("an EVENT frame");
        assert_eq!(event.id, publication.event_id);
        let connected = self.lock().connected.clone();
        let targets: Vec<RelayAddress> = match &publication.to {
            Targets::All | Targets::OwnAnd(_) => connected.into_iter().collect(),
            Targets::Only(only) => {
                only.iter().filter(|relay| connected.contains(*relay)).cloned().collect()
            }
        };
        for relay in &targets {
            self.hub.deliver(relay, &event);
            if publication.track {
                self.sink.accepted(relay, event.id, true, "");
            }
        }
        targets.len()
    }

    fn query(&self, _id: &str, _filter: &str) -> Vec<RelayAddress> {
        Vec::new()
    }

    fn close_query(&self, _id: &str) {}

    fn add(&self, _relay: RelayAddress) {}

    fn remove(&self, _relay: &RelayAddress) -> bool {
        false
    }

    fn lease(&self, _relay: RelayAddress, _duration: Duration) -> Result<(), LeaseRefused> {
        Ok(())
    }

    fn status(&self) -> Vec<RelayStatus> {
        Vec::new()
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        if let Some(me) = self.me.upgrade() {
            let mut state = me.lock();
            state.closed = true;
            state.connected.clear();
        }
        async {}.boxed()
    }
}
