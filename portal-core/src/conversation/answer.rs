//! The client's side of every request: shown to the person, answered, answered again when asked
//! again (kinds 27000, 28000, 28005, 28008, 29500; and 28007, 29502, which have no answer).
//!
//! ```text
//!   Waiting ──app replies──▶ Answered ──app replies (payments: several)──▶ Answered
//!   Waiting / Answered ──same request again──▶ the replies so far go out again; the person is
//!                                              not asked twice
//!   Waiting / Answered ──relay (re)connected──▶ replies no relay has taken go to it
//!   … ──deadline──▶ (ended)
//! ```
//!
//! A request expires by the clock of its author: what remains at `created_at` counts from now.

use nostr::{EventId, PublicKey};
use serde::{Deserialize, Serialize};

use super::{Outgoing, Via};
use crate::primitives::{StreamId, Timestamp};

/// The most replies to one request: a payment has three at most.
pub const MAX_REPLIES: usize = 8;

/// A request to the person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The key that signed the request; replies go to it.
    pub from: PublicKey,
    /// The main key of that key, when a proof came with the request.
    pub service: PublicKey,
    /// The kind of the request.
    pub kind: u16,
    /// What it is named by: challenge, request id, subscription id or token.
    pub id: String,
    /// The request, JSON.
    pub request: String,
    /// The event that carried it first.
    pub event_id: EventId,
    /// When it came.
    pub received_at: Timestamp,
    /// Its place among all that came: there may be many in a second.
    #[serde(default)]
    pub arrival: u64,
    /// When it ends, by our clock.
    pub expires_at: Timestamp,
    /// What was replied, oldest first.
    #[serde(default)]
    pub replies: Vec<Reply>,
    /// Which of them a relay has taken, one bit each: relays answer in any order, and copies of
    /// one reply are answered more than once.
    #[serde(default)]
    pub delivered: u32,
    /// Whether the app is done with it.
    #[serde(default)]
    pub handled: bool,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Its kind.
    pub kind: u16,
    /// The message, JSON.
    pub message: String,
}

impl Answer {
    /// Whether the kind has no answer, so that it only has to be taken.
    #[must_use]
    pub const fn is_one_way(kind: u16) -> bool {
        matches!(
            kind,
            crate::protocol::kinds::CASHU_DIRECT | crate::protocol::kinds::RECURRING_CLOSE
        )
    }

    /// Whether it may be forgotten at its deadline. What was given without being asked for is kept
    /// until the app has taken it.
    #[must_use]
    pub const fn forgettable(&self) -> bool {
        self.handled || !Self::is_one_way(self.kind)
    }

    /// These replies, by their place, on their way: to our own relays and to those that we share
    /// with services for now, because a service need not reach ours.
    #[must_use]
    pub fn outgoing(
        &self,
        stream: StreamId,
        places: impl IntoIterator<Item = usize>,
    ) -> Vec<Outgoing> {
        let mut mentions = vec![self.service];
        if self.from != self.service {
            mentions.push(self.from);
        }
        places
            .into_iter()
            .filter_map(|place| Some((place, self.replies.get(place)?)))
            .map(|(place, reply)| Outgoing {
                stream,
                part: place,
                kind: reply.kind,
                recipients: vec![self.from],
                mentions: mentions.clone(),
                in_answer_to: None,
                message: reply.message.clone(),
                via: Via::Everywhere,
                track: true,
            })
            .collect()
    }

    /// The places of the replies that no relay has taken yet.
    pub fn undelivered(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.replies.len()).filter(|place| self.delivered & bit(*place) == 0)
    }

    /// A relay has taken the reply at this place. False when that was known.
    pub fn mark_delivered(&mut self, place: usize) -> bool {
        let new = place < self.replies.len() && self.delivered & bit(place) == 0;
        if new {
            self.delivered |= bit(place);
        }
        new
    }
}

/// There are at most [`MAX_REPLIES`], so every place has a bit.
fn bit(place: usize) -> u32 {
    u32::try_from(place).ok().and_then(|place| 1_u32.checked_shl(place)).unwrap_or(0)
}
