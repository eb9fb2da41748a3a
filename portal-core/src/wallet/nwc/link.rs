//! The line to a wallet: requests out, answers matched, notifications heard.
//!
//! It has no task of its own: readers of the relay pool bring in what arrives, callers wait with a
//! deadline. A request is one signed event. Relays that connect while it is open get the *same*
//! event again, a payment only as long as no relay has confirmed it; other requests are also
//! repeated while nobody answers. None is ever signed anew, and its `expiration` tag keeps a wallet
//! that comes late from starting it.

mod hear;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use nostr::{Event, EventId, Keys, PublicKey, Tag, TagKind};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::NwcOptions;
use super::about::About;
use super::cipher::{self, Cipher, Sealer};
use super::message::{self, NotificationType, Request, Response};
use super::pin::Pin;
use super::pulse::{self, Pulse};
use super::seen::Recent;
use crate::env::Env;
use crate::primitives::Timestamp;
use crate::relay::{Publication, RelayAddress, RelayPool, RelaySink, Targets};
use crate::wallet::events::{EventSource, Source};
use crate::wallet::{PaymentHash, WalletError, WalletEvent, WalletPayment, WalletState};

/// Notifications that are remembered, so that they are told once.
const REMEMBERED: usize = 4096;
/// How often a request other than a payment is repeated while nobody answers.
const REPEAT: Duration = Duration::from_secs(2);
/// Payments that were given up and whose answer may still come.
const GIVEN_UP: usize = 256;
/// How far the wallet's clock may be ahead of ours: it must not take a request for one that has
/// ended. What it starts that late is watched by `payments`, as everything that was not answered.
const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// NIP-42.
const KIND_AUTHENTICATION: u16 = 22_242;

/// The line.
pub(super) struct Link {
    env: Env,
    keys: Keys,
    wallet: PublicKey,
    sealer: Sealer,
    options: NwcOptions,
    pool: OnceLock<Arc<dyn RelayPool>>,
    state: Mutex<State>,
    informed: watch::Sender<bool>,
    pin: Option<Pin>,
    pub(super) events: EventSource,
    pub(super) held: Source<WalletPayment>,
    closed: CancellationToken,
}

struct State {
    waiting: HashMap<EventId, Waiting>,
    connected: HashSet<RelayAddress>,
    negotiated: Option<Cipher>,
    about: Option<About>,
    told: Recent<(NotificationType, PaymentHash), ()>,
    /// Whether the late answer was told of.
    given_up: Recent<EventId, bool>,
    pulse: Pulse,
    /// Counts how often the first of our relays came (back).
    connections: u64,
}

/// A request that is not answered yet.
struct Waiting {
    answer: oneshot::Sender<Result<Response, WalletError>>,
    publication: Publication,
    payment: bool,
    handed: bool,
    confirmed: bool,
}

impl Link {
    pub(super) fn new(
        env: Env,
        keys: Keys,
        wallet: PublicKey,
        options: NwcOptions,
        pin: Option<Pin>,
    ) -> Result<Arc<Self>, cipher::SealError> {
        let state = State {
            waiting: HashMap::new(),
            connected: HashSet::new(),
            negotiated: options.cipher,
            about: None,
            told: Recent::new(REMEMBERED),
            given_up: Recent::new(GIVEN_UP),
            pulse: Pulse::default(),
            connections: 0,
        };
        Ok(Arc::new(Self {
            sealer: Sealer::new(keys.clone(), wallet)?,
            env,
            keys,
            wallet,
            options,
            pool: OnceLock::new(),
            state: Mutex::new(state),
            informed: watch::channel(false).0,
            pin,
            events: EventSource::new(),
            held: Source::new(),
            closed: CancellationToken::new(),
        }))
    }

    pub(super) fn sink(self: &Arc<Self>) -> Arc<dyn RelaySink> {
        Arc::new(Sink(Arc::downgrade(self)))
    }

    /// Takes the connections and asks for everything that concerns this client.
    pub(super) fn attach(&self, pool: Arc<dyn RelayPool>) {
        let wallet = self.wallet.to_hex();
        let ours = serde_json::json!({
            "kinds": [
                message::KIND_RESPONSE,
                message::KIND_NOTIFICATION_NIP04,
                message::KIND_NOTIFICATION_NIP44,
                message::KIND_INFO,
            ],
            "authors": [wallet],
            "#p": [self.keys.public_key().to_hex()],
        });
        // Most wallets publish one for all their clients, without a `p` tag.
        let about = serde_json::json!({ "kinds": [message::KIND_INFO], "authors": [wallet] });
        let pool = self.pool.get_or_init(|| pool);
        pool.set_subscriptions(vec![
            ("nwc".to_owned(), ours.to_string()),
            ("nwc-info".to_owned(), about.to_string()),
        ]);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.now()
    }

    pub(super) fn negotiated(&self) -> Option<Cipher> {
        self.state().negotiated
    }

    pub(super) fn about(&self) -> Option<About> {
        self.state().about.clone()
    }

    /// How often a first relay was connected: what was read from the wallet before may be stale.
    pub(super) fn connections(&self) -> u64 {
        self.state().connections
    }

    /// How the connection is.
    pub(super) fn wallet_state(&self) -> WalletState {
        let state = self.state();
        if self.closed.is_cancelled() {
            WalletState::ShutDown
        } else if state.connected.is_empty() {
            WalletState::Unreachable
        } else {
            state.pulse.state()
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Response, WalletError> {
        if self.closed.is_cancelled() {
            return Err(WalletError::ShutDown);
        }
        let deadline = Instant::now() + timeout.min(Duration::from_secs(3600));
        let cipher = self.cipher(timeout).await;
        let payment = matches!(request, Request::PayInvoice(_));
        let event = self.request_event(request, cipher, timeout)?;
        let (sender, receiver) = oneshot::channel();
        let publication = Publication {
            event_id: event.id,
            frame: cipher::frame(&event).into(),
            to: Targets::All,
            track: payment,
        };
        let waiting = Waiting {
            answer: sender,
            publication: publication.clone(),
            payment,
            handed: false,
            confirmed: false,
        };
        self.state().waiting.insert(event.id, waiting);
        let made = (Instant::now(), self.env.now());
        let guard = WaitGuard { link: self, id: event.id, made };
        self.publish(publication.clone());
        let answered = tokio::select! {
            biased;
            answer = receiver => answer.ok(),
            () = self.closed.cancelled() => None,
            () = tokio::time::sleep_until(deadline) => None,
            // Relays keep no requests: a wallet that subscribed a moment later has missed it.
            () = self.repeat(&publication), if !payment => None,
        };
        let outcome = answered.unwrap_or_else(|| {
            let handed = publication_handed(&self.state(), event.id);
            Err(match (self.closed.is_cancelled(), handed) {
                // A payment that may have left must not end like a call that was never made.
                (true, _) if payment => WalletError::Unreachable,
                (true, _) => WalletError::ShutDown,
                (false, true) => WalletError::Timeout,
                (false, false) => WalletError::Unreachable,
            })
        });
        drop(guard);
        match outcome {
            // An answer to something else proves nothing about what was asked.
            Ok(Response { result_type, outcome: Ok(_) })
                if !result_type.is_empty() && result_type != request.method() =>
            {
                Err(WalletError::BadAnswer { what: "it answers another request".to_owned() })
            }
            outcome => outcome,
        }
    }

    /// Hands out the same event again and again; never ends.
    async fn repeat(&self, publication: &Publication) {
        loop {
            tokio::time::sleep(REPEAT).await;
            self.publish(publication.clone());
        }
    }

    /// Fails everything that waits and ends the connections.
    pub(super) async fn shutdown(&self) {
        self.closed.cancel();
        self.events.close();
        self.held.close();
        if let Some(pool) = self.pool.get() {
            pool.shutdown().await;
        }
    }

    /// The cipher for the next request: what was negotiated, or what the wallet says about itself,
    /// or, when it says nothing in time, the better one. Silence never leads to the worse one.
    async fn cipher(&self, timeout: Duration) -> Cipher {
        if let Some(cipher) = self.negotiated() {
            return cipher;
        }
        let mut informed = self.informed.subscribe();
        let patience = self.options.info_wait.min(timeout / 2);
        let waited = tokio::time::timeout(patience, informed.wait_for(|informed| *informed)).await;
        if waited.is_err() {
            tracing::debug!("the wallet has not said which ciphers it knows; trying the newer");
        }
        self.negotiated().unwrap_or(Cipher::Nip44)
    }

    fn request_event(
        &self,
        request: &Request,
        cipher: Cipher,
        timeout: Duration,
    ) -> Result<Event, WalletError> {
        let content = self
            .sealer
            .seal(cipher, &request.to_json(), &self.env)
            .map_err(|_| WalletError::BadRequest { what: "it is too long".to_owned() })?;
        let end = self.env.now().saturating_add(timeout).saturating_add(CLOCK_SKEW);
        // Not `Tag::public_key`: one call of it brings `nostr`'s list of all tags there are into
        // the program, 65 kB.
        let mut tags = vec![
            Tag::custom(TagKind::p(), [self.wallet.to_hex()]),
            Tag::custom(TagKind::Expiration, [end.as_secs().to_string()]),
        ];
        if cipher == Cipher::Nip44 {
            tags.push(Tag::custom(TagKind::custom("encryption"), [cipher.as_str()]));
        }
        Ok(cipher::sign(&self.env, &self.keys, message::KIND_REQUEST, tags, content))
    }

    fn publish(&self, publication: Publication) {
        let Some(pool) = self.pool.get() else { return };
        let id = publication.event_id;
        if pool.publish(publication) > 0
            && let Some(waiting) = self.state().waiting.get_mut(&id)
        {
            waiting.handed = true;
        }
    }

    fn negotiate(&self, state: &mut State, cipher: Cipher) {
        match (state.negotiated, cipher) {
            (Some(Cipher::Nip44), Cipher::Nip04) => {
                tracing::warn!("the wallet now claims to know only nip-04; staying with nip-44");
            }
            (Some(known), same) if known == same => {}
            _ => {
                state.negotiated = Some(cipher);
                if let Some(pin) = &self.pin {
                    pin.save(cipher);
                }
            }
        }
    }

    fn connected(&self, relay: &RelayAddress, first: bool) {
        let (again, alone) = {
            let mut state = self.state();
            let alone = state.connected.is_empty();
            state.connected.insert(relay.clone());
            if alone {
                state.connections = state.connections.wrapping_add(1);
            }
            let again: Vec<Publication> = state
                .waiting
                .values()
                .filter(|waiting| !waiting.payment || !waiting.confirmed)
                .map(|waiting| waiting.publication.clone())
                .collect();
            (again, alone)
        };
        for publication in again {
            let to = Targets::Only(Arc::new([relay.clone()]));
            self.publish(Publication { to, ..publication });
        }
        if alone || !first {
            self.events.send(WalletEvent::Reconnected);
        }
    }

    fn disconnected(&self, relay: &RelayAddress) {
        let last = {
            let mut state = self.state();
            state.connected.remove(relay) && state.connected.is_empty()
        };
        if last {
            self.events.send(WalletEvent::Disconnected);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn publication_handed(state: &State, id: EventId) -> bool {
    state.waiting.get(&id).is_some_and(|waiting| waiting.handed)
}

/// Signs the event that a relay asks for (NIP-42).
pub(super) fn authentication(
    env: &Env,
    keys: &Keys,
    relay: &RelayAddress,
    challenge: &str,
) -> (EventId, String) {
    let tags = vec![
        Tag::custom(TagKind::custom("relay"), [relay.as_str()]),
        Tag::custom(TagKind::custom("challenge"), [challenge]),
    ];
    let event = cipher::sign(env, keys, KIND_AUTHENTICATION, tags, String::new());
    let frame = cipher::frame(&event).replacen("EVENT", "AUTH", 1);
    (event.id, frame)
}

/// Forgets a request when its caller stops waiting, for whatever reason.
struct WaitGuard<'a> {
    link: &'a Link,
    id: EventId,
    made: (Instant, Timestamp),
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.link.state();
        let Some(waiting) = state.waiting.remove(&self.id).filter(|waiting| waiting.handed) else {
            return;
        };
        if waiting.payment {
            state.given_up.insert(self.id, false);
        }
        let (started, at) = self.made;
        if started.elapsed() >= pulse::WAITED
            && !state.connected.is_empty()
            && state.pulse.unanswered(at)
        {
            tracing::warn!(
                "the wallet does not answer: it is off, or the connection was deleted there; \
                 then link it again"
            );
        }
    }
}

/// The pool holds the sink and the link holds the pool, so the sink must not hold the link.
struct Sink(Weak<Link>);

impl RelaySink for Sink {
    fn event(&self, _relay: &RelayAddress, frame: &str) {
        if let Some(link) = self.0.upgrade() {
            link.event(frame);
        }
    }

    fn connected(&self, relay: &RelayAddress, first: bool) {
        if let Some(link) = self.0.upgrade() {
            link.connected(relay, first);
        }
    }

    fn disconnected(&self, relay: &RelayAddress) {
        if let Some(link) = self.0.upgrade() {
            link.disconnected(relay);
        }
    }

    fn accepted(&self, _relay: &RelayAddress, event_id: EventId, accepted: bool, _message: &str) {
        if let Some(link) = self.0.upgrade()
            && accepted
            && let Some(waiting) = link.state().waiting.get_mut(&event_id)
        {
            waiting.confirmed = true;
        }
    }

    fn query_ended(&self, _relay: &RelayAddress, _id: &str) {}

    fn authenticate(&self, relay: &RelayAddress, challenge: &str) -> Option<(EventId, String)> {
        let link = self.0.upgrade()?;
        Some(authentication(&link.env, &link.keys, relay, challenge))
    }
}
