//! A small fast relay of our own that tells what happens in it: `REQ`, `CLOSE`, `EVENT`, `AUTH`;
//! real filters, the cost of an event independent of the number of subscriptions.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::{Event, EventId, Filter, JsonUtil, Kind};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::RelayError;
use super::index::{Index, matches};
use super::listener::Listener;

/// How long a client may take for the WebSocket handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many frames may wait for one client before it is cut off.
const QUEUE: usize = 65_536;
/// How many events that are not ephemeral are kept.
const MAX_STORED: usize = 10_000;

/// How an [`EphemeralRelay`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EphemeralOptions {
    /// Check id and signature of every event, as relays do; off to measure something else.
    pub verify: bool,
    /// Want NIP-42 authentication for reading and writing.
    pub require_auth: bool,
}

impl Default for EphemeralOptions {
    fn default() -> Self {
        Self { verify: true, require_auth: false }
    }
}

/// A relay on loopback.
pub struct EphemeralRelay {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    verify: bool,
    require_auth: AtomicBool,
    received: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    clients: BTreeMap<u64, Client>,
    index: Index,
    stored: Vec<(Event, Arc<str>)>,
    most_subscriptions: usize,
    refusal: Option<String>,
}

struct Client {
    outgoing: mpsc::Sender<Utf8Bytes>,
    authenticated: bool,
    cut: Arc<Notify>,
}

impl EphemeralRelay {
    /// Starts a relay that verifies and lets everybody in.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> Result<Self, RelayError> {
        Self::start_with(EphemeralOptions::default()).await
    }

    /// Starts a relay.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start_with(options: EphemeralOptions) -> Result<Self, RelayError> {
        let shared = Arc::new(Shared {
            verify: options.verify,
            require_auth: AtomicBool::new(options.require_auth),
            received: AtomicU64::new(0),
            state: Mutex::default(),
        });
        let handler = shared.clone();
        let listener =
            Listener::start(move |stream, peer| serve(handler.clone(), stream, peer)).await?;
        Ok(Self { listener, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.listener.address())
    }

    /// The port it listens on, for a [`FaultProxy`](super::FaultProxy).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Ends all connections and refuses new ones.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn restart(&self) -> Result<(), RelayError> {
        Ok(self.listener.restart().await?)
    }

    /// Ends all connections; new ones are taken.
    pub fn disconnect_all(&self) {
        for client in self.shared.state().clients.values() {
            client.cut.notify_one();
        }
    }

    /// Whether connections from here on must authenticate (NIP-42).
    pub fn set_require_auth(&self, required: bool) {
        self.shared.require_auth.store(required, Ordering::SeqCst);
    }

    /// Refuses events from here on with this message; `None` accepts them again.
    pub fn set_refusal(&self, message: Option<&str>) {
        self.shared.state().refusal = message.map(ToOwned::to_owned);
    }

    /// Closes every open subscription, with this message.
    pub fn close_subscriptions(&self, message: &str) {
        let mut state = self.shared.state();
        let State { clients, index, .. } = &mut *state;
        for (number, client) in clients.iter() {
            for id in index.close_all(*number) {
                client.send(json!(["CLOSED", id, message]).to_string());
            }
        }
    }

    /// Sends any text to every client.
    pub fn send_raw(&self, text: &str) {
        for client in self.shared.state().clients.values() {
            client.send(text.to_owned());
        }
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().clients.len()
    }

    /// How many subscriptions each client has open; clients without any are left out.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<usize> {
        self.shared.state().index.counts()
    }

    /// The largest number of subscriptions that one client has had open at the same time.
    #[must_use]
    pub fn most_subscriptions(&self) -> usize {
        self.shared.state().most_subscriptions
    }

    /// How many events clients have sent, the refused ones included.
    #[must_use]
    pub fn events_received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }
}

impl Client {
    /// A client that does not read what it asked for is cut off.
    fn send(&self, text: impl Into<Utf8Bytes>) {
        if self.outgoing.try_send(text.into()).is_err() {
            self.cut.notify_one();
        }
    }
}

/// Removes the client when its connection ends, in whatever way.
struct Presence {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.clients.remove(&self.number);
        state.index.close_all(self.number);
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, _peer: SocketAddr) {
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(16 * 1024);
    let accepting = tokio_tungstenite::accept_async_with_config(stream, Some(config));
    let Ok(Ok(socket)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await else { return };
    let (mut writer, mut reader) = socket.split();
    let (outgoing, mut queue) = mpsc::channel::<Utf8Bytes>(QUEUE);
    let cut = Arc::new(Notify::new());
    let number = {
        let mut state = shared.state();
        state.next += 1;
        let number = state.next;
        let client = Client { outgoing, authenticated: false, cut: cut.clone() };
        if shared.require_auth.load(Ordering::SeqCst) {
            client.send(json!(["AUTH", challenge(number)]).to_string());
        }
        state.clients.insert(number, client);
        number
    };
    let presence = Presence { shared, number };
    let reading = async {
        while let Some(Ok(message)) = reader.next().await {
            if let Message::Text(text) = message {
                presence.shared.on_text(number, text.as_str());
            }
        }
    };
    let writing = async {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, 256).await > 0 {
            for text in batch.drain(..) {
                if writer.feed(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            if writer.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
        () = cut.notified() => {}
    }
}

fn challenge(number: u64) -> String {
    format!("challenge-{number}")
}

impl Shared {
    fn on_text(&self, number: u64, text: &str) {
        let event = text.strip_prefix("[\"EVENT\",").and_then(|rest| rest.strip_suffix(']'));
        if let Some(raw) = event {
            return self.on_event(number, raw);
        }
        let mut state = self.state();
        let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            return state.notice(number, "could not read that");
        };
        let word = |at: usize| {
            parts.get(at).and_then(|part| serde_json::from_str::<String>(part.get()).ok())
        };
        match (word(0).as_deref(), word(1)) {
            (Some("EVENT"), None) if parts.len() == 2 => {
                drop(state);
                self.on_event(number, parts[1].get());
            }
            (Some("REQ"), Some(id)) => {
                let auth = self.require_auth.load(Ordering::SeqCst);
                let filters = parts[2..].iter().map(|part| Filter::from_json(part.get())).collect();
                state.on_req(number, &id, auth, filters);
            }
            (Some("CLOSE"), Some(id)) => {
                state.index.close(number, &id);
            }
            (Some("AUTH"), None) if parts.len() == 2 => state.on_auth(number, parts[1].get()),
            _ => state.notice(number, "could not read that"),
        }
    }

    fn on_event(&self, number: u64, raw: &str) {
        self.received.fetch_add(1, Ordering::SeqCst);
        let Ok(event) = Event::from_json(raw) else {
            return self.state().notice(number, "could not read that event");
        };
        // Outside the lock: it is what takes time.
        let forged = self.verify && event.verify().is_err();
        let mut state = self.state();
        let State { clients, index, stored, refusal, .. } = &mut *state;
        let Some(client) = clients.get(&number) else { return };
        let refused = if self.require_auth.load(Ordering::SeqCst) && !client.authenticated {
            Some("auth-required: who are you")
        } else if forged {
            Some("invalid: id or signature")
        } else {
            refusal.as_deref()
        };
        if let Some(reason) = refused {
            return client.send(answer(&event.id, false, reason));
        }
        client.send(answer(&event.id, true, ""));
        for (number, id) in index.matching(&event) {
            if let Some(client) = clients.get(number) {
                client.send(delivery(id, raw));
            }
        }
        if !event.kind.is_ephemeral() {
            store(stored, event, raw);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn on_req(
        &mut self,
        number: u64,
        id: &str,
        auth: bool,
        filters: Result<Vec<Filter>, serde_json::Error>,
    ) {
        let Some(client) = self.clients.get(&number) else { return };
        if auth && !client.authenticated {
            let refused = json!(["CLOSED", id, "auth-required: who are you"]);
            return client.send(refused.to_string());
        }
        let Ok(filters) = filters else {
            return client.send(json!(["CLOSED", id, "invalid: filter"]).to_string());
        };
        let mut sent: HashMap<EventId, ()> = HashMap::new();
        for filter in &filters {
            let found = self.stored.iter().rev().filter(|(event, _)| matches(filter, event));
            for (event, raw) in found.take(filter.limit.unwrap_or(usize::MAX)) {
                if sent.insert(event.id, ()).is_none() {
                    client.send(delivery(id, raw));
                }
            }
        }
        client.send(json!(["EOSE", id]).to_string());
        self.index.open(number, id, filters);
        let most = self.index.counts().into_iter().max().unwrap_or(0);
        self.most_subscriptions = self.most_subscriptions.max(most);
    }

    fn on_auth(&mut self, number: u64, raw: &str) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let Ok(event) = Event::from_json(raw) else { return };
        let names = |tag: &nostr::Tag| tag.as_slice() == ["challenge", &challenge(number)];
        let right = event.kind == Kind::Authentication
            && event.tags.iter().any(names)
            && event.verify().is_ok();
        client.authenticated |= right;
        let reason = if right { "" } else { "restricted: not like this" };
        client.send(answer(&event.id, right, reason));
    }

    fn notice(&self, number: u64, text: &str) {
        if let Some(client) = self.clients.get(&number) {
            client.send(json!(["NOTICE", text]).to_string());
        }
    }
}

fn answer(id: &EventId, accepted: bool, reason: &str) -> String {
    let reason = Value::from(reason);
    format!("[\"OK\",\"{id}\",{accepted},{reason}]")
}

fn delivery(id: &str, raw: &str) -> String {
    let id = Value::from(id);
    format!("[\"EVENT\",{id},{raw}]")
}

/// Keeps an event, in place of the one that it replaces.
fn store(stored: &mut Vec<(Event, Arc<str>)>, event: Event, raw: &str) {
    if stored.iter().any(|(known, _)| known.id == event.id) {
        return;
    }
    let replaceable = event.kind.is_replaceable() || event.kind.is_addressable();
    if replaceable {
        stored.retain(|(known, _)| {
            (known.kind, known.pubkey) != (event.kind, event.pubkey)
                || (event.kind.is_addressable()
                    && known.tags.identifier() != event.tags.identifier())
        });
    }
    if stored.len() >= MAX_STORED {
        stored.remove(0);
    }
    stored.push((event, Arc::from(raw)));
}
