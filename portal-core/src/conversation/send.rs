//! A message without an answer: the close of a subscription, a ticket, a handshake, a reply.
//!
//! ```text
//!   Sent ──a relay accepts──▶ Done (delivered) ──5 min──▶ (ended)
//!   Done ──a subkey of the recipient proves itself──▶ Done, a copy goes to it
//!   Sent ──10 s──▶ refused by all who spoke? ──▶ (ended, refused)
//!                  nobody spoke? ──▶ Queued ──a relay accepts──▶ Done (delivered)
//!   … ──deadline──▶ (ended, `not_delivered`)
//!   … ──relay (re)connected──▶ goes to that relay
//! ```

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use super::peer::{Learned, Peer};
use super::{Outgoing, Via};
use crate::event::PortalEvent;
use crate::primitives::{ErrorCode, StreamId, Timestamp};
use crate::protocol::envelope::Refusal;
use crate::protocol::subkey::{SubkeyPermission, SubkeyProof};

/// How long relays may take before the sender is told that the message is queued.
pub const PATIENCE_SECS: u64 = 10;
/// How long after a relay took it a subkey of the recipient may still say that it cannot read it.
const AFTERWARDS_SECS: u64 = 300;

/// A message that must reach a relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Send {
    /// Its kind.
    pub kind: u16,
    /// Who it is for, one copy each.
    pub recipients: Vec<PublicKey>,
    /// The message, JSON.
    pub message: String,
    /// Where to.
    pub via: Via,
    /// Since when.
    pub sent_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// Relays that refused it, with their reason.
    #[serde(default)]
    pub refused: Vec<(String, String)>,
    /// Whether the sender was told that it is queued.
    #[serde(default)]
    pub queued: bool,
    /// Set when a relay has it and the sender knows: until then it stays, for a subkey of the
    /// recipient that cannot read it.
    #[serde(default)]
    pub done_until: Option<Timestamp>,
}

impl Send {
    /// When time changes something.
    #[must_use]
    pub const fn deadline(&self) -> Timestamp {
        if let Some(until) = self.done_until {
            until
        } else if self.queued {
            self.expires_at
        } else {
            Timestamp::from_secs(self.sent_at.as_secs().saturating_add(PATIENCE_SECS))
        }
    }

    /// A relay answered. `Some` is the last event of the stream.
    pub fn delivered(
        &mut self,
        relay: &str,
        accepted: bool,
        reason: &str,
        now: Timestamp,
    ) -> Option<PortalEvent> {
        if self.done_until.is_some() {
            return None;
        }
        if accepted {
            self.done_until =
                Some(Timestamp::from_secs(now.as_secs().saturating_add(AFTERWARDS_SECS)));
            return Some(PortalEvent::Delivery {
                delivered: vec![relay.to_owned()],
                refused: std::mem::take(&mut self.refused),
                queued: false,
            });
        }
        if self.refused.len() < 32 && !self.refused.iter().any(|(known, _)| known == relay) {
            self.refused.push((relay.to_owned(), reason.chars().take(200).collect()));
        }
        None
    }

    /// Time passed: the event to append, and whether it is the last.
    pub fn tick(&mut self, now: Timestamp) -> Option<(PortalEvent, bool)> {
        if self.queued && self.expires_at <= now {
            let reason = "no relay took the message in time".to_owned();
            return Some((PortalEvent::Error { code: ErrorCode::NotDelivered, reason }, true));
        }
        if !self.queued && self.deadline() <= now {
            let refused = self.refused.clone();
            let over = !refused.is_empty();
            self.queued = !over;
            let event = PortalEvent::Delivery { delivered: Vec::new(), refused, queued: !over };
            return Some((event, over));
        }
        None
    }

    /// A key says that it belongs to whoever this is for: it gets a copy of its own, also when
    /// the first copies were delivered, for the person reads with that key.
    ///
    /// # Errors
    /// [`Refusal::BadProof`] when it does not hold, says nothing new or is about somebody else.
    pub fn learn(
        &mut self,
        author: PublicKey,
        proof: &SubkeyProof,
        now: Timestamp,
    ) -> Result<(Vec<PublicKey>, Peer), Refusal> {
        let (main_key, subkeys) = self.recipients.split_first().ok_or(Refusal::Unexpected)?;
        let mut peer = Peer::new(*main_key).with_subkeys(subkeys.iter().copied());
        match peer.learn(author, proof, now, SubkeyPermission::Payment) {
            Some(Learned::Subkey(key) | Learned::MainKey(key)) => {
                self.recipients = peer.keys();
                Ok((vec![key], peer))
            }
            None => Err(Refusal::BadProof),
        }
    }

    /// The message on its way to all of whom it is for.
    #[must_use]
    pub fn outgoing(&self, stream: StreamId) -> Outgoing {
        self.outgoing_to(stream, self.recipients.clone())
    }

    /// The message on its way to some.
    #[must_use]
    pub fn outgoing_to(&self, stream: StreamId, recipients: Vec<PublicKey>) -> Outgoing {
        Outgoing {
            stream,
            part: 0,
            kind: self.kind,
            recipients,
            mentions: self.recipients.clone(),
            in_answer_to: None,
            message: self.message.clone(),
            via: self.via.clone(),
            track: true,
        }
    }
}
