//! One key on the network: what [`Service`](crate::service::Service) and
//! [`Client`](crate::client::Client) stand on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nostr::PublicKey;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::claims::Claims;
use super::counters::Counters;
use super::effects::{Effects, Turns};
use super::error::NodeError;
use super::hub::Hub;
use super::inbox::{Acceptance, Inbox};
use super::keys::ConversationKeys;
use super::machine_loop::{Job, MachineLoop, OpenJob};
use super::opening::{FirstUse, Opening};
use super::options::NodeOptions;
use super::payouts;
use super::queries::{ProfileAnswer, Queries};
use super::recent::Recent;
use super::restore::{restore, subscriptions};
use super::seen::Seen;
use super::sent::Sent;
use super::tasks::Tasks;
use super::watch;
use crate::conversation::answer::{Answer, Reply};
use crate::conversation::handshake::Handshake;
use crate::conversation::{Conversation, Engine, Peer};
use crate::env::Env;
use crate::identity::LocalKey;
use crate::payments::Payer;
use crate::primitives::StreamId;
use crate::protocol::envelope::{Header, MAX_PLAINTEXT_BYTES, sign};
use crate::rates::RateDesk;
use crate::relay::{AddressPolicy, Publication, RelayAddress, RelayPool, Targets};
use crate::storage::{IdempotencyRecord, PeerRecord, Store};
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
    own_relays: Arc<Mutex<Vec<RelayAddress>>>,
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
        #[cfg(feature = "cashu")]
        engine.check_tokens(crate::cashu::check_answer);
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
        let mut distinct: Vec<RelayAddress> = Vec::new();
        for relay in &relays {
            if !distinct.contains(relay) {
                distinct.push(relay.clone());
            }
        }
        let own_relays = Arc::new(Mutex::new(distinct));

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
        let mut own = self.own_relays.lock().unwrap_or_else(PoisonError::into_inner);
        if !own.contains(&relay) {
            own.push(relay.clone());
        }
        drop(own);
        self.pool.add(relay);
    }

    /// Removes a relay of our own. False when it was not there.
    pub fn remove_relay(&self, relay: &RelayAddress) -> bool {
        let mut own = self.own_relays.lock().unwrap_or_else(PoisonError::into_inner);
        own.retain(|known| known != relay);
        drop(own);
        self.pool.remove(relay)
    }

    /// Our own relays, in the order in which they were named.
    #[must_use]
    pub fn own_relays(&self) -> Vec<RelayAddress> {
        self.own_relays.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

    /// The next so many times that a conversation does something it panics.
    ///
    /// # Errors
    /// When the node has stopped.
    #[cfg(any(test, feature = "testing"))]
    pub fn poison(&self, stream: StreamId, times: u32) -> Result<(), NodeError> {
        self.send(Job::Poison { stream, times })
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
