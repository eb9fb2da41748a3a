//! One key on the network: what [`Service`](crate::service::Service) and
//! [`Client`](crate::client::Client) stand on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nostr::PublicKey;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::claims::{ClaimGuard, Claims};
use super::counters::Counters;
use super::effects::{Effects, Turns, Work};
use super::hub::{EventSink, Hub};
use super::inbox::{Acceptance, FRESHNESS, Inbox};
use super::keys::ConversationKeys;
use super::machine_loop::{Job, MachineLoop, OpenJob};
use super::payouts;
use super::queries::{ProfileAnswer, Queries};
use super::recent::Recent;
use super::seen::Seen;
use super::sent::Sent;
use super::tasks::Tasks;
use super::watch;
use crate::conversation::answer::{Answer, Reply};
use crate::conversation::handshake::Handshake;
use crate::conversation::{Conversation, Engine, Limits, Peer, Role};
use crate::env::Env;
use crate::identity::LocalKey;
use crate::payments::{PayPolicy, Payer};
use crate::primitives::StreamId;
use crate::protocol::envelope::{Header, MAX_PLAINTEXT_BYTES, sign};
use crate::protocol::kinds;
use crate::rates::RateDesk;
use crate::relay::nostr::{NostrRelays, RelayOptions};
use crate::relay::{AddressPolicy, Publication, RelayAddress, RelayPool, RelaySink, Targets};
use crate::storage::{IdempotencyRecord, PeerRecord, StorageError, Store, Write};
use crate::wallet::LightningWallet;

/// How long relays may take to accept a public event.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(10);
/// How long tasks may take to stop. Short, so that the store is closed within the few seconds that
/// a process has after it was told to end.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long connections may take to end after that.
const POOL_PATIENCE: Duration = Duration::from_secs(1);
/// Conversations whose messages to a relay that came back wait to be sealed.
const OWED: usize = 256;
/// Peers whose relays and subkeys are remembered without asking the store.
const PEERS: usize = 8192;

/// Makes the relay pool, given the ear it reports to.
pub type Connector = Box<dyn FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> + Send>;

/// Connects to relays over WebSocket.
#[must_use]
pub fn websocket(handle: Handle, env: Env, allow_private: bool) -> Connector {
    Box::new(move |sink| {
        let options = RelayOptions { allow_private, ..RelayOptions::default() };
        let pool: Arc<dyn RelayPool> = NostrRelays::start(handle, env, sink, options);
        pool
    })
}

/// Hears of requests to the person, once they are durable.
pub trait InboxListener: Send + Sync {
    /// A request is new or changed (`Some`), or is over (`None`). Quick, never blocks.
    fn changed(&self, stream: StreamId, request: Option<Answer>);
}

/// What a node is made of.
pub struct NodeOptions {
    /// Clock and randomness.
    pub env: Env,
    /// The key.
    pub key: LocalKey,
    /// Which side it is on.
    pub role: Role,
    /// What strangers can make it hold.
    pub limits: Limits,
    /// Its own relays.
    pub relays: Vec<RelayAddress>,
    /// Makes the pool.
    pub connector: Connector,
    /// Which relays strangers may name.
    pub policy: AddressPolicy,
    /// Durable memory.
    pub store: Arc<dyn Store>,
    /// The authority on money.
    pub wallet: Option<Arc<dyn LightningWallet>>,
    /// Within which bounds it pays.
    pub policy_of_payments: PayPolicy,
    /// What prices fiat amounts.
    pub rates: Option<Arc<RateDesk>>,
    /// Hears of requests, on the client's side.
    pub inbox: Option<Arc<dyn InboxListener>>,
}

/// A conversation to open.
pub struct Opening {
    /// The conversation.
    pub conversation: Conversation,
    /// Its stream, or a new one.
    pub stream: Option<StreamId>,
    /// Saved with it.
    pub idempotency: Option<FirstUse>,
    /// Hears everything from the start.
    pub attach: Option<Arc<dyn EventSink>>,
    /// Saved in the same batch: all of it or nothing. Listeners hear of the events in it.
    pub beside: Vec<Write>,
}

/// The first use of an idempotency key.
pub struct FirstUse {
    /// The key.
    pub key: String,
    /// Holds the key until the conversation is durable, also when whoever opens it goes away.
    pub guard: ClaimGuard,
    /// A hash of the command.
    pub command_hash: [u8; 32],
    /// What the caller is told beside the stream.
    pub answer: Option<String>,
}

impl Opening {
    /// A conversation on a new stream, with nobody listening yet.
    #[must_use]
    pub const fn of(conversation: Conversation) -> Self {
        Self { conversation, stream: None, idempotency: None, attach: None, beside: Vec::new() }
    }
}

/// Why the node did not do as told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeError {
    /// It has stopped.
    #[error("the service is stopping")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The request is over.
    #[error("the request is over")]
    Over,
    /// A bound is reached.
    #[error("the request was answered too often")]
    TooMany,
    /// The message does not fit an event.
    #[error("the message is longer than {MAX_PLAINTEXT_BYTES} bytes")]
    TooLarge,
}

/// One key on the network.
pub struct Node {
    env: Env,
    key: LocalKey,
    keys: Arc<ConversationKeys>,
    pool: Arc<dyn RelayPool>,
    store: Arc<dyn Store>,
    wallet: Option<Arc<dyn LightningWallet>>,
    payer: Option<Arc<Payer>>,
    rates: Option<Arc<RateDesk>>,
    hub: Arc<Hub>,
    claims: Claims,
    counters: Arc<Counters>,
    queries: Arc<Queries>,
    peers: Arc<Mutex<Recent<PublicKey, PeerRecord>>>,
    own_relays: Arc<Mutex<HashSet<RelayAddress>>>,
    waiters: Arc<Mutex<HashMap<nostr::EventId, mpsc::UnboundedSender<Acceptance>>>>,
    policy: AddressPolicy,
    jobs: mpsc::UnboundedSender<Job>,
    tasks: Tasks,
}

impl Node {
    /// Restores what was open, connects and starts working.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(options: NodeOptions, handle: Handle) -> Result<Arc<Self>, NodeError> {
        let NodeOptions {
            env,
            key,
            role,
            limits,
            relays,
            connector,
            policy,
            store,
            wallet,
            policy_of_payments,
            rates,
            inbox,
        } = options;
        let tasks = Tasks::new(handle);
        let (jobs, job_queue) = mpsc::unbounded_channel();
        let (work, work_queue) = mpsc::unbounded_channel();
        let (again, again_queue) = mpsc::channel(OWED);
        let keys = Arc::new(ConversationKeys::new(key.clone()));
        let sent = Arc::new(Sent::new());
        let counters = Arc::new(Counters::default());
        let queries = Arc::new(Queries::default());
        let hub = Arc::new(Hub::default());
        let waiters = Arc::default();
        let peers = Arc::new(Mutex::new(Recent::new(PEERS)));

        let mut engine = Engine::new(role, limits);
        let restored = restore(&mut engine, &*store).await?;

        let ear = Arc::new(Inbox {
            env: env.clone(),
            local: key.clone(),
            role,
            keys: keys.clone(),
            sent: sent.clone(),
            counters: counters.clone(),
            queries: queries.clone(),
            jobs: jobs.clone(),
            seen: Seen::new(),
            waiters: Arc::clone(&waiters),
        });
        let pool = connector(ear);
        pool.set_subscriptions(subscriptions(&env, &key, role));
        let own_relays: Arc<Mutex<HashSet<RelayAddress>>> =
            Arc::new(Mutex::new(relays.iter().cloned().collect()));

        let watch = wallet
            .as_ref()
            .map(|wallet| watch::start(&tasks, wallet.clone(), env.clone(), jobs.clone()));
        let payer = wallet.as_ref().map(|wallet| {
            let (store, wallet) = (store.clone(), wallet.clone());
            Arc::new(Payer::new(env.clone(), store, wallet, policy_of_payments))
        });
        let payouts = payer.as_ref().map(|payer| payouts::start(&tasks, payer, jobs.clone()));
        let effects = Effects {
            env: env.clone(),
            local: key.clone(),
            keys: keys.clone(),
            sent,
            hub: hub.clone(),
            counters: counters.clone(),
            pool: pool.clone(),
            policy,
            watch,
            payouts,
            inbox,
            addresses: Recent::new(4096),
            allowed: Recent::new(4096),
            turns: Turns::default(),
        };
        tasks.spawn_vital(effects.run(work_queue, again_queue, tasks.clone()));
        let machine_loop = MachineLoop {
            env: env.clone(),
            local: key.clone(),
            engine,
            store: store.clone(),
            hub: hub.clone(),
            peers: peers.clone(),
            jobs: jobs.clone(),
            work: work.clone(),
            again,
            proofs: (0, 0),
            proven: Recent::new(1024),
            saved: 0,
            debts: Vec::new(),
            own_relays: own_relays.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn_vital(machine_loop.run(job_queue));
        // Our own first: what people named may be among them.
        for relay in relays {
            pool.add(relay);
        }
        // What restored conversations need around them; the loop has not begun to speak yet.
        drop(work.send(restored));
        Ok(Arc::new(Self {
            env,
            key,
            keys,
            pool,
            store,
            wallet,
            payer,
            rates,
            hub,
            claims: Claims::default(),
            counters,
            queries,
            peers,
            own_relays,
            waiters,
            policy,
            jobs,
            tasks,
        }))
    }

    /// Clock and randomness.
    #[must_use]
    pub const fn env(&self) -> &Env {
        &self.env
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &LocalKey {
        &self.key
    }

    /// Whether a text of 32 bytes is a key that can be written to.
    #[must_use]
    pub fn is_key(&self, key: &PublicKey) -> bool {
        self.keys.is_key(key)
    }

    /// The connections.
    #[must_use]
    pub fn pool(&self) -> &dyn RelayPool {
        &*self.pool
    }

    /// Durable memory.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Durable memory, shared, for tasks that outlive a call.
    #[must_use]
    pub fn shared_store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// The wallet, when there is one.
    #[must_use]
    pub const fn wallet(&self) -> Option<&Arc<dyn LightningWallet>> {
        self.wallet.as_ref()
    }

    /// Whoever pays from the wallet, when there is one.
    #[must_use]
    pub const fn payer(&self) -> Option<&Arc<Payer>> {
        self.payer.as_ref()
    }

    /// What prices fiat amounts, when there is something.
    #[must_use]
    pub fn rates(&self) -> Option<&RateDesk> {
        self.rates.as_deref()
    }

    /// The listeners.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The listeners, to be kept.
    #[must_use]
    pub fn shared_hub(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    /// Idempotency keys in use.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What was ignored.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The node's tasks.
    #[must_use]
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Which addresses strangers may name.
    #[must_use]
    pub const fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// Opens a conversation; it is durable when this returns.
    ///
    /// # Errors
    /// When it cannot be saved, or the node has stopped.
    ///
    /// # Cancel safety
    /// The conversation may be open also when the future is dropped.
    pub async fn open(&self, opening: Opening) -> Result<StreamId, NodeError> {
        let (done, durable) = oneshot::channel();
        let job = self.open_job(opening, Some(done))?;
        let stream = job.stream;
        self.send(Job::Open(Box::new(job)))?;
        durable.await.map_err(|_| NodeError::Stopped)??;
        Ok(stream)
    }

    /// Opens the handshake of a static token, unless it is open: there is one for each token.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub async fn open_static(
        &self,
        handshake: Handshake,
        token: String,
        opening: impl FnOnce(Conversation) -> Opening,
    ) -> Result<(StreamId, Handshake, bool), NodeError> {
        let (found, answer) = oneshot::channel();
        let open = self.open_job(opening(Conversation::Handshake(Box::new(handshake))), None)?;
        let fresh = open.stream;
        self.send(Job::OpenStatic { open: Box::new(open), token, found })?;
        let (stream, handshake) = answer.await.map_err(|_| NodeError::Stopped)??;
        Ok((stream, handshake, stream == fresh))
    }

    /// Takes a static token back; durable when this returns. False when nobody knows it.
    ///
    /// # Errors
    /// When it cannot be saved, or the node has stopped.
    pub async fn revoke(&self, token: String) -> Result<bool, NodeError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Revoke { token, done })?;
        answer.await.map_err(|_| NodeError::Stopped)?
    }

    /// Replies to a request; durable when this returns.
    ///
    /// # Errors
    /// When the request is over or was answered too often.
    pub async fn reply(&self, stream: StreamId, reply: Reply) -> Result<(), NodeError> {
        if reply.message.len() > MAX_PLAINTEXT_BYTES {
            return Err(NodeError::TooLarge);
        }
        let (done, answer) = oneshot::channel();
        self.send(Job::Reply { stream, reply, done })?;
        answer.await.map_err(|_| NodeError::Stopped)?
    }

    /// The request on this stream, also when it was handled, until it is over.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn recall(&self, stream: StreamId) -> Result<Option<Answer>, NodeError> {
        let (found, answer) = oneshot::channel();
        self.send(Job::Recall { stream, found })?;
        answer.await.map_err(|_| NodeError::Stopped)
    }

    /// Marks a request as dealt with; durable when this returns.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn handled(&self, stream: StreamId) -> Result<(), NodeError> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Handled { stream, done })?;
        answer.await.map_err(|_| NodeError::Stopped)?
    }

    /// What is known of a peer, with these subkeys added.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn peer(
        &self,
        main_key: PublicKey,
        subkeys: impl IntoIterator<Item = PublicKey>,
    ) -> Result<Peer, NodeError> {
        let known = self.lock_peers().get(&main_key);
        let known = match known {
            Some(known) => Some(known),
            None => {
                let stored = self.store.peer(main_key).await?;
                if let Some(stored) = &stored {
                    self.lock_peers().insert(main_key, stored.clone());
                }
                stored
            }
        };
        let peer = Peer::new(main_key).with_subkeys(subkeys);
        Ok(match known {
            Some(known) => peer.with_subkeys(known.subkeys).with_relays(known.relays),
            None => peer,
        })
    }

    /// The newest profile that the connected relays have of someone.
    pub async fn profile(&self, author: PublicKey) -> ProfileAnswer {
        let id = format!("q{}", self.env.alphanumeric(16));
        self.queries.profile(&*self.pool, id, author).await
    }

    /// Publishes something public and waits until a relay has it: the relays that took it first
    /// and those that refused before.
    pub async fn publish_public(&self, kind: u16, content: &str) -> PublicDelivery {
        let header = Header { kind, created_at: self.env.now(), to: &[], in_answer_to: None };
        let sealed = sign(&self.env, &self.key, header, content, "EVENT", &[]);
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).insert(sealed.id, sender);
        let handed = self.pool.publish(Publication {
            event_id: sealed.id,
            frame: sealed.frame,
            to: Targets::OwnAnd([].into()),
            track: true,
        });
        let mut delivery = PublicDelivery { accepted: None, refused: Vec::new(), handed };
        let wait = async {
            while delivery.accepted.is_none() && delivery.refused.len() < handed {
                let Some((relay, accepted, reason)) = answers.recv().await else { break };
                if accepted {
                    delivery.accepted = Some(relay);
                } else {
                    delivery.refused.push((relay, reason));
                }
            }
        };
        if handed > 0 {
            // Running out of time shows in the delivery itself.
            drop(tokio::time::timeout(PUBLISH_PATIENCE, wait).await);
        } else {
            drop(wait);
        }
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).remove(&sealed.id);
        delivery
    }

    /// Adds a relay of our own.
    pub fn add_relay(&self, relay: RelayAddress) {
        self.own_relays.lock().unwrap_or_else(PoisonError::into_inner).insert(relay.clone());
        self.pool.add(relay);
    }

    /// Removes a relay of our own. False when it was not there.
    pub fn remove_relay(&self, relay: &RelayAddress) -> bool {
        self.own_relays.lock().unwrap_or_else(PoisonError::into_inner).remove(relay);
        self.pool.remove(relay)
    }

    /// Our own relays.
    #[must_use]
    pub fn own_relays(&self) -> Vec<RelayAddress> {
        let mut relays: Vec<_> = self
            .own_relays
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect();
        relays.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        relays
    }

    /// How many conversations are open, or `None` when the loop does not answer within a second.
    pub async fn open_conversations(&self) -> Option<usize> {
        let (sender, answer) = oneshot::channel();
        self.send(Job::Inspect(sender)).ok()?;
        tokio::time::timeout(Duration::from_secs(1), answer).await.ok()?.ok()
    }

    /// Whether the loop answers.
    pub async fn is_alive(&self) -> bool {
        self.open_conversations().await.is_some()
    }

    /// Stops: no new jobs, what is durable is told, connections are closed, the store is written.
    /// False when something did not end in time. Idempotent.
    pub async fn shutdown(&self) -> bool {
        let ended = self.tasks.stop(STOP_PATIENCE).await;
        // The store is closed whatever the connections do.
        let closed = tokio::time::timeout(POOL_PATIENCE, self.pool.shutdown()).await.is_ok();
        self.store.close().await;
        ended && closed
    }

    fn open_job(
        &self,
        opening: Opening,
        done: Option<oneshot::Sender<Result<(), NodeError>>>,
    ) -> Result<OpenJob, NodeError> {
        let stream = opening.stream.unwrap_or_else(|| self.env.stream_id());
        let message = match &opening.conversation {
            Conversation::Ask(ask) => ask.message.len(),
            Conversation::Payment(payment) => payment.message.len(),
            Conversation::Refund(refund) => refund.ask.message.len(),
            Conversation::Send(send) => send.message.len(),
            _ => 0,
        };
        if message > MAX_PLAINTEXT_BYTES {
            return Err(NodeError::TooLarge);
        }
        let at = self.env.now();
        let (idempotency, claim) = opening
            .idempotency
            .map(|FirstUse { key, guard, command_hash, answer }| {
                let stream = Some(stream);
                (IdempotencyRecord { key, command_hash, stream, answer, at }, guard)
            })
            .unzip();
        Ok(OpenJob {
            stream,
            conversation: opening.conversation,
            idempotency,
            claim,
            attach: opening.attach,
            beside: opening.beside,
            done,
        })
    }

    fn send(&self, job: Job) -> Result<(), NodeError> {
        if self.tasks.is_stopping() {
            return Err(NodeError::Stopped);
        }
        self.jobs.send(job).map_err(|_| NodeError::Stopped)
    }

    fn lock_peers(&self) -> std::sync::MutexGuard<'_, Recent<PublicKey, PeerRecord>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node that nobody holds any more ends at once, as in a crash: what is durable stays.
impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// How a public event fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicDelivery {
    /// The relay that took it first.
    pub accepted: Option<RelayAddress>,
    /// Relays that refused it, with their reason.
    pub refused: Vec<(RelayAddress, String)>,
    /// How many connected relays it was handed to.
    pub handed: usize,
}

/// Reads what was open and hands it to the engine. A record that cannot be read is left where it
/// is: a newer version may know it.
async fn restore(engine: &mut Engine, store: &dyn Store) -> Result<Work, NodeError> {
    let mut work = Work::default();
    for record in store.conversations().await? {
        match serde_json::from_slice::<Conversation>(&record.state) {
            Ok(conversation) => {
                let step = engine.restore(record.stream, conversation, record.next_index);
                for effect in &step.effects {
                    if let crate::conversation::Effect::Inbox { stream, open: true } = effect
                        && let Some(Conversation::Answer(answer)) = engine.get(*stream)
                    {
                        work.inbox.push((*stream, Some((**answer).clone())));
                    }
                }
                work.effects.extend(step.effects);
            }
            Err(error) => {
                tracing::error!(
                    stream = %record.stream, machine = %record.machine, %error,
                    "a stored conversation cannot be read"
                );
            }
        }
    }
    // Shown in the order they came, as before the restart.
    work.inbox.sort_by_key(|(_, answer)| answer.as_ref().map(|answer| answer.arrival));
    Ok(work)
}

/// The standing subscriptions: one for messages, one for subkey proofs. Proofs are of an
/// addressable kind that others use for lists, so only new ones are asked for.
fn subscriptions(env: &Env, key: &LocalKey, role: Role) -> Vec<(String, String)> {
    let listens = match role {
        Role::Service => kinds::FOR_SERVICE,
        Role::Client => kinds::FOR_CLIENT,
    };
    let mut own = vec![key.public_key().to_hex()];
    if key.is_subkey() {
        own.push(key.main_key().to_hex());
    }
    let since = env.now().saturating_sub(FRESHNESS);
    let messages = serde_json::json!({ "kinds": listens, "#p": own, "since": since.as_secs() });
    let proofs = serde_json::json!({
        "kinds": [kinds::SUBKEY_PROOF], "#p": own, "since": since.as_secs()
    });
    vec![("p0m".to_owned(), messages.to_string()), ("p0k".to_owned(), proofs.to_string())]
}
