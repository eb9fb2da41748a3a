//! The table of open conversations of one key, and the way from an input to its machine.
//!
//! # Invariants
//! - Every conversation is under its stream, its routes and its deadline, or under none of them.
//! - Indices of a stream's events start at 0 and have no gaps; the next one is saved with the
//!   conversation.
//! - An input that changes nothing leads to no change; what is not used is
//!   [`Effect::Ignored`] with its reason.
//! - A panic of one machine ends its own conversation at the most ([`fault`]).

mod crowd;
mod delivery;
mod fault;
mod inbound;
mod money;
mod replies;

use std::collections::BTreeSet;

use crowd::Crowd;
pub use fault::Fault;
use nostr::PublicKey;

use super::ask::TokenCheck;
use super::peer::Peer;
use super::refund::RefundState;
use super::route::{Route, Routes};
use super::walkin::MOST_OPEN;
use super::{Change, Conversation, Effect, Outgoing, Saved, Step, Via, ask, handshake};
use crate::event::PortalEvent;
use crate::primitives::{ErrorCode, PagedMap, StreamId, Timestamp};
use crate::protocol::envelope::{Opened, Refusal};
use crate::protocol::kinds;
use crate::protocol::subkey::SubkeyProof;

/// How soon something that is overdue but could not end is looked at again.
const OVERDUE_SECS: u64 = 30;

/// Which side this key is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The merchant: asks.
    Service,
    /// The person: answers.
    Client,
}

/// What strangers can make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests to the person that are open at once.
    pub inbound: usize,
    /// Of these, from one author.
    pub inbound_per_author: usize,
    /// Of these, from services that the person has not dealt with: what is left is kept for those
    /// whose URL was opened or who were answered.
    pub inbound_from_strangers: usize,
    /// Of these, given without being asked for (tickets, closes), which wait until they are taken.
    pub inbound_unasked: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inbound: 1000,
            inbound_per_author: 64,
            inbound_from_strangers: 500,
            inbound_unasked: 250,
        }
    }
}

/// All open conversations of one key.
#[derive(Debug)]
pub struct Engine {
    role: Role,
    limits: Limits,
    table: PagedMap<StreamId, Entry>,
    routes: Routes,
    deadlines: BTreeSet<(Timestamp, StreamId)>,
    /// More than one request may be for one invoice.
    invoices: BTreeSet<([u8; 32], StreamId)>,
    /// Conversations that have something to say to a relay that connects.
    talkers: BTreeSet<StreamId>,
    crowd: Crowd,
    closes: Option<StreamId>,
    receipts: Option<StreamId>,
    /// How many invoices are open that anybody may pay.
    walkins: usize,
    /// The minute, and how many closes of unknown subscriptions were passed on in it.
    unknown_closes: (u64, u32),
    /// How many requests to the person came.
    arrivals: u64,
    /// The conversation that is at work.
    entered: Option<StreamId>,
    /// Conversations that fail on purpose.
    #[cfg(any(test, feature = "testing"))]
    poisoned: std::collections::HashMap<StreamId, u32>,
    /// Looks at the tokens that people answer with.
    token_check: Option<TokenCheck>,
}

#[derive(Debug)]
struct Entry {
    conversation: Conversation,
    next_index: u64,
    deadline: Option<Timestamp>,
}

impl Engine {
    /// No conversations yet.
    #[must_use]
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            table: PagedMap::new(),
            routes: Routes::default(),
            deadlines: BTreeSet::new(),
            invoices: BTreeSet::new(),
            talkers: BTreeSet::new(),
            crowd: Crowd::default(),
            closes: None,
            receipts: None,
            walkins: 0,
            unknown_closes: (0, 0),
            arrivals: 0,
            entered: None,
            #[cfg(any(test, feature = "testing"))]
            poisoned: std::collections::HashMap::new(),
            token_check: None,
        }
    }

    /// From now on tokens are compared with what was asked for before their answer counts.
    pub fn check_tokens(&mut self, check: TokenCheck) {
        self.token_check = Some(check);
    }

    /// How many conversations are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// An open conversation.
    #[must_use]
    pub fn get(&self, stream: StreamId) -> Option<&Conversation> {
        self.table.get(&stream).map(|entry| &entry.conversation)
    }

    /// All open conversations, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Conversation)> {
        self.table.iter().map(|(stream, entry)| (*stream, &entry.conversation))
    }

    /// The handshake with this static token, as the merchant gave it.
    #[must_use]
    pub fn static_handshake(&self, token: &str) -> Option<(StreamId, &handshake::Handshake)> {
        self.static_handshakes(token).find(|(_, known)| known.given_token() == token)
    }

    /// The handshake with this static token, as given or as it stands in its URL.
    #[must_use]
    pub fn static_handshake_of(&self, token: &str) -> Option<(StreamId, &handshake::Handshake)> {
        self.static_handshake(token).or_else(|| self.static_handshakes(token).next())
    }

    /// Whether a person who opens this URL may echo what people echo who open another one that is
    /// there: `a b` is `a%20b` in its URL, and `a%20b` may be a token too.
    #[must_use]
    pub fn is_mistakable(&self, new: &handshake::Handshake) -> bool {
        new.echoes().flat_map(|echo| self.static_handshakes(echo)).next().is_some()
    }

    /// The static tokens that this echo may stand for.
    fn static_handshakes(
        &self,
        echo: &str,
    ) -> impl Iterator<Item = (StreamId, &handshake::Handshake)> {
        let streams = self.routes.find(Route::token(echo)).iter();
        streams.filter_map(|stream| match self.get(*stream) {
            Some(Conversation::Handshake(handshake)) if handshake.is_static() => {
                Some((*stream, &**handshake))
            }
            _ => None,
        })
    }

    /// When [`Engine::tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Whether there is room for this conversation: strangers can have some opened.
    #[must_use]
    pub const fn has_room_for(&self, conversation: &Conversation) -> bool {
        !matches!(conversation, Conversation::WalkIn(_)) || self.walkins < MOST_OPEN
    }

    /// Opens a conversation: saved, then told to the world.
    pub fn open(&mut self, stream: StreamId, conversation: Conversation) -> Step {
        self.first_step(stream, |engine, step| {
            engine.admit(stream, conversation, 0);
            engine.save(stream, step);
            engine.begin(stream, step);
        })
    }

    /// Takes a conversation that was saved; [`Engine::owed`] tells what is to be sent.
    pub fn restore(
        &mut self,
        stream: StreamId,
        conversation: Conversation,
        next_index: u64,
    ) -> Step {
        self.step(|engine, step| {
            engine.admit(stream, conversation, next_index);
            engine.resume(stream, step);
        })
    }

    /// Ends a conversation without a word, for example one that could not be saved.
    pub fn close(&mut self, stream: StreamId) -> Step {
        self.step(|engine, step| {
            engine.enter(stream);
            if engine.table.contains_key(&stream) {
                engine.end(stream, step);
            }
        })
    }

    /// The merchant takes a URL back: whoever listens to its stream hears that nothing follows.
    pub fn revoke(&mut self, stream: StreamId) -> Step {
        self.step(|engine, step| {
            engine.enter(stream);
            if engine.table.contains_key(&stream) {
                let reason = "the token was revoked".to_owned();
                let event = PortalEvent::Error { code: ErrorCode::Cancelled, reason };
                engine.append(stream, event, step);
                engine.end(stream, step);
            }
        })
    }

    /// An event was opened.
    pub fn receive(&mut self, opened: &Opened, now: Timestamp) -> Step {
        self.step(|engine, step| {
            let result = match engine.role {
                Role::Service => engine.receive_reply(opened, now, step),
                Role::Client => engine.receive_request(opened, now, step),
            };
            if let Err(refusal) = result {
                step.effects.push(Effect::Ignored(refusal));
            }
        })
    }

    /// A key answered one of our events, which it could see and not open, with a proof that it is
    /// a subkey (protocol section 1.6). `stream` is the one that sent the event.
    pub fn receive_proof(
        &mut self,
        stream: StreamId,
        author: PublicKey,
        proof: &SubkeyProof,
        now: Timestamp,
    ) -> Step {
        self.step(|engine, step| {
            engine.enter(stream);
            match engine.learn(stream, author, proof, now) {
                Ok((outgoing, peer)) => {
                    step.changes.push(Change::Learn(peer));
                    engine.save(stream, step);
                    step.effects.push(Effect::Publish(outgoing));
                }
                Err(refusal) => step.effects.push(Effect::Ignored(refusal)),
            }
        })
    }

    fn learn(
        &mut self,
        stream: StreamId,
        author: PublicKey,
        proof: &SubkeyProof,
        now: Timestamp,
    ) -> Result<(Outgoing, Peer), Refusal> {
        match self.table.get_mut(&stream).map(|entry| &mut entry.conversation) {
            Some(Conversation::Ask(ask)) => ask
                .learn(author, proof, now)
                .map(|keys| (ask.outgoing(stream, keys), ask.peer.clone())),
            Some(Conversation::Payment(payment)) => payment
                .learn(author, proof, now)
                .map(|keys| (payment.outgoing(stream, keys), payment.peer.clone())),
            Some(Conversation::Refund(refund)) if refund.unanswered() => refund
                .ask
                .learn(author, proof, now)
                .map(|keys| (refund.ask.outgoing(stream, keys), refund.ask.peer.clone())),
            Some(Conversation::Send(send)) => send
                .learn(author, proof, now)
                .map(|(keys, peer)| (send.outgoing_to(stream, keys), peer)),
            _ => Err(Refusal::Unexpected),
        }
    }

    /// Time passed. Handles at most `limit` conversations; call again while
    /// [`Engine::next_deadline`] is not later than `now`.
    pub fn tick(&mut self, now: Timestamp, limit: usize) -> Step {
        let mut step = Step::default();
        for _ in 0..limit {
            let Some((deadline, stream)) = self.deadlines.first().copied() else { break };
            if deadline > now {
                break;
            }
            self.guard(&mut step, |engine, step| {
                engine.enter(stream);
                engine.expire(stream, now, step);
            });
            if let Some(entry) = self.table.get_mut(&stream)
                && entry.deadline.is_some_and(|deadline| deadline <= now)
            {
                let later = Timestamp::from_secs(now.as_secs().saturating_add(OVERDUE_SECS));
                self.set_deadline(stream, Some(later));
            }
        }
        step
    }

    fn expire(&mut self, stream: StreamId, now: Timestamp, step: &mut Step) {
        let Some(entry) = self.table.get_mut(&stream) else { return };
        match &mut entry.conversation {
            Conversation::Handshake(_) | Conversation::Ask(_) => {
                self.append(stream, ask::Ask::timeout(), step);
                self.end(stream, step);
            }
            Conversation::Refund(refund) => {
                let counted = refund.counted(stream, RefundState::Void);
                self.append(stream, ask::Ask::timeout(), step);
                step.changes.push(counted);
                self.end(stream, step);
            }
            Conversation::Payment(payment) => {
                let moved = payment.tick(now);
                self.moved(stream, moved, step);
            }
            Conversation::Send(send) if send.done_until.is_some() => self.end(stream, step),
            Conversation::Send(send) => {
                if let Some((event, last)) = send.tick(now) {
                    self.append(stream, event, step);
                    if last {
                        self.end(stream, step);
                    } else {
                        self.save(stream, step);
                        self.reindex(stream);
                    }
                }
            }
            Conversation::Answer(answer) => {
                if answer.forgettable() {
                    self.end(stream, step);
                }
            }
            // The last word is the wallet's: see `unsettled`.
            Conversation::WalkIn(walkin) => step.effects.push(walkin.watched.watch(true)),
            Conversation::Subscription(_) | Conversation::Closes | Conversation::Receipts => {}
        }
    }

    /// Puts a conversation under its stream, its routes and its deadline.
    fn admit(&mut self, stream: StreamId, conversation: Conversation, next_index: u64) {
        self.table.insert(stream, Entry { conversation, next_index, deadline: None });
        self.enter(stream);
        let Some(Entry { conversation, .. }) = self.table.get(&stream) else { return };
        for route in routes_of(conversation) {
            self.routes.insert(route, stream);
        }
        match conversation {
            Conversation::Payment(payment) => {
                if let Some(invoice) = payment.watched {
                    self.invoices.insert((invoice.payment_hash, stream));
                }
            }
            Conversation::Answer(answer) => {
                self.crowd.enter(answer);
                self.arrivals = self.arrivals.max(answer.arrival.saturating_add(1));
            }
            Conversation::Send(send) if send.kind == kinds::KEY_HANDSHAKE => {
                send.recipients.iter().for_each(|key| self.crowd.befriend(*key));
            }
            Conversation::Closes => self.closes = Some(stream),
            Conversation::Receipts => self.receipts = Some(stream),
            Conversation::WalkIn(walkin) => {
                self.invoices.insert((walkin.watched.payment_hash, stream));
                self.walkins = self.walkins.saturating_add(1);
            }
            Conversation::Handshake(_)
            | Conversation::Ask(_)
            | Conversation::Refund(_)
            | Conversation::Send(_)
            | Conversation::Subscription(_) => {}
        }
        self.reindex(stream);
    }

    /// Brings deadline and talkers in line with the state of a conversation.
    fn reindex(&mut self, stream: StreamId) {
        let Some(entry) = self.table.get(&stream) else { return };
        let (deadline, talks) = match &entry.conversation {
            Conversation::Handshake(handshake) => (handshake.expires_at, false),
            Conversation::Ask(ask) => (Some(ask.expires_at), true),
            Conversation::Payment(payment) => (Some(payment.deadline()), payment.unanswered()),
            Conversation::Refund(refund) => {
                let open = refund.unanswered();
                (open.then_some(refund.ask.expires_at), open)
            }
            Conversation::Send(send) => (Some(send.deadline()), send.done_until.is_none()),
            Conversation::Answer(answer) => {
                (Some(answer.expires_at), answer.undelivered().next().is_some())
            }
            Conversation::WalkIn(walkin) => (Some(walkin.watched_until()), false),
            Conversation::Subscription(_) | Conversation::Closes | Conversation::Receipts => {
                (None, false)
            }
        };
        if talks {
            self.talkers.insert(stream);
        } else {
            self.talkers.remove(&stream);
        }
        self.set_deadline(stream, deadline);
    }

    fn set_deadline(&mut self, stream: StreamId, deadline: Option<Timestamp>) {
        let Some(entry) = self.table.get_mut(&stream) else { return };
        if entry.deadline != deadline {
            if let Some(old) = entry.deadline {
                self.deadlines.remove(&(old, stream));
            }
            if let Some(new) = deadline {
                self.deadlines.insert((new, stream));
            }
            entry.deadline = deadline;
        }
    }

    /// What a new conversation does first.
    fn begin(&mut self, stream: StreamId, step: &mut Step) {
        self.resume(stream, step);
        match self.get(stream) {
            Some(Conversation::Ask(ask)) => {
                let outgoing = ask.outgoing(stream, ask.peer.keys());
                step.effects.push(Effect::Publish(outgoing));
            }
            Some(Conversation::Payment(payment)) => {
                let outgoing = payment.outgoing(stream, payment.peer.keys());
                step.effects.push(Effect::Publish(outgoing));
            }
            Some(Conversation::Refund(refund)) => {
                step.changes.push(refund.counted(stream, RefundState::Open));
                let outgoing = refund.ask.outgoing(stream, refund.ask.peer.keys());
                step.effects.push(Effect::Publish(outgoing));
            }
            Some(Conversation::Send(send)) => {
                step.effects.push(Effect::Publish(send.outgoing(stream)));
            }
            _ => {}
        }
    }

    /// What a conversation needs around it while it is open.
    fn resume(&self, stream: StreamId, step: &mut Step) {
        let connect = |peer: &Peer, until| {
            (!peer.relays.is_empty())
                .then(|| Effect::Connect { relays: peer.relays.clone(), until })
        };
        match self.get(stream) {
            Some(Conversation::Ask(ask)) => step.effects.extend(connect(&ask.peer, ask.expires_at)),
            Some(Conversation::Payment(payment)) => {
                step.effects.extend(connect(&payment.peer, payment.expires_at));
                step.effects.extend(payment.watched.map(|invoice| invoice.watch(false)));
            }
            Some(Conversation::WalkIn(walkin)) => step.effects.push(walkin.watched.watch(false)),
            Some(Conversation::Refund(refund)) => match refund.pay_out(stream) {
                Some(pay_out) => step.effects.push(pay_out),
                None => {
                    step.effects.extend(connect(&refund.ask.peer, refund.ask.expires_at));
                }
            },
            Some(Conversation::Send(send)) => match &send.via {
                Via::Peer(relays) | Via::Only(relays) if !relays.is_empty() => {
                    let relays = relays.clone();
                    step.effects.push(Effect::Connect { relays, until: send.expires_at });
                }
                _ => {}
            },
            Some(Conversation::Answer(answer)) if !answer.handled => {
                step.effects.push(Effect::Inbox { stream, open: true });
            }
            _ => {}
        }
    }

    fn save(&self, stream: StreamId, step: &mut Step) {
        step.changes.extend(self.record(stream).map(Change::Put));
    }

    /// An open conversation as it is saved.
    #[must_use]
    pub fn record(&self, stream: StreamId) -> Option<Saved> {
        let entry = self.table.get(&stream)?;
        Some(Saved {
            stream,
            machine: entry.conversation.machine(),
            state: serde_json::to_vec(&entry.conversation)
                .expect("a conversation is made of strings, numbers and lists"),
            next_index: entry.next_index,
        })
    }

    fn append(&mut self, stream: StreamId, event: PortalEvent, step: &mut Step) {
        let Some(entry) = self.table.get_mut(&stream) else { return };
        step.changes.push(Change::Append { stream, index: entry.next_index, event });
        entry.next_index = entry.next_index.saturating_add(1);
    }

    fn end(&mut self, stream: StreamId, step: &mut Step) {
        self.set_deadline(stream, None);
        self.talkers.remove(&stream);
        let Some(entry) = self.table.remove(&stream) else { return };
        for route in routes_of(&entry.conversation) {
            self.routes.remove(route, stream);
        }
        step.changes.push(Change::Remove { stream });
        match entry.conversation {
            Conversation::Payment(payment) => {
                if let Some(invoice) = payment.watched {
                    self.forget_invoice(invoice.payment_hash, stream, step);
                }
            }
            Conversation::WalkIn(walkin) => {
                self.walkins = self.walkins.saturating_sub(1);
                self.forget_invoice(walkin.watched.payment_hash, stream, step);
            }
            Conversation::Answer(answer) => {
                self.crowd.leave(&answer);
                if !answer.handled {
                    step.effects.push(Effect::Inbox { stream, open: false });
                }
            }
            Conversation::Closes => self.closes = None,
            Conversation::Receipts => self.receipts = None,
            Conversation::Handshake(_)
            | Conversation::Ask(_)
            | Conversation::Refund(_)
            | Conversation::Send(_)
            | Conversation::Subscription(_) => {}
        }
        step.effects.push(Effect::Ended(stream));
    }

    /// The wallet is asked no longer, unless something else waits for the same money.
    fn forget_invoice(&mut self, payment_hash: [u8; 32], stream: StreamId, step: &mut Step) {
        self.invoices.remove(&(payment_hash, stream));
        if self.requests_for(payment_hash).is_empty() {
            step.effects.push(Effect::Unwatch { payment_hash });
        }
    }
}

fn routes_of(conversation: &Conversation) -> Vec<Route> {
    match conversation {
        Conversation::Handshake(handshake) => handshake.echoes().map(Route::token).collect(),
        Conversation::Ask(ask) => vec![ask.question.route()],
        Conversation::Refund(refund) => vec![refund.ask.question.route()],
        Conversation::Payment(payment) => vec![payment.route()],
        Conversation::Subscription(subscription) => {
            vec![Route::subscription(&subscription.subscription_id)]
        }
        Conversation::Answer(answer) => {
            vec![Route::inbound(&answer.from, answer.kind, &answer.id)]
        }
        Conversation::Send(_)
        | Conversation::WalkIn(_)
        | Conversation::Closes
        | Conversation::Receipts => Vec::new(),
    }
}

/// Whether an error of a peer's message is ours to count: the first that is not `Unexpected`.
fn better(first: Refusal, second: Refusal) -> Refusal {
    if first == Refusal::Unexpected { second } else { first }
}

#[cfg(test)]
mod tests;
