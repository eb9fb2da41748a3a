//! What is owed to relays and to the person's app: sending again, delivery, replies.

use super::super::answer::{MAX_REPLIES, Reply};
use super::super::{Outgoing, Via};
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
    ) -> Option<(StreamId, Vec<Outgoing>)> {
        let talkers = match below {
            Some(below) => self.talkers.range(..below),
            None => self.talkers.range(..),
        };
        talkers.rev().find_map(|stream| {
            let stream = *stream;
            let owed = match self.get(stream)? {
                Conversation::Ask(ask) if reaches(&ask.via()) => {
                    vec![ask.outgoing(stream, ask.peer.keys())]
                }
                Conversation::Refund(refund)
                    if refund.unanswered() && reaches(&refund.ask.via()) =>
                {
                    vec![refund.ask.outgoing(stream, refund.ask.peer.keys())]
                }
                Conversation::Payment(payment)
                    if payment.unanswered() && reaches(&payment.via()) =>
                {
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
            };
            Some((stream, owed))
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
        let mut step = Step::default();
        match self.table.get_mut(&stream).map(|entry| &mut entry.conversation) {
            Some(Conversation::Send(send)) => {
                let refusals = send.refused.len();
                if let Some(event) = send.delivered(relay, accepted, reason, now) {
                    self.append(stream, event, &mut step);
                    self.save(stream, &mut step);
                    self.reindex(stream);
                } else if send.refused.len() > refusals {
                    self.save(stream, &mut step);
                }
            }
            Some(Conversation::Answer(answer)) => {
                let new = accepted && answer.mark_delivered(part);
                if new {
                    self.save(stream, &mut step);
                    self.reindex(stream);
                }
            }
            _ => {}
        }
        step
    }

    /// The person's app replies to a request.
    ///
    /// # Errors
    /// [`Refusal::Expired`] when the request is over, [`Refusal::TooMany`] when it was answered
    /// too often.
    pub fn reply(&mut self, stream: StreamId, reply: Reply) -> Result<Step, Refusal> {
        let mut step = Step::default();
        let Some(Conversation::Answer(answer)) =
            self.table.get_mut(&stream).map(|entry| &mut entry.conversation)
        else {
            return Err(Refusal::Expired);
        };
        if answer.replies.len() >= MAX_REPLIES {
            return Err(Refusal::TooMany);
        }
        answer.replies.push(reply);
        self.crowd.befriend(answer.from);
        let latest = answer.replies.len().saturating_sub(1);
        let outgoing = answer.outgoing(stream, [latest]);
        if !answer.handled {
            // Whoever looks at it sees that it was replied to.
            step.effects.push(Effect::Inbox { stream, open: true });
        }
        self.save(stream, &mut step);
        self.reindex(stream);
        step.effects.extend(outgoing.into_iter().map(Effect::Publish));
        Ok(step)
    }

    /// The person's app is done with a request; it is not shown again.
    pub fn handled(&mut self, stream: StreamId) -> Step {
        let mut step = Step::default();
        if let Some(Conversation::Answer(answer)) =
            self.table.get_mut(&stream).map(|entry| &mut entry.conversation)
            && !answer.handled
        {
            answer.handled = true;
            self.save(stream, &mut step);
            step.effects.push(Effect::Inbox { stream, open: false });
        }
        step
    }
}
