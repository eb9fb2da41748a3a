//! What is owed to relays and to the person's app: sending again, delivery, replies.

use super::super::answer::{MAX_REPLIES, Reply};
use super::super::{Outgoing, Via};
use super::fault::{Fault, guarded};
use super::{Conversation, Effect, Engine, Refusal, Step};
use crate::primitives::{StreamId, Timestamp};

impl Engine {
    /// What the newest conversation below this stream (the newest of all for `None`) still owes to
    /// a relay that is connected and has our subscriptions, with its stream, to go on from. One at
    /// a time: there may be many, and each may have been answered before its turn comes.
    ///
    /// `reaches` says which messages go to this relay. With `asks_only` what awaits no answer is
    /// left out.
    #[must_use]
    pub fn owed(
        &self,
        below: Option<StreamId>,
        asks_only: bool,
        reaches: impl Fn(&Via) -> bool,
    ) -> Option<(StreamId, Result<Vec<Outgoing>, Fault>)> {
        let talkers = match below {
            Some(below) => self.talkers.range(..below),
            None => self.talkers.range(..),
        };
        talkers.rev().find_map(|stream| {
            let owed = guarded(|| self.owed_of(*stream, asks_only, &reaches));
            owed.transpose().map(|owed| (*stream, owed))
        })
    }

    fn owed_of(
        &self,
        stream: StreamId,
        asks_only: bool,
        reaches: impl Fn(&Via) -> bool,
    ) -> Option<Vec<Outgoing>> {
        #[cfg(any(test, feature = "testing"))]
        assert!(
            self.poisoned.get(&stream).is_none_or(|left| *left == 0),
            "on purpose: a fault in a conversation"
        );
        Some(match self.get(stream)? {
            Conversation::Ask(ask) if reaches(&ask.via()) => {
                vec![ask.outgoing(stream, ask.peer.keys())]
            }
            Conversation::Refund(refund) if refund.unanswered() && reaches(&refund.ask.via()) => {
                vec![refund.ask.outgoing(stream, refund.ask.peer.keys())]
            }
            Conversation::Payment(payment) if payment.unanswered() && reaches(&payment.via()) => {
                vec![payment.outgoing(stream, payment.peer.keys())]
            }
            Conversation::Send(send)
                if !asks_only && send.done_until.is_none() && reaches(&send.via) =>
            {
                vec![send.outgoing(stream)]
            }
            Conversation::Answer(answer) if !asks_only && reaches(&Via::Everywhere) => {
                answer.outgoing(stream, answer.undelivered())
            }
            _ => return None,
        })
    }

    /// A relay answered a message that was tracked, for the first time with this answer.
    pub fn delivered(
        &mut self,
        stream: StreamId,
        part: usize,
        relay: &str,
        accepted: bool,
        reason: &str,
        now: Timestamp,
    ) -> Step {
        self.step(|engine, step| {
            engine.enter(stream);
            match engine.table.get_mut(&stream).map(|entry| &mut entry.conversation) {
                Some(Conversation::Send(send)) => {
                    let refusals = send.refused.len();
                    if let Some(event) = send.delivered(relay, accepted, reason, now) {
                        engine.append(stream, event, step);
                        engine.save(stream, step);
                        engine.reindex(stream);
                    } else if send.refused.len() > refusals {
                        engine.save(stream, step);
                    }
                }
                Some(Conversation::Answer(answer)) => {
                    let new = accepted && answer.mark_delivered(part);
                    if new {
                        engine.save(stream, step);
                        engine.reindex(stream);
                    }
                }
                _ => {}
            }
        })
    }

    /// The person's app replies to a request.
    ///
    /// # Errors
    /// [`Refusal::Expired`] when the request is over, [`Refusal::TooMany`] when it was answered
    /// too often.
    pub fn reply(&mut self, stream: StreamId, reply: Reply) -> Result<Step, Refusal> {
        match self.get(stream) {
            Some(Conversation::Answer(answer)) if answer.replies.len() < MAX_REPLIES => {}
            Some(Conversation::Answer(_)) => return Err(Refusal::TooMany),
            _ => return Err(Refusal::Expired),
        }
        Ok(self.step(|engine, step| {
            engine.enter(stream);
            let Some(Conversation::Answer(answer)) =
                engine.table.get_mut(&stream).map(|entry| &mut entry.conversation)
            else {
                return;
            };
            answer.replies.push(reply);
            engine.crowd.befriend(answer.from);
            let latest = answer.replies.len().saturating_sub(1);
            let outgoing = answer.outgoing(stream, [latest]);
            if !answer.handled {
                // Whoever looks at it sees that it was replied to.
                step.effects.push(Effect::Inbox { stream, open: true });
            }
            engine.save(stream, step);
            engine.reindex(stream);
            step.effects.extend(outgoing.into_iter().map(Effect::Publish));
        }))
    }

    /// The person's app is done with a request; it is not shown again.
    pub fn handled(&mut self, stream: StreamId) -> Step {
        self.step(|engine, step| {
            engine.enter(stream);
            if let Some(Conversation::Answer(answer)) =
                engine.table.get_mut(&stream).map(|entry| &mut entry.conversation)
                && !answer.handled
            {
                answer.handled = true;
                engine.save(stream, step);
                step.effects.push(Effect::Inbox { stream, open: false });
            }
        })
    }
}
