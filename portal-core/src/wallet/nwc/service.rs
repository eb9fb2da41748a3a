//! The wallet's side of NIP-47: offers any [`LightningWallet`] to linked clients.
//!
//! `--dev` uses it to link a person's wallet to the simulated ledger, and tests use it as the peer
//! of [`NwcWallet`](super::NwcWallet). Each connection may only receive, or also spend up to a
//! budget. What was spent is counted in memory: after a restart the count begins again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use nostr::{Event, EventId, Keys, PublicKey, SecretKey, Tag, TagKind};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cipher::{self, Cipher, Sealer};
use super::message::{self, Code, Notification, NotificationType, Refusal, Request, Response};
use super::seen::Recent;
use super::uri::{NwcUri, NwcUriError};
use super::{books, link, serve};
use crate::env::Env;
use crate::primitives::{Millisats, Secret};
use crate::relay::{Publication, RelayAddress, RelayPool, RelaySink, Targets};
use crate::wallet::{Direction, HoldInvoices, LightningWallet, PaymentHash, WalletEvent};

/// Requests that are worked on at once.
const MAX_AT_ONCE: usize = 64;
/// Requests whose answers are kept for clients that ask again.
const REMEMBERED: usize = 1024;
/// How long the end waits for requests that are worked on.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a linked client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everything but pay.
    ReceiveOnly,
    /// Also pay, up to this much in all; `None` is no bound.
    Spend {
        /// Without fees.
        budget: Option<Millisats>,
    },
}

/// A client that may use the wallet.
#[derive(Clone, Debug)]
pub struct NwcConnection {
    secret: Secret<[u8; 32]>,
    client: PublicKey,
    permission: Permission,
}

impl NwcConnection {
    /// A connection with a new secret.
    #[must_use]
    pub fn generate(env: &Env, permission: Permission) -> Self {
        loop {
            if let Ok(connection) = Self::with_secret(Secret::new(env.bytes()), permission) {
                return connection;
            }
        }
    }

    /// A connection whose secret is known, so that its link stays the same after a restart.
    ///
    /// # Errors
    /// [`NwcUriError::WrongSecret`] when it is not a secret key.
    pub fn with_secret(
        secret: Secret<[u8; 32]>,
        permission: Permission,
    ) -> Result<Self, NwcUriError> {
        let key = SecretKey::from_slice(secret.expose()).map_err(|_| NwcUriError::WrongSecret)?;
        Ok(Self { secret, client: Keys::new(key).public_key(), permission })
    }

    /// The client's key.
    #[must_use]
    pub const fn client(&self) -> PublicKey {
        self.client
    }
}

/// How an [`NwcService`] presents itself.
#[derive(Clone, Debug)]
pub struct NwcServiceOptions {
    /// The secret key of the service.
    pub key: Secret<[u8; 32]>,
    /// What the links name; the connector connects to the same.
    pub relays: Vec<RelayAddress>,
    /// What it understands, best first.
    pub ciphers: Vec<Cipher>,
}

/// Offers a wallet over NIP-47.
pub struct NwcService {
    core: Arc<Core>,
}

pub(super) struct Core {
    env: Env,
    handle: Handle,
    pub(super) wallet: Arc<dyn LightningWallet>,
    keys: Keys,
    options: NwcServiceOptions,
    clients: HashMap<PublicKey, Client>,
    /// The event that tells what this wallet can do.
    about: Publication,
    pool: OnceLock<Arc<dyn RelayPool>>,
    /// Answers by request; `None` while it is worked on.
    answered: Mutex<Recent<EventId, Option<Publication>>>,
    capacity: Arc<Semaphore>,
    tasks: TaskTracker,
    end: CancellationToken,
}

pub(super) struct Client {
    sealer: Sealer,
    pub(super) permission: Permission,
    pub(super) spent: Mutex<Spent>,
}

/// What a client has spent, or may yet have.
#[derive(Default)]
pub(super) struct Spent {
    pub(super) total: u64,
    pub(super) payments: HashMap<PaymentHash, u64>,
}

impl NwcService {
    /// Starts to serve. `connector` is given the receiver of what relays say and returns
    /// connections to the relays of the options. Its tasks run on the handle and end with
    /// [`NwcService::shutdown`], which leaves the wallet itself open.
    ///
    /// # Errors
    /// [`NwcUriError::WrongWalletKey`] when the key of the options is not a secret key.
    pub fn start(
        wallet: Arc<dyn LightningWallet>,
        connections: &[NwcConnection],
        options: NwcServiceOptions,
        connector: impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool>,
        env: Env,
        handle: &Handle,
    ) -> Result<Self, NwcUriError> {
        let key =
            SecretKey::from_slice(options.key.expose()).map_err(|_| NwcUriError::WrongWalletKey)?;
        let keys = Keys::new(key);
        let mut clients = HashMap::new();
        for connection in connections {
            let sealer = Sealer::new(keys.clone(), connection.client)
                .map_err(|_| NwcUriError::WrongSecret)?;
            let permission = connection.permission;
            let client = Client { sealer, permission, spent: Mutex::default() };
            clients.insert(connection.client, client);
        }
        let spends = connections.iter().any(|client| client.permission != Permission::ReceiveOnly);
        let core = Arc::new(Core {
            about: publication(&about(&env, &keys, &options, &*wallet, spends)),
            env,
            handle: handle.clone(),
            wallet,
            keys,
            options,
            clients,
            pool: OnceLock::new(),
            answered: Mutex::new(Recent::new(REMEMBERED)),
            capacity: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        });
        // Listen first, so that nothing that follows is missed.
        let events = core.wallet.events();
        let filter = serde_json::json!({
            "kinds": [message::KIND_REQUEST],
            "#p": [core.keys.public_key().to_hex()],
        });
        let held = core.wallet.hold_invoices().map(HoldInvoices::held);
        let pool = connector(Arc::new(Sink(Arc::downgrade(&core))));
        core.pool
            .get_or_init(|| pool)
            .set_subscriptions(vec![("nwc-service".to_owned(), filter.to_string())]);
        core.publish(core.about.clone());
        let teller = core.clone();
        core.spawn(async move {
            let mut events = events;
            while let Some(event) = events.next().await {
                if let WalletEvent::Settled(payment) = event {
                    teller.notify(
                        match payment.direction {
                            Direction::Incoming => NotificationType::PaymentReceived,
                            Direction::Outgoing => NotificationType::PaymentSent,
                        },
                        books::write(&payment),
                    );
                }
            }
        });
        if let Some(mut held) = held {
            let teller = core.clone();
            core.spawn(async move {
                while let Some(payment) = held.next().await {
                    let words = message::Transaction {
                        state: Some(message::State::Accepted),
                        ..books::write(&payment)
                    };
                    teller.notify(NotificationType::HoldInvoiceAccepted, words);
                }
            });
        }
        Ok(Self { core })
    }

    /// The link to give to a client.
    #[must_use]
    pub fn uri_for(&self, connection: &NwcConnection) -> NwcUri {
        NwcUri {
            wallet: self.core.keys.public_key(),
            secret: connection.secret.clone(),
            relays: self.core.options.relays.clone(),
            lud16: None,
        }
    }

    /// Ends the connections and the tasks; waits for both, but not long. Idempotent.
    pub async fn shutdown(&self) {
        self.core.end.cancel();
        self.core.tasks.close();
        if tokio::time::timeout(PATIENCE, self.core.tasks.wait()).await.is_err() {
            tracing::warn!("a request to the offered wallet does not end");
        }
        if let Some(pool) = self.core.pool.get() {
            pool.shutdown().await;
        }
    }
}

impl Drop for NwcService {
    fn drop(&mut self) {
        self.core.end.cancel();
    }
}

impl Core {
    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        let task = async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = work => {}
            }
        };
        self.tasks.spawn_on(task, &self.handle);
    }

    fn publish(&self, publication: Publication) {
        if let Some(pool) = self.pool.get()
            && pool.publish(publication) == 0
        {
            tracing::debug!("no relay takes an event of the offered wallet");
        }
    }

    fn receive(self: &Arc<Self>, frame: &str) {
        let Ok((_, _, event)) = serde_json::from_str::<(Value, Value, Event)>(frame) else {
            return;
        };
        let ours = self.keys.public_key();
        let now = self.env.now().as_secs();
        if event.kind.as_u16() != message::KIND_REQUEST
            || !self.clients.contains_key(&event.pubkey)
            || !event.tags.public_keys().any(|key| *key == ours)
            || event.tags.expiration().is_some_and(|end| end.as_secs() < now)
            || self.end.is_cancelled()
        {
            return;
        }
        if let Some(known) = self.answered().get(&event.id).cloned() {
            // Asked again, by another relay or after an outage: the same answer, nothing done.
            if let Some(answer) = known {
                self.publish(answer);
            }
            return;
        }
        if event.verify().is_err() || !self.answered().insert(event.id, None) {
            return;
        }
        let core = self.clone();
        let permit = self.capacity.clone().try_acquire_owned();
        self.spawn(async move {
            let answer = core.answer(&event, permit.is_ok()).await;
            if let Some(answer) = answer {
                core.answered().insert(event.id, Some(answer.clone()));
                core.publish(answer);
            }
            drop(permit);
        });
    }

    async fn answer(&self, event: &Event, free: bool) -> Option<Publication> {
        let client = self.clients.get(&event.pubkey)?;
        let (cipher, text) = client.sealer.open(&event.content).ok()?;
        let (method, outcome) = match Request::parse(&text) {
            Err(_) => {
                (String::new(), Err(refusal(Code::Unspecified, "the request cannot be read")))
            }
            Ok(request) => {
                let method = request.method().to_owned();
                let outcome = if !self.options.ciphers.contains(&cipher) {
                    Err(refusal(Code::UnsupportedEncryption, "use another encryption"))
                } else if free {
                    serve::serve(self, client, request).await
                } else {
                    Err(refusal(Code::RateLimited, "too many requests at once"))
                };
                (method, outcome)
            }
        };
        let json = Response { result_type: method, outcome }.to_json();
        let content = client.sealer.seal(cipher, &json, &self.env).ok()?;
        let tags = vec![Tag::public_key(event.pubkey), Tag::event(event.id)];
        let response = cipher::sign(&self.env, &self.keys, message::KIND_RESPONSE, tags, content);
        Some(publication(&response))
    }

    /// Tells every client, in each cipher, as a wallet must that knows both.
    fn notify(&self, notification_type: NotificationType, transaction: message::Transaction) {
        let notification = Notification { notification_type, notification: transaction };
        let json = serde_json::to_string(&notification).expect("plain structs have a JSON form");
        for (key, client) in &self.clients {
            for cipher in &self.options.ciphers {
                let kind = match cipher {
                    Cipher::Nip44 => message::KIND_NOTIFICATION_NIP44,
                    Cipher::Nip04 => message::KIND_NOTIFICATION_NIP04,
                };
                let Ok(content) = client.sealer.seal(*cipher, &json, &self.env) else { continue };
                let tags = vec![Tag::public_key(*key)];
                self.publish(publication(&cipher::sign(
                    &self.env, &self.keys, kind, tags, content,
                )));
            }
        }
    }

    fn answered(&self) -> MutexGuard<'_, Recent<EventId, Option<Publication>>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn refusal(code: Code, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

fn about(
    env: &Env,
    keys: &Keys,
    options: &NwcServiceOptions,
    wallet: &dyn LightningWallet,
    spends: bool,
) -> Event {
    let ciphers: Vec<&str> = options.ciphers.iter().map(|cipher| cipher.as_str()).collect();
    let tags = vec![
        Tag::custom(TagKind::custom("encryption"), [ciphers.join(" ")]),
        Tag::custom(TagKind::custom("notifications"), [serve::notifications(wallet).join(" ")]),
    ];
    let content = format!("{} notifications", serve::methods(wallet, spends).join(" "));
    cipher::sign(env, keys, message::KIND_INFO, tags, content)
}

fn publication(event: &Event) -> Publication {
    Publication {
        event_id: event.id,
        frame: cipher::frame(event).into(),
        to: Targets::All,
        track: false,
    }
}

/// The pool holds the sink and the core holds the pool, so the sink must not hold the core.
struct Sink(Weak<Core>);

impl RelaySink for Sink {
    fn event(&self, _relay: &RelayAddress, frame: &str) {
        if let Some(core) = self.0.upgrade() {
            core.receive(frame);
        }
    }

    fn connected(&self, relay: &RelayAddress, _first: bool) {
        if let Some(core) = self.0.upgrade() {
            let to = Targets::Only(Arc::new([relay.clone()]));
            core.publish(Publication { to, ..core.about.clone() });
        }
    }

    fn disconnected(&self, _relay: &RelayAddress) {}

    fn accepted(&self, _relay: &RelayAddress, _id: EventId, _accepted: bool, _message: &str) {}

    fn query_ended(&self, _relay: &RelayAddress, _id: &str) {}

    fn authenticate(&self, relay: &RelayAddress, challenge: &str) -> Option<(EventId, String)> {
        let core = self.0.upgrade()?;
        Some(link::authentication(&core.env, &core.keys, relay, challenge))
    }
}
