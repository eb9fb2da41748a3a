//! From a relay's frame to an opened message: the cheap checks first, each refusal counted.
//!
//! Runs on the relays' reader tasks. Nothing here waits; the signature of an event is checked once
//! however many relays bring it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nostr::{EventId, PublicKey};
use tokio::sync::mpsc::UnboundedSender;

use super::counters::Counters;
use super::keys::ConversationKeys;
use super::machine_loop::Job;
use super::queries::Queries;
use super::seen::Seen;
use super::sent::Sent;
use crate::conversation::Role;
use crate::env::Env;
use crate::identity::LocalKey;
use crate::protocol::envelope::{Header, Incoming, Refusal, Verified, peek_id, sign};
use crate::protocol::kinds;
use crate::protocol::subkey::SubkeyProof;
use crate::relay::{RelayAddress, RelaySink};

/// How far `created_at` may be from our clock.
pub const FRESHNESS: Duration = Duration::from_secs(600);

/// Answers of a relay to an event that someone waits for.
pub type Acceptance = (RelayAddress, bool, String);

/// The driver's ear.
pub struct Inbox {
    pub(super) env: Env,
    pub(super) local: LocalKey,
    pub(super) role: Role,
    pub(super) keys: Arc<ConversationKeys>,
    pub(super) sent: Arc<Sent>,
    pub(super) counters: Arc<Counters>,
    pub(super) queries: Arc<Queries>,
    pub(super) jobs: UnboundedSender<Job>,
    pub(super) seen: Seen,
    pub(super) waiters: Arc<Mutex<HashMap<EventId, UnboundedSender<Acceptance>>>>,
}

impl Inbox {
    fn handle(&self, frame: &str) -> Result<(), Refusal> {
        if peek_id(frame).is_some_and(|id| self.seen.contains(&id)) {
            return Err(Refusal::Duplicate);
        }
        let incoming = Incoming::parse(frame)?;
        if incoming.kind() == kinds::PROFILE {
            let subscription = incoming.subscription.clone();
            return self.queries.offer(&subscription, incoming);
        }
        let wanted = match self.role {
            Role::Service => kinds::FOR_SERVICE,
            Role::Client => kinds::FOR_CLIENT,
        };
        let kind = incoming.kind();
        if kind != kinds::SUBKEY_PROOF && !wanted.contains(&kind) {
            return Err(Refusal::WrongKind);
        }
        let own = self.local.public_key();
        let names_us = incoming.is_addressed_to(&own);
        let names_main = self.local.is_subkey() && incoming.is_addressed_to(&self.local.main_key());
        if !names_us && !names_main {
            return Err(Refusal::NotAddressed);
        }
        let now = self.env.now();
        if incoming.created_at().distance(now) > FRESHNESS {
            return Err(Refusal::Stale);
        }
        let verified = {
            let id = *incoming.id();
            let mut seen = self.seen.lock(&id);
            if seen.contains(&id) {
                return Err(Refusal::Duplicate);
            }
            let parsed = self.keys.parsed(&incoming.author());
            let verified = incoming.verify_by(parsed)?;
            seen.insert(&id, now);
            verified
        };
        self.open(verified, names_us)
    }

    fn open(&self, verified: Verified, names_us: bool) -> Result<(), Refusal> {
        let author = verified.author();
        if author == self.local.public_key() {
            return Err(Refusal::WrongAuthor);
        }
        let event_id = verified.id();
        let kind = verified.kind();
        let key = self.keys.with_parsed(&author, verified.parsed_author());
        let opened = match verified.open(&key) {
            Ok(opened) => opened,
            Err(refusal) => {
                // Meant for our main key by someone who does not know this subkey yet.
                if !names_us && kind != kinds::SUBKEY_PROOF && self.local.proof().is_some() {
                    self.send(Job::Undecryptable { author, event_id });
                }
                return Err(refusal);
            }
        };
        let job = if kind == kinds::SUBKEY_PROOF {
            let proof: SubkeyProof = opened.message()?;
            let stream = opened
                .in_answer_to
                .and_then(|id| self.sent.stream(&id))
                .ok_or(Refusal::Unexpected)?;
            Job::Proof { stream, author, proof }
        } else {
            Job::Received(opened)
        };
        self.counters.accept();
        self.send(job);
        Ok(())
    }

    /// The loop only goes away when the node stops; what comes then is nobody's any more.
    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::debug!("an event came after the end");
        }
    }
}

impl RelaySink for Inbox {
    fn event(&self, relay: &RelayAddress, frame: &str) {
        if let Err(refusal) = self.handle(frame) {
            self.counters.refuse(refusal);
            if refusal != Refusal::Duplicate {
                tracing::debug!(%relay, %refusal, "ignored an event");
            }
        }
    }

    fn connected(&self, relay: &RelayAddress, first: bool) {
        self.send(Job::RelayConnected { relay: relay.clone(), first });
    }

    fn disconnected(&self, relay: &RelayAddress) {
        self.queries.relay_gone(relay);
    }

    fn accepted(&self, relay: &RelayAddress, event_id: EventId, accepted: bool, message: &str) {
        let waiter =
            self.waiters.lock().unwrap_or_else(PoisonError::into_inner).get(&event_id).cloned();
        if let Some(waiter) = waiter {
            // Whoever waited may have what they need.
            drop(waiter.send((relay.clone(), accepted, message.to_owned())));
        }
        if let Some((stream, part)) = self.sent.answered(&event_id, accepted) {
            let relay = relay.to_string();
            let reason = message.to_owned();
            self.send(Job::Delivered { stream, part, relay, accepted, reason });
        }
    }

    fn query_ended(&self, relay: &RelayAddress, id: &str) {
        self.queries.ended(relay, id);
    }

    fn authenticate(&self, relay: &RelayAddress, challenge: &str) -> Option<(EventId, String)> {
        if challenge.is_empty() || challenge.len() > 512 {
            return None;
        }
        let to: &[PublicKey] = &[];
        let header =
            Header { kind: kinds::RELAY_AUTH, created_at: self.env.now(), to, in_answer_to: None };
        let tags = [
            vec!["relay".to_owned(), relay.to_string()],
            vec!["challenge".to_owned(), challenge.to_owned()],
        ];
        let sealed = sign(&self.env, &self.local, header, "", "AUTH", &tags);
        Some((sealed.id, sealed.frame.to_string()))
    }
}
