//! Carries out what the machines decided, once it is durable: seals, publishes, connects, tells
//! listeners.
//!
//! One task, in the order of the steps. Sending again to a relay that came back is a second queue
//! that gives way to everything new.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::claims::ClaimGuard;
use super::counters::Counters;
use super::error::NodeError;
use super::hub::Hub;
use super::keys::ConversationKeys;
use super::options::InboxListener;
use super::payouts::Payout;
use super::recent::Recent;
use super::sent::Sent;
use super::tasks::Tasks;
use super::watch::WatchCommand;
use crate::conversation::answer::Answer;
use crate::conversation::{Effect, Outgoing, Via};
use crate::env::Env;
use crate::event::StreamEvent;
use crate::identity::LocalKey;
use crate::primitives::{StreamId, Timestamp};
use crate::protocol::envelope::{Header, seal};
use crate::relay::{AddressPolicy, Publication, RelayAddress, RelayPool, Targets};

/// What to do after a step became durable.
#[derive(Default)]
pub struct Work {
    /// Its place among what had to be saved first. A batch that fails is written later than those
    /// behind it; what it leads to still comes before what they lead to.
    pub order: Option<u64>,
    /// The idempotency key of what was opened, held until it is saved.
    pub claim: Option<ClaimGuard>,
    /// Events of other streams that were saved with it: heard before whoever opened the
    /// conversation goes on, so that they stay in order.
    pub beside: Vec<Arc<StreamEvent>>,
    /// Whoever opened the conversation hears of it first.
    pub opened: Option<oneshot::Sender<Result<(), NodeError>>>,
    /// Events for listeners.
    pub events: Vec<Arc<StreamEvent>>,
    /// Everything else.
    pub effects: Vec<Effect>,
    /// Requests to show (`Some`) or to withdraw.
    pub inbox: Vec<(StreamId, Option<Answer>)>,
}

impl Work {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.order.is_none()
            && self.opened.is_none()
            && self.events.is_empty()
            && self.effects.is_empty()
            && self.inbox.is_empty()
    }
}

/// What one conversation owes to a relay that came back.
pub struct Owed {
    /// The relay.
    pub relay: RelayAddress,
    /// The messages.
    pub messages: Vec<Outgoing>,
}

/// Carries out effects.
pub struct Effects {
    pub(super) env: Env,
    pub(super) local: LocalKey,
    pub(super) keys: Arc<ConversationKeys>,
    pub(super) sent: Arc<Sent>,
    pub(super) hub: Arc<Hub>,
    pub(super) counters: Arc<Counters>,
    pub(super) pool: Arc<dyn RelayPool>,
    pub(super) policy: AddressPolicy,
    pub(super) watch: Option<mpsc::UnboundedSender<WatchCommand>>,
    pub(super) payouts: Option<mpsc::UnboundedSender<Payout>>,
    pub(super) inbox: Option<Arc<dyn InboxListener>>,
    pub(super) addresses: Recent<String, Option<RelayAddress>>,
    /// Whether the policy allows an address that a stranger named: it says the same every time.
    pub(super) allowed: Recent<RelayAddress, bool>,
    pub(super) turns: Turns,
}

/// Brings work into the order of its steps. Nothing is ever held but behind a batch that failed
/// and is tried again.
#[derive(Default)]
pub struct Turns {
    next: u64,
    early: BTreeMap<u64, Work>,
}

impl Turns {
    /// The work that can be done now that this is ready, in order.
    fn ready(&mut self, work: Work) -> Vec<Work> {
        match work.order {
            None => return vec![work],
            Some(order) if order == self.next => {}
            Some(order) => {
                self.early.insert(order, work);
                return Vec::new();
            }
        }
        let mut ready = vec![work];
        self.next = self.next.saturating_add(1);
        while let Some(work) = self.early.remove(&self.next) {
            ready.push(work);
            self.next = self.next.saturating_add(1);
        }
        ready
    }
}

impl Effects {
    /// Works until both queues are closed or the node stops.
    pub async fn run(
        mut self,
        mut work: mpsc::UnboundedReceiver<Work>,
        mut again: mpsc::Receiver<Owed>,
        tasks: Tasks,
    ) {
        loop {
            tokio::select! {
                biased;
                next = work.recv() => match next {
                    Some(next) => self.in_turn(next),
                    None => return,
                },
                () = tasks.stopping() => {
                    // What is durable is told before the end.
                    while let Ok(next) = work.try_recv() {
                        self.in_turn(next);
                    }
                    return;
                }
                Some(Owed { relay, messages }) = again.recv() => {
                    let only = Targets::Only([relay].into());
                    for outgoing in &messages {
                        self.publish_to(outgoing, &only);
                    }
                }
            }
        }
    }

    fn in_turn(&mut self, work: Work) {
        for work in self.turns.ready(work) {
            self.carry_out(work);
        }
    }

    fn carry_out(&mut self, work: Work) {
        drop(work.claim);
        // Whoever marked a request as handled is told when it is no longer shown.
        if let Some(listener) = &self.inbox {
            for (stream, answer) in work.inbox {
                listener.changed(stream, answer);
            }
        }
        self.hub.deliver_all(&work.beside);
        if let Some(opened) = work.opened {
            // The caller may have gone; the conversation is open all the same.
            drop(opened.send(Ok(())));
        }
        for event in &work.events {
            self.hub.deliver(event);
        }
        for effect in work.effects {
            self.one(effect);
        }
    }

    fn one(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(outgoing) => self.publish(&outgoing),
            Effect::Connect { relays, until } => self.connect(&relays, until),
            Effect::Watch { payment_hash, since, now } => {
                self.tell_watch(WatchCommand::Watch { payment_hash, since, now });
            }
            Effect::Unwatch { payment_hash } => {
                self.tell_watch(WatchCommand::Unwatch { payment_hash });
            }
            Effect::PayOut { stream, invoice } => {
                if let Some(payouts) = &self.payouts {
                    // They end only with the node.
                    drop(payouts.send(Payout { stream, invoice }));
                }
            }
            Effect::Ended(stream) => self.hub.ended(stream),
            Effect::Ignored(reason) => self.counters.refuse(reason),
            Effect::Fault(stream) => {
                let stream = stream.map(|stream| stream.to_string());
                tracing::error!(stream, "a conversation has failed; the others go on");
                self.counters.fault();
            }
            // The loop turned these into entries of `Work::inbox`, with the request itself.
            Effect::Inbox { .. } => {}
        }
    }

    fn tell_watch(&self, command: WatchCommand) {
        if let Some(watch) = &self.watch {
            // The watch ends only with the node.
            drop(watch.send(command));
        }
    }

    fn connect(&mut self, relays: &[String], until: Timestamp) {
        let duration = until.saturating_since(self.env.now());
        if duration.is_zero() {
            return;
        }
        for address in self.addresses_of(relays) {
            if !self.allows(&address) {
                tracing::debug!("a relay that someone named is not public");
                continue;
            }
            if let Err(refused) = self.pool.lease(address, duration) {
                tracing::warn!(%refused, "a relay that someone named is not used");
            }
        }
    }

    fn allows(&mut self, address: &RelayAddress) -> bool {
        if let Some(known) = self.allowed.get(address) {
            return known;
        }
        let allowed = self.policy.allows(address).is_ok();
        self.allowed.insert(address.clone(), allowed);
        allowed
    }

    fn addresses_of(&mut self, relays: &[String]) -> Vec<RelayAddress> {
        relays
            .iter()
            .filter_map(|text| match self.addresses.get(text) {
                Some(known) => known,
                None => {
                    let parsed = RelayAddress::parse(text).ok();
                    self.addresses.insert(text.clone(), parsed.clone());
                    parsed
                }
            })
            .collect()
    }

    fn targets(&mut self, via: &Via) -> Targets {
        match via {
            Via::Peer(relays) => Targets::OwnAnd(self.addresses_of(relays).into()),
            Via::Only(relays) => Targets::Only(self.addresses_of(relays).into()),
            Via::Everywhere => Targets::All,
        }
    }

    fn publish(&mut self, outgoing: &Outgoing) {
        let to = self.targets(&outgoing.via);
        self.publish_to(outgoing, &to);
    }

    fn publish_to(&mut self, outgoing: &Outgoing, to: &Targets) {
        for recipient in &outgoing.recipients {
            let Some(key) = self.keys.with(recipient) else {
                tracing::warn!("a recipient's key is not a point of the curve");
                continue;
            };
            let header = Header {
                kind: outgoing.kind,
                created_at: self.env.now(),
                to: &outgoing.mentions,
                in_answer_to: outgoing.in_answer_to,
            };
            match seal(&self.env, &self.local, &key, header, outgoing.message.as_bytes()) {
                Ok(sealed) => {
                    self.sent.insert(sealed.id, outgoing.stream, outgoing.part, outgoing.track);
                    self.pool.publish(Publication {
                        event_id: sealed.id,
                        frame: sealed.frame,
                        to: to.clone(),
                        track: outgoing.track,
                    });
                }
                // Every message was measured when its conversation was opened.
                Err(error) => {
                    tracing::error!(%error, kind = outgoing.kind, "cannot seal a message")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(order: Option<u64>) -> Work {
        Work { order, ..Work::default() }
    }

    #[test]
    fn work_behind_a_batch_that_is_tried_again_waits_its_turn() {
        let mut turns = Turns::default();
        let mut done = |order| -> Vec<Option<u64>> {
            turns.ready(work(order)).iter().map(|work| work.order).collect()
        };
        assert_eq!(done(Some(0)), [Some(0)]);
        assert_eq!(done(Some(2)), [], "the one before it failed");
        assert_eq!(done(None), [None], "what needed no saving does not wait");
        assert_eq!(done(Some(4)), []);
        assert_eq!(done(Some(1)), [Some(1), Some(2)]);
        assert_eq!(done(Some(3)), [Some(3), Some(4)]);
        assert_eq!(done(Some(5)), [Some(5)]);
    }
}
