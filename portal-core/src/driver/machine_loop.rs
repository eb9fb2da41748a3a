//! The loop that owns the engine: one job after another, never waiting for anything but the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nostr::{EventId, PublicKey};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::claims::ClaimGuard;
use super::effects::{Owed, Work};
use super::error::NodeError;
use super::hub::{EventSink, Hub};
use super::recent::Recent;
use super::tasks::Tasks;
use crate::conversation::answer::{Answer, Reply};
use crate::conversation::handshake::Handshake;
use crate::conversation::refund::PaidOut;
use crate::conversation::{
    Change, Conversation, Effect, Engine, Fault, Outgoing, Peer, Saved, Step, Via,
};
use crate::env::Env;
use crate::event::StreamEvent;
use crate::identity::LocalKey;
use crate::primitives::{Millisats, StreamId, Timestamp};
use crate::protocol::envelope::{Opened, Refusal};
use crate::protocol::kinds;
use crate::protocol::subkey::SubkeyProof;
use crate::relay::RelayAddress;
use crate::storage::{
    ConversationRecord, IdempotencyRecord, PeerRecord, ReceivedRecord, RefundRecord, StorageError,
    Store, Write,
};

/// Deadlines are looked at this often at least, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Deadlines handled before other jobs get their turn.
const TICK_BATCH: usize = 256;
/// Jobs handled before the time is read again.
const JOB_BATCH: usize = 128;
/// Proofs sent in one second, to all people who do not know our subkey.
const PROOFS_PER_SECOND: u32 = 200;

/// When open requests are sent once more to a relay that came back: phones try again every four
/// seconds at the most, and what a relay is told before they are there is lost.
const ECHOES: [Duration; 3] =
    [Duration::from_millis(1500), Duration::from_millis(4500), Duration::from_millis(9000)];
/// Requests that are sent once more at a time.
const MOST_ECHOED: usize = 4096;

/// What a relay that is connected has to be sent.
#[derive(Clone)]
pub struct Debt {
    due: Instant,
    relay: RelayAddress,
    /// What is above was sent.
    below: Option<StreamId>,
    asks_only: bool,
    /// So many conversations at the most.
    most: usize,
}

/// Something for the loop.
pub enum Job {
    /// A message for us.
    Received(Opened),
    /// A proof that answers an event of ours.
    Proof { stream: StreamId, author: PublicKey, proof: SubkeyProof },
    /// Someone wrote to our main key.
    Undecryptable { author: PublicKey, event_id: EventId },
    /// A new conversation.
    Open(Box<OpenJob>),
    /// A static token: its stream and URL token, opened when it is new.
    OpenStatic {
        open: Box<OpenJob>,
        token: String,
        found: oneshot::Sender<Result<(StreamId, Handshake), NodeError>>,
    },
    /// A static token is taken back.
    Revoke { token: String, done: oneshot::Sender<Result<bool, NodeError>> },
    /// The app replies to a request.
    Reply { stream: StreamId, reply: Reply, done: oneshot::Sender<Result<(), NodeError>> },
    /// The request on this stream, when it is not over.
    Recall { stream: StreamId, found: oneshot::Sender<Option<Answer>> },
    /// The app is done with a request.
    Handled { stream: StreamId, done: oneshot::Sender<Result<(), NodeError>> },
    /// The wallet has the money.
    Settled { payment_hash: [u8; 32], preimage: Option<String>, amount: Millisats },
    /// The wallet says it has not.
    Unsettled { payment_hash: [u8; 32], at: Timestamp },
    /// Paying for a stream has ended.
    PaidOut { stream: StreamId, outcome: PaidOut },
    /// A relay is connected, for the first time or again.
    RelayConnected { relay: RelayAddress, first: bool },
    /// A relay answered.
    Delivered { stream: StreamId, part: usize, relay: String, accepted: bool, reason: String },
    /// A batch was not written: again.
    Again { batch: Vec<Write>, work: Work },
    /// A conversation could not be saved: it never was.
    Abort { stream: StreamId },
    /// Are you alive? How many conversations are open?
    Inspect(oneshot::Sender<usize>),
    /// Fail in this conversation, so many times.
    #[cfg(any(test, feature = "testing"))]
    Poison { stream: StreamId, times: u32 },
}

/// A new conversation.
pub struct OpenJob {
    /// Its stream.
    pub stream: StreamId,
    /// Itself.
    pub conversation: Conversation,
    /// Saved with it.
    pub idempotency: Option<IdempotencyRecord>,
    /// Freed when it is saved, whoever has gone meanwhile.
    pub claim: Option<ClaimGuard>,
    /// Hears everything from the start.
    pub attach: Option<Arc<dyn EventSink>>,
    /// Saved with it.
    pub beside: Vec<Write>,
    /// Told when it is durable.
    pub done: Option<oneshot::Sender<Result<(), NodeError>>>,
}

/// The loop and what it owns.
pub struct MachineLoop {
    pub(super) env: Env,
    pub(super) local: LocalKey,
    pub(super) engine: Engine,
    pub(super) store: Arc<dyn Store>,
    pub(super) hub: Arc<Hub>,
    pub(super) peers: Arc<Mutex<Recent<PublicKey, PeerRecord>>>,
    pub(super) jobs: mpsc::UnboundedSender<Job>,
    pub(super) work: mpsc::UnboundedSender<Work>,
    pub(super) again: mpsc::Sender<Owed>,
    pub(super) proofs: (u64, u32),
    /// When someone was sent our proof last: once a second is enough for anyone.
    pub(super) proven: Recent<PublicKey, u64>,
    /// How many batches were handed to the store.
    pub(super) saved: u64,
    pub(super) debts: Vec<Debt>,
    pub(super) own_relays: Arc<Mutex<Vec<RelayAddress>>>,
    pub(super) tasks: Tasks,
}

impl MachineLoop {
    /// Works until the node stops.
    pub async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let again = self.again.clone();
        loop {
            let sleep = self.until_deadline();
            let now = Instant::now();
            let in_debt = self.debts.iter().any(|debt| debt.due <= now);
            tokio::select! {
                biased;
                job = jobs.recv() => {
                    let Some(job) = job else { return };
                    let now = self.env.now();
                    self.handle(job, now);
                    for _ in 0..JOB_BATCH {
                        match jobs.try_recv() {
                            Ok(job) => self.handle(job, now),
                            Err(_) => break,
                        }
                    }
                }
                // There is room for more of what is owed.
                _ = again.reserve(), if in_debt => {}
                () = tokio::time::sleep(sleep) => {}
                () = self.tasks.stopping() => return,
            }
            if self.tasks.is_stopping() {
                // However much comes in meanwhile.
                return;
            }
            self.pay();
            let now = self.env.now();
            if self.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
                let step = self.engine.tick(now, TICK_BATCH);
                self.carry_out(step, None);
            }
        }
    }

    fn until_deadline(&self) -> Duration {
        let now = Instant::now();
        // What is due waits for room.
        let debts = self.debts.iter().filter(|debt| debt.due > now);
        let debts = debts.map(|debt| debt.due.saturating_duration_since(now));
        let deadline = self.engine.next_deadline().map(|deadline| {
            let end = deadline.as_secs().saturating_mul(1000);
            Duration::from_millis(end.saturating_sub(self.env.now_millis()))
        });
        debts.chain(deadline).fold(LONGEST_SLEEP, Duration::min)
    }

    fn handle(&mut self, job: Job, now: Timestamp) {
        match job {
            Job::Received(opened) => {
                let step = self.engine.receive(&opened, now);
                self.carry_out(step, None);
            }
            Job::Proof { stream, author, proof } => {
                let step = self.engine.receive_proof(stream, author, &proof, now);
                self.carry_out(step, None);
            }
            Job::Undecryptable { author, event_id } => self.prove(author, event_id, now),
            Job::Open(open) => self.open(*open),
            Job::OpenStatic { open, token, found } => self.open_static(*open, &token, found),
            Job::Revoke { token, done } => self.revoke(&token, done),
            Job::Reply { stream, reply, done } => match self.engine.reply(stream, reply) {
                Ok(step) => self.carry_out(step, Some(done)),
                Err(Refusal::TooMany) => drop(done.send(Err(NodeError::TooMany))),
                Err(_) => drop(done.send(Err(NodeError::Over))),
            },
            Job::Recall { stream, found } => {
                let answer = match self.engine.get(stream) {
                    Some(Conversation::Answer(answer)) => Some((**answer).clone()),
                    _ => None,
                };
                if found.send(answer).is_err() {
                    tracing::debug!("whoever asked for a request has gone");
                }
            }
            Job::Handled { stream, done } => {
                let step = self.engine.handled(stream);
                self.carry_out(step, Some(done));
            }
            Job::Settled { payment_hash, preimage, amount } => {
                let step = self.engine.settled(payment_hash, preimage.as_deref(), amount);
                self.carry_out(step, None);
            }
            Job::PaidOut { stream, outcome } => {
                let step = self.engine.paid_out(stream, outcome);
                self.carry_out(step, None);
            }
            Job::Unsettled { payment_hash, at } => {
                let step = self.engine.unsettled(payment_hash, at);
                self.carry_out(step, None);
            }
            Job::RelayConnected { relay, first } => self.relay_connected(&relay, first),
            Job::Delivered { stream, part, relay, accepted, reason } => {
                let step = self.engine.delivered(stream, part, &relay, accepted, &reason, now);
                self.carry_out(step, None);
            }
            Job::Again { batch, work } => {
                let batch = self.brought_up_to_date(batch);
                self.commit(batch, work, None);
            }
            Job::Abort { stream } => {
                let step = self.engine.close(stream);
                self.carry_out(step, None);
            }
            Job::Inspect(answer) => drop(answer.send(self.engine.len())),
            #[cfg(any(test, feature = "testing"))]
            Job::Poison { stream, times } => self.engine.poison(stream, times),
        }
    }

    fn relay_connected(&mut self, relay: &RelayAddress, first: bool) {
        self.debts.retain(|debt| debt.relay != *relay);
        let debt = Debt {
            due: Instant::now(),
            relay: relay.clone(),
            below: None,
            asks_only: false,
            most: usize::MAX,
        };
        if !first && !self.engine.is_empty() {
            let below = Some(self.env.stream_id());
            self.debts.extend(ECHOES.iter().map(|after| Debt {
                due: debt.due + *after,
                below,
                asks_only: true,
                most: MOST_ECHOED,
                ..debt.clone()
            }));
        }
        self.debts.push(debt);
    }

    /// Hands over what is owed to relays, as far as there is room: what is new goes before it.
    fn pay(&mut self) {
        let now = Instant::now();
        let mut debts = std::mem::take(&mut self.debts);
        debts.retain_mut(|debt| debt.due > now || !self.pay_one(debt));
        self.debts = debts;
    }

    /// Whether it is paid in full.
    fn pay_one(&self, debt: &mut Debt) -> bool {
        let own = lock(&self.own_relays).contains(&debt.relay);
        let relay = debt.relay.clone();
        let names = |relays: &[String]| {
            relays.iter().any(|text| {
                *text == relay.as_str()
                    || RelayAddress::parse(text).is_ok_and(|named| named == relay)
            })
        };
        let reaches = |via: &Via| match via {
            Via::Peer(relays) => own || names(relays),
            Via::Only(relays) => names(relays),
            Via::Everywhere => true,
        };
        let (mut below, mut most) = (debt.below, debt.most);
        let paid = loop {
            if most == 0 {
                break true;
            }
            let Ok(room) = self.again.try_reserve() else { break false };
            let Some((stream, messages)) = self.engine.owed(below, debt.asks_only, reaches) else {
                break true;
            };
            match messages {
                Ok(messages) => room.send(Owed { relay: debt.relay.clone(), messages }),
                // The effects end only with the node.
                Err(Fault) => {
                    drop(self.work.send(Work {
                        effects: vec![Effect::Fault(Some(stream))],
                        ..Work::default()
                    }))
                }
            }
            below = Some(stream);
            most = most.saturating_sub(1);
        };
        (debt.below, debt.most) = (below, most);
        paid
    }

    fn open(&mut self, open: OpenJob) {
        if !self.engine.has_room_for(&open.conversation) {
            if let Some(done) = open.done {
                // The caller may have gone.
                drop(done.send(Err(NodeError::Full)));
            }
            return;
        }
        if let Some(sink) = open.attach {
            self.hub.attach_new(open.stream, sink);
        }
        let step = self.engine.open(open.stream, open.conversation);
        let faulty = step.is_faulty();
        let (mut batch, mut work) = self.translate(step);
        // What failed was not opened: it has a log that says so, and nothing that stands on it.
        if !faulty {
            batch.extend(open.idempotency.map(Write::PutIdempotency));
            work.beside = Hub::events_in(&open.beside);
            batch.extend(open.beside);
        }
        work.opened = open.done.and_then(|done| told(done, faulty));
        work.claim = open.claim;
        self.commit(batch, work, Some(open.stream));
    }

    fn open_static(
        &mut self,
        open: OpenJob,
        token: &str,
        found: oneshot::Sender<Result<(StreamId, Handshake), NodeError>>,
    ) {
        if let Some((stream, handshake)) = self.engine.static_handshake(token) {
            // It may have been opened a moment ago: an empty batch is durable after it is.
            let answer = Ok((stream, handshake.clone()));
            let done = move |result: Result<(), StorageError>| {
                drop(found.send(result.map_err(NodeError::Storage).and(answer)));
            };
            self.store.commit(Vec::new(), Box::new(done));
            return;
        }
        let stream = open.stream;
        let Conversation::Handshake(handshake) = open.conversation.clone() else { return };
        if self.engine.is_mistakable(&handshake) {
            drop(found.send(Err(NodeError::MistakableToken)));
            return;
        }
        let (sender, durable) = oneshot::channel();
        self.open(OpenJob { done: Some(sender), ..open });
        self.tasks.spawn(async move {
            let result = durable.await.unwrap_or(Err(NodeError::Stopped));
            drop(found.send(result.map(|()| (stream, *handshake))));
        });
    }

    fn revoke(&mut self, token: &str, done: oneshot::Sender<Result<bool, NodeError>>) {
        let known = self.engine.static_handshake_of(token).map(|(stream, _)| stream);
        if let Some(stream) = known {
            let step = self.engine.revoke(stream);
            self.carry_out(step, None);
        }
        // An empty batch is durable after the one before it.
        let told = move |result: Result<(), StorageError>| {
            drop(done.send(result.map(|()| known.is_some()).map_err(NodeError::Storage)));
        };
        self.store.commit(Vec::new(), Box::new(told));
    }

    /// A batch that is tried again must not undo what was saved since: conversations are written
    /// as they are now.
    fn brought_up_to_date(&self, batch: Vec<Write>) -> Vec<Write> {
        batch
            .into_iter()
            .filter_map(|write| match write {
                Write::PutConversation(record) => {
                    self.engine.record(record.stream).map(record_of).map(Write::PutConversation)
                }
                Write::RemoveConversation(stream) if self.engine.get(stream).is_some() => None,
                Write::PutPeer(record) => {
                    let mut peers = lock(&self.peers);
                    Some(Write::PutPeer(peers.get(&record.main_key).unwrap_or(record)))
                }
                other => Some(other),
            })
            .collect()
    }

    fn prove(&mut self, author: PublicKey, event_id: EventId, now: Timestamp) {
        if self.proofs.0 != now.as_secs() {
            self.proofs = (now.as_secs(), 0);
        }
        if self.proofs.1 >= PROOFS_PER_SECOND || self.proven.get(&author) == Some(now.as_secs()) {
            return;
        }
        self.proofs.1 = self.proofs.1.saturating_add(1);
        self.proven.insert(author, now.as_secs());
        let Some(proof) = self.local.proof() else { return };
        let message =
            serde_json::to_string(proof).expect("a proof is made of strings, numbers and lists");
        let outgoing = Outgoing {
            stream: StreamId::from_uuid(uuid::Uuid::nil()),
            part: 0,
            kind: kinds::SUBKEY_PROOF,
            recipients: vec![author],
            mentions: vec![author],
            in_answer_to: Some(event_id),
            message,
            via: Via::Everywhere,
            track: false,
        };
        let step = Step { changes: Vec::new(), effects: vec![Effect::Publish(outgoing)] };
        self.carry_out(step, None);
    }

    fn carry_out(&mut self, step: Step, opened: Option<oneshot::Sender<Result<(), NodeError>>>) {
        let faulty = step.is_faulty();
        let (batch, mut work) = self.translate(step);
        work.opened = opened.and_then(|opened| told(opened, faulty));
        self.commit(batch, work, None);
    }

    /// Turns a step into what the store and the effects understand.
    fn translate(&mut self, step: Step) -> (Vec<Write>, Work) {
        let at_millis = self.env.now_millis();
        let mut work = Work { effects: step.effects, ..Work::default() };
        let mut batch = Vec::with_capacity(step.changes.len());
        for change in step.changes {
            batch.push(match change {
                Change::Put(saved) => Write::PutConversation(record_of(saved)),
                Change::Remove { stream } => Write::RemoveConversation(stream),
                Change::Append { stream, index, event } => {
                    let event = StreamEvent { stream, index, at_millis, body: event };
                    work.events.push(Arc::new(event.clone()));
                    Write::Append(event)
                }
                Change::Received { stream, main_key, payment_hash, amount, request } => {
                    let at = self.env.now();
                    let came =
                        ReceivedRecord { stream, main_key, payment_hash, amount, request, at };
                    Write::PutReceived(came)
                }
                Change::Refund { stream, payment, amount, state } => {
                    let at = self.env.now();
                    Write::PutRefund(RefundRecord { stream, payment, amount, state, at })
                }
                Change::Learn(peer) => Write::PutPeer(self.learn(peer)),
            });
        }
        for effect in &work.effects {
            if let Effect::Inbox { stream, open } = effect {
                let answer = match self.engine.get(*stream) {
                    Some(Conversation::Answer(answer)) if *open => Some((**answer).clone()),
                    _ => None,
                };
                work.inbox.push((*stream, answer));
            }
        }
        (batch, work)
    }

    /// Adds what was learned to what is remembered: an empty list teaches nothing.
    fn learn(&self, peer: Peer) -> PeerRecord {
        let mut peers = lock(&self.peers);
        let known = peers.get(&peer.main_key);
        let mut record = PeerRecord {
            main_key: peer.main_key,
            subkeys: peer.subkeys,
            relays: peer.relays,
            seen_at: self.env.now(),
        };
        if let Some(known) = known {
            if record.relays.is_empty() {
                record.relays = known.relays;
            }
            if record.subkeys.is_empty() {
                record.subkeys = known.subkeys;
            }
        }
        peers.insert(peer.main_key, record.clone());
        record
    }

    /// Saves, then hands the work on. `opening` is given up when it cannot be saved; anything else
    /// is tried again until it can.
    fn commit(&mut self, batch: Vec<Write>, mut work: Work, opening: Option<StreamId>) {
        if batch.is_empty() {
            if !work.is_empty() {
                // The effects end only with the node.
                drop(self.work.send(work));
            }
            return;
        }
        let retried = work.order.is_some();
        if !retried {
            work.order = Some(self.saved);
            self.saved = self.saved.saturating_add(1);
        }
        let again = if opening.is_none() { batch.clone() } else { Vec::new() };
        let sender = self.work.clone();
        let jobs = self.jobs.clone();
        let tasks = self.tasks.clone();
        self.store.commit(
            batch,
            Box::new(move |result| match result {
                Ok(()) => drop(sender.send(work)),
                // It had been written after all when it seemed to fail: only we give out places.
                Err(StorageError::Conflict { .. }) if retried => drop(sender.send(work)),
                Err(error) => failed(error, opening, again, work, &sender, jobs, &tasks),
            }),
        );
    }
}

/// Whoever waits for a step that has failed is told so at once; else when it is durable.
fn told(
    waiting: oneshot::Sender<Result<(), NodeError>>,
    faulty: bool,
) -> Option<oneshot::Sender<Result<(), NodeError>>> {
    if !faulty {
        return Some(waiting);
    }
    // Whoever asked may have gone.
    drop(waiting.send(Err(NodeError::Fault)));
    None
}

fn failed(
    error: StorageError,
    opening: Option<StreamId>,
    batch: Vec<Write>,
    work: Work,
    effects: &mpsc::UnboundedSender<Work>,
    jobs: mpsc::UnboundedSender<Job>,
    tasks: &Tasks,
) {
    tracing::warn!(%error, "a change could not be saved");
    let given_up = matches!(error, StorageError::Conflict { .. } | StorageError::Closed);
    if opening.is_some() || given_up {
        // Nobody waits for its turn, and the key is free again.
        drop(effects.send(Work { order: work.order, claim: work.claim, ..Work::default() }));
        if let Some(opened) = work.opened {
            drop(opened.send(Err(NodeError::Storage(error))));
        }
        if let Some(stream) = opening {
            drop(jobs.send(Job::Abort { stream }));
        }
        return;
    }
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(jobs.send(Job::Again { batch, work }));
    });
}

fn record_of(saved: Saved) -> ConversationRecord {
    let Saved { stream, machine, state, next_index } = saved;
    ConversationRecord { stream, machine: machine.to_owned(), state, next_index }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
