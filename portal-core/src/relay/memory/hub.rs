//! A relay in the same process: real filters, real signatures, no sockets, faults to order.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::nostr::filter::MatchEventOptions;
use ::nostr::{Event, EventId, Filter, JsonUtil, Kind};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::env::Env;
use crate::relay::RelayAddress;

/// How many events that are not ephemeral a hub keeps.
const MAX_STORED: usize = 100_000;

/// The hubs that pools in memory can reach.
#[derive(Clone)]
pub struct MemoryNetwork {
    env: Env,
    hubs: Arc<Mutex<HashMap<RelayAddress, Arc<MemoryHub>>>>,
}

/// A relay in the same process.
pub struct MemoryHub {
    relay: RelayAddress,
    env: Env,
    state: Mutex<State>,
}

/// What a hub does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many of a hundred deliveries of an event are lost.
    pub drop_percent: u8,
    /// How many of a hundred deliveries of an event come twice.
    pub duplicate_percent: u8,
    /// Events that are on the way at the same time arrive in any order.
    pub reorder: bool,
}

/// What a hub sends to a pool.
pub(super) enum Delivery {
    Up {
        relay: RelayAddress,
        session: u64,
    },
    Down {
        relay: RelayAddress,
    },
    Text {
        relay: RelayAddress,
        session: u64,
        text: Arc<str>,
        reorder: bool,
    },
    /// From the pool itself: it has let go of a relay, with these queries unanswered.
    Left {
        relay: RelayAddress,
        known: bool,
        queries: Vec<String>,
    },
}

struct State {
    up: bool,
    faults: Faults,
    refusal: Option<String>,
    requires_authentication: bool,
    next: u64,
    /// By the number that the pool got on attaching; a `BTreeMap` so that runs repeat exactly.
    peers: BTreeMap<u64, Peer>,
    stored: Vec<Event>,
    accepted: u64,
}

struct Peer {
    inbox: mpsc::UnboundedSender<Delivery>,
    session: u64,
    authenticated: bool,
    subscriptions: BTreeMap<String, Vec<Filter>>,
}

impl MemoryNetwork {
    /// A network without relays; the randomness of the faults comes from `env`.
    #[must_use]
    pub fn new(env: Env) -> Self {
        Self { env, hubs: Arc::default() }
    }

    /// The relay at this address, running.
    pub fn open(&self, relay: &RelayAddress) -> Arc<MemoryHub> {
        let hub = self.hub(relay);
        hub.come_back();
        hub
    }

    /// The relay at this address, as it is; one that was never opened is down.
    pub(super) fn hub(&self, relay: &RelayAddress) -> Arc<MemoryHub> {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(MemoryHub::new(relay.clone(), self.env.clone()));
        hubs.entry(relay.clone()).or_insert_with(make).clone()
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }
}

impl MemoryHub {
    fn new(relay: RelayAddress, env: Env) -> Self {
        let state = State {
            up: false,
            faults: Faults::default(),
            refusal: None,
            requires_authentication: false,
            next: 1,
            peers: BTreeMap::new(),
            stored: Vec::new(),
            accepted: 0,
        };
        Self { relay, env, state: Mutex::new(state) }
    }

    /// Where it is.
    #[must_use]
    pub fn relay(&self) -> &RelayAddress {
        &self.relay
    }

    /// Ends every connection and takes no new one.
    pub fn go_down(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.up, false) {
            for peer in state.peers.values_mut() {
                peer.subscriptions.clear();
                peer.send(Delivery::Down { relay: self.relay.clone() });
            }
        }
    }

    /// Takes connections again: every pool that wants one has it at once.
    pub fn come_back(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.up, true) {
            let State { peers, next, requires_authentication, .. } = &mut *state;
            for peer in peers.values_mut() {
                peer.begin(&self.relay, next, *requires_authentication);
            }
        }
    }

    /// What it does wrong from here on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Refuses events from here on with this message; `None` accepts them again.
    pub fn set_refusal(&self, message: Option<&str>) {
        self.state().refusal = message.map(ToOwned::to_owned);
    }

    /// Whether connections from here on must authenticate (NIP-42).
    pub fn set_requires_authentication(&self, required: bool) {
        self.state().requires_authentication = required;
    }

    /// Sends any text to everybody who is connected, as a relay that lies could.
    pub fn inject(&self, text: &str) {
        let state = self.state();
        if state.up {
            for peer in state.peers.values() {
                peer.text(&self.relay, Arc::from(text), false);
            }
        }
    }

    /// How many subscriptions are open, of all connections.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.state().peers.values().map(|peer| peer.subscriptions.len()).sum()
    }

    /// How many events it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state().accepted
    }

    pub(super) fn attach(&self, inbox: mpsc::UnboundedSender<Delivery>) -> u64 {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let mut peer =
            Peer { inbox, session: 0, authenticated: false, subscriptions: BTreeMap::new() };
        if state.up {
            let required = state.requires_authentication;
            peer.begin(&self.relay, &mut state.next, required);
        }
        state.peers.insert(number, peer);
        number
    }

    pub(super) fn detach(&self, number: u64) {
        self.state().peers.remove(&number);
    }

    /// A frame from a pool.
    pub(super) fn receive(&self, number: u64, text: &str) {
        let mut state = self.state();
        if !state.up {
            return;
        }
        let Ok(parts) = serde_json::from_str::<Vec<Value>>(text) else { return };
        match (parts.first().and_then(Value::as_str), parts.get(1..).unwrap_or(&[])) {
            (Some("EVENT"), [event]) => self.on_event(&mut state, number, event),
            (Some("REQ"), [Value::String(id), filters @ ..]) => {
                self.on_req(&mut state, number, id, filters);
            }
            (Some("CLOSE"), [Value::String(id)]) => {
                if let Some(peer) = state.peers.get_mut(&number) {
                    peer.subscriptions.remove(id);
                }
            }
            (Some("AUTH"), [event]) => self.on_auth(&mut state, number, event),
            _ => {}
        }
    }

    fn on_event(&self, state: &mut State, number: u64, event: &Value) {
        let Some(peer) = state.peers.get(&number) else { return };
        let Ok(event) = Event::from_json(event.to_string()) else { return };
        let refusal = if state.requires_authentication && !peer.authenticated {
            Some("auth-required: who are you")
        } else if event.verify().is_err() {
            Some("invalid: id or signature")
        } else {
            state.refusal.as_deref()
        };
        peer.ok(&self.relay, event.id, refusal);
        if refusal.is_some() {
            return;
        }
        state.accepted += 1;
        for peer in state.peers.values() {
            for (id, filters) in &peer.subscriptions {
                if filters.iter().any(|filter| matches(filter, &event)) {
                    self.deliver(state.faults, peer, id, &event);
                }
            }
        }
        if !event.kind.is_ephemeral() {
            store(&mut state.stored, event);
        }
    }

    fn on_req(&self, state: &mut State, number: u64, id: &str, filters: &[Value]) {
        let Some(peer) = state.peers.get_mut(&number) else { return };
        if state.requires_authentication && !peer.authenticated {
            let closed = serde_json::json!(["CLOSED", id, "auth-required: who are you"]);
            peer.text(&self.relay, Arc::from(closed.to_string()), false);
            return;
        }
        let parsed: Result<Vec<Filter>, _> =
            filters.iter().map(|filter| Filter::from_json(filter.to_string())).collect();
        let Ok(parsed) = parsed else {
            let closed = serde_json::json!(["CLOSED", id, "invalid: filter"]);
            peer.text(&self.relay, Arc::from(closed.to_string()), false);
            return;
        };
        for filter in &parsed {
            let found = state.stored.iter().rev().filter(|event| matches(filter, event));
            for event in found.take(filter.limit.unwrap_or(usize::MAX)) {
                self.deliver(state.faults, peer, id, event);
            }
        }
        peer.text(&self.relay, Arc::from(serde_json::json!(["EOSE", id]).to_string()), false);
        peer.subscriptions.insert(id.to_owned(), parsed);
    }

    fn on_auth(&self, state: &mut State, number: u64, event: &Value) {
        let Some(peer) = state.peers.get_mut(&number) else { return };
        let Ok(event) = Event::from_json(event.to_string()) else { return };
        let challenge = peer.challenge();
        let names_challenge = event.tags.iter().any(|tag| {
            let tag = tag.as_slice();
            tag.len() >= 2 && tag[0] == "challenge" && tag[1] == challenge
        });
        let right = event.kind == Kind::Authentication && names_challenge && event.verify().is_ok();
        peer.authenticated |= right;
        peer.ok(&self.relay, event.id, (!right).then_some("invalid: authentication"));
    }

    fn deliver(&self, faults: Faults, peer: &Peer, id: &str, event: &Event) {
        let chance = |percent: u8| percent > 0 && self.env.bytes::<1>()[0] % 100 < percent;
        if chance(faults.drop_percent) {
            return;
        }
        let id = Value::from(id);
        let text: Arc<str> = Arc::from(format!("[\"EVENT\",{id},{}]", event.as_json()));
        if chance(faults.duplicate_percent) {
            peer.text(&self.relay, text.clone(), faults.reorder);
        }
        peer.text(&self.relay, text, faults.reorder);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn begin(&mut self, relay: &RelayAddress, next: &mut u64, challenge: bool) {
        self.session = *next;
        *next += 1;
        self.authenticated = false;
        self.send(Delivery::Up { relay: relay.clone(), session: self.session });
        if challenge {
            let text = serde_json::json!(["AUTH", self.challenge()]).to_string();
            self.text(relay, Arc::from(text), false);
        }
    }

    fn challenge(&self) -> String {
        format!("challenge-{}", self.session)
    }

    fn ok(&self, relay: &RelayAddress, id: EventId, refusal: Option<&str>) {
        let answer = serde_json::json!(["OK", id, refusal.is_none(), refusal.unwrap_or("")]);
        self.text(relay, Arc::from(answer.to_string()), false);
    }

    fn text(&self, relay: &RelayAddress, text: Arc<str>, reorder: bool) {
        let relay = relay.clone();
        self.send(Delivery::Text { relay, session: self.session, text, reorder });
    }

    fn send(&self, delivery: Delivery) {
        if self.inbox.send(delivery).is_err() {
            tracing::debug!("a pool ended without leaving its hub");
        }
    }
}

fn matches(filter: &Filter, event: &Event) -> bool {
    filter.match_event(event, MatchEventOptions::new())
}

/// Keeps an event, in place of the older one that it replaces, if any.
fn store(stored: &mut Vec<Event>, event: Event) {
    if stored.iter().any(|known| known.id == event.id) {
        return;
    }
    let replaces = |known: &Event| {
        known.kind == event.kind
            && known.pubkey == event.pubkey
            && (event.kind.is_replaceable()
                || (event.kind.is_addressable()
                    && known.tags.identifier() == event.tags.identifier()))
    };
    if let Some(at) = stored.iter().position(replaces) {
        if stored[at].created_at > event.created_at {
            return;
        }
        stored.remove(at);
    }
    let at = stored.partition_point(|known| known.created_at <= event.created_at);
    stored.insert(at, event);
    if stored.len() > MAX_STORED {
        stored.remove(0);
    }
}
