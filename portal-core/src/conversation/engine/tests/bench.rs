//! An engine with what a store would keep of it, checked after every step.

use std::collections::{BTreeMap, HashSet};

use nostr::{EventId, PublicKey};
use serde::Serialize;

use super::super::{Engine, Limits, Role, Route, routes_of};
use crate::conversation::ask::{Ask, Question};
use crate::conversation::payment::{Payer, Payment, WatchedInvoice};
use crate::conversation::refund::RefundState;
use crate::conversation::{Change, Conversation, Effect, Outgoing, Peer, Saved, Step};
use crate::event::PortalEvent;
use crate::identity::{LocalKey, subkey};
use crate::primitives::{Millisats, RequestId, StreamId, Timestamp};
use crate::protocol::envelope::{Opened, Refusal};
use crate::protocol::subkey::{SubkeyMetadata, SubkeyPermission};

pub const START: u64 = 1_700_000_000;

pub const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(START + seconds)
}

pub fn key(number: u8) -> LocalKey {
    LocalKey::from_secret_bytes(&[number; 32]).expect("a key")
}

pub fn public(number: u8) -> PublicKey {
    key(number).public_key()
}

/// A subkey of `main`, valid for a day.
pub fn derived(main: &LocalKey, nonce: u8, permissions: &[SubkeyPermission]) -> LocalKey {
    let metadata = SubkeyMetadata {
        name: "phone".to_owned(),
        nonce: [nonce; 32],
        valid_from: at(0),
        expires_at: at(86_400),
        permissions: permissions.to_vec(),
        version: 2,
    };
    subkey::derive(main, metadata).expect("derivable")
}

pub fn stream(number: u128) -> StreamId {
    StreamId::from_uuid(uuid::Uuid::from_u128(number))
}

pub fn ask(peer: PublicKey, question: Question) -> Conversation {
    let message = format!("{{\"request\":\"{:?}\"}}", question.kind());
    Conversation::Ask(Box::new(Ask {
        peer: Peer::new(peer),
        question,
        message: message.into(),
        expires_at: at(300),
    }))
}

pub fn login(peer: PublicKey) -> Conversation {
    ask(peer, Question::Login { challenge: "challenge".into() })
}

pub fn payment(peer: PublicKey, request_id: &str, hash: Option<u8>) -> Conversation {
    Conversation::Payment(Box::new(Payment {
        peer: Peer::new(peer),
        request_id: RequestId::new(request_id),
        message: "{\"pay\":1}".into(),
        watched: hash.map(|byte| WatchedInvoice {
            payment_hash: [byte; 32],
            made_at: at(0),
            payable_until: at(300),
        }),
        expires_at: at(300),
        payer: Payer::Asked,
        over: false,
    }))
}

pub const MSATS: Millisats = Millisats::new(5000);

/// What a step did, as a store and the world would see it.
#[derive(Debug, Default)]
pub struct Seen {
    pub events: Vec<(StreamId, PortalEvent)>,
    pub published: Vec<Outgoing>,
    pub ignored: Vec<Refusal>,
    pub learned: Vec<Peer>,
    /// Requests whose money has come.
    pub received: Vec<(StreamId, Millisats)>,
    /// What became of refunds.
    pub refunds: Vec<RefundState>,
    pub effects: Vec<Effect>,
}

impl Seen {
    /// The only event.
    pub fn event(self) -> PortalEvent {
        assert_eq!(self.events.len(), 1, "{:?}", self.events);
        self.events.into_iter().next().expect("counted").1
    }

    pub fn is_nothing(&self) -> bool {
        self.events.is_empty() && self.effects.is_empty() && self.published.is_empty()
    }

    pub fn refused(self) -> Refusal {
        assert!(self.events.is_empty() && self.published.is_empty(), "{self:?}");
        assert_eq!(self.ignored.len(), 1, "{:?}", self.ignored);
        self.ignored[0]
    }
}

/// An engine beside what is durable of it.
pub struct Bench {
    pub engine: Engine,
    role: Role,
    limits: Limits,
    pub records: BTreeMap<StreamId, (Vec<u8>, u64)>,
    pub log: BTreeMap<StreamId, Vec<PortalEvent>>,
    pub ended: HashSet<StreamId>,
    events_made: u64,
}

impl Bench {
    pub fn service() -> Self {
        Self::new(Role::Service, Limits::default())
    }

    pub fn client() -> Self {
        Self::new(Role::Client, Limits::default())
    }

    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            engine: Engine::new(role, limits),
            role,
            limits,
            records: BTreeMap::new(),
            log: BTreeMap::new(),
            ended: HashSet::new(),
            events_made: 0,
        }
    }

    pub fn open(&mut self, stream: StreamId, conversation: Conversation) -> Seen {
        let step = self.engine.open(stream, conversation);
        self.apply(step)
    }

    /// Saves the changes as a store does, and checks what must always hold.
    pub fn apply(&mut self, step: Step) -> Seen {
        let mut seen = Seen::default();
        for change in step.changes {
            match change {
                Change::Put(Saved { stream, state, next_index, .. }) => {
                    // A request that is repeated after its end has the stream of its event again;
                    // the driver knows the event.
                    let came_back = self.ended.remove(&stream);
                    assert!(!came_back || self.role == Role::Client, "a stream came back");
                    self.records.insert(stream, (state, next_index));
                }
                Change::Remove { stream } => {
                    assert!(self.records.remove(&stream).is_some(), "removed, never saved");
                }
                Change::Append { stream, index, event } => {
                    let log = self.log.entry(stream).or_default();
                    assert!(!log.last().is_some_and(PortalEvent::is_final), "after the last event");
                    assert_eq!(index, u64::try_from(log.len()).expect("few"), "a gap");
                    log.push(event.clone());
                    seen.events.push((stream, event));
                }
                Change::Received { stream, amount, .. } => seen.received.push((stream, amount)),
                Change::Refund { state, .. } => seen.refunds.push(state),
                Change::Learn(peer) => seen.learned.push(peer),
            }
        }
        for effect in step.effects {
            match &effect {
                Effect::Publish(outgoing) => seen.published.push(outgoing.clone()),
                Effect::Ignored(refusal) => seen.ignored.push(*refusal),
                Effect::Ended(stream) => assert!(self.ended.insert(*stream), "ended twice"),
                _ => {}
            }
            seen.effects.push(effect);
        }
        self.check();
        seen
    }

    /// Everything that is owed to a relay of our own, newest first.
    pub fn owed(&self) -> Vec<Outgoing> {
        let mut all = Vec::new();
        let mut below = None;
        while let Some((stream, messages)) = self.engine.owed(below, false, |_| true) {
            assert!(below.is_none_or(|below| stream < below), "it goes on");
            below = Some(stream);
            all.extend(messages.expect("no fault"));
        }
        all
    }

    /// The same conversations as a new process reads them.
    pub fn restart(&mut self) -> Seen {
        self.engine = Engine::new(self.role, self.limits);
        let mut seen = Seen::default();
        for (stream, (state, next_index)) in self.records.clone() {
            let conversation = serde_json::from_slice(&state).expect("what we wrote reads");
            let step = self.engine.restore(stream, conversation, next_index);
            assert!(step.changes.is_empty(), "reading changes nothing");
            seen.effects.extend(step.effects);
        }
        self.check();
        seen
    }

    pub fn tick(&mut self, now: Timestamp) -> Seen {
        let step = self.engine.tick(now, 1000);
        self.apply(step)
    }

    pub fn receive(&mut self, opened: &Opened, now: Timestamp) -> Seen {
        let step = self.engine.receive(opened, now);
        self.apply(step)
    }

    /// A message that `author` makes and we receive in the same second.
    pub fn message(
        &mut self,
        author: &LocalKey,
        kind: u16,
        message: &impl Serialize,
        now: Timestamp,
    ) -> Seen {
        let opened = self.opened(author, kind, message, now);
        self.receive(&opened, now)
    }

    pub fn opened(
        &mut self,
        author: &LocalKey,
        kind: u16,
        message: &impl Serialize,
        created_at: Timestamp,
    ) -> Opened {
        self.events_made += 1;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.events_made.to_be_bytes());
        Opened {
            id: EventId::from_byte_array(id),
            author: author.public_key(),
            kind,
            created_at,
            in_answer_to: None,
            plaintext: serde_json::to_vec(message).expect("a message"),
        }
    }

    pub fn proof(&mut self, stream: StreamId, subkey: &LocalKey, now: Timestamp) -> Seen {
        let proof = subkey.proof().expect("a subkey").clone();
        let step = self.engine.receive_proof(stream, subkey.public_key(), &proof, now);
        self.apply(step)
    }

    /// The table, its indices and what was saved agree.
    pub fn check(&self) {
        let engine = &self.engine;
        let mut routes = 0;
        let mut deadlines = 0;
        let mut inbound = 0;
        let mut walkins = 0;
        for (stream, entry) in engine.table.iter() {
            let (state, next_index) = self.records.get(stream).expect("saved");
            let saved: Conversation = serde_json::from_slice(state).expect("reads");
            assert_eq!(saved, entry.conversation, "what was saved is what is");
            let logged = self.log.get(stream).map_or(0, Vec::len);
            assert_eq!(*next_index, entry.next_index);
            assert_eq!(*next_index, u64::try_from(logged).expect("few"));
            for route in routes_of(&entry.conversation) {
                assert!(engine.routes.find(route).contains(stream), "no route");
                routes += 1;
            }
            if let Some(deadline) = entry.deadline {
                assert!(engine.deadlines.contains(&(deadline, *stream)), "no deadline");
                deadlines += 1;
            }
            let talks = match &entry.conversation {
                Conversation::Ask(_) => true,
                Conversation::Refund(refund) => refund.unanswered(),
                Conversation::Send(send) => send.done_until.is_none(),
                Conversation::Payment(payment) => payment.unanswered(),
                Conversation::Answer(answer) => {
                    inbound += 1;
                    answer.undelivered().next().is_some()
                }
                _ => false,
            };
            assert_eq!(engine.talkers.contains(stream), talks, "{:?}", entry.conversation);
            if let Conversation::Payment(payment) = &entry.conversation
                && let Some(invoice) = payment.watched
            {
                assert!(engine.invoices.contains(&(invoice.payment_hash, *stream)));
            }
            if let Conversation::WalkIn(walkin) = &entry.conversation {
                walkins += 1;
                assert!(engine.invoices.contains(&(walkin.watched.payment_hash, *stream)));
            }
            let waits_for_ever = matches!(
                &entry.conversation,
                Conversation::Subscription(_) | Conversation::Closes | Conversation::Receipts
            ) || matches!(&entry.conversation, Conversation::Refund(refund) if !refund.unanswered())
                || matches!(&entry.conversation, Conversation::Handshake(handshake) if handshake.is_static());
            assert_eq!(entry.deadline.is_none(), waits_for_ever, "stuck: {:?}", entry.conversation);
        }
        assert_eq!(engine.table.len(), self.records.len(), "saved and not open");
        assert_eq!(engine.deadlines.len(), deadlines);
        assert!(engine.routes.len() <= routes, "routes that lead nowhere");
        assert!(engine.talkers.iter().all(|stream| engine.table.contains_key(stream)));
        assert!(engine.invoices.iter().all(|(_, stream)| engine.table.contains_key(stream)));
        engine.crowd.check(inbound);
        assert_eq!(engine.walkins, walkins);
        if let Some(closes) = engine.closes {
            assert!(engine.table.contains_key(&closes));
        }
        assert!(engine.routes.find(Route::token("a token that nobody has")).is_empty());
    }
}
