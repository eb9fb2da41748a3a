//! The client's side of the table: what services ask of a person.

use super::super::answer::Answer;
use super::{Conversation, Effect, Engine, Opened, Refusal, Route, Step, Timestamp, kinds};
use crate::identity::subkey;
use crate::primitives::StreamId;
use crate::protocol::auth::AuthChallenge;
use crate::protocol::invoice::InvoiceRequest;
use crate::protocol::payment::PaymentRequest;
use crate::protocol::subkey::SubkeyPermission;
use crate::protocol::subscription::CloseRecurringPayment;
use crate::protocol::ticket::{CashuDirect, CashuRequest};

/// How long something that has no deadline of its own is remembered, so that it is not shown
/// twice.
const ONE_WAY_SECS: u64 = 24 * 3600;
/// The longest a service may make a person wait.
const LONGEST_SECS: u64 = 30 * 24 * 3600;

/// What a request says about itself.
struct Asked {
    id: String,
    expires_at: Option<Timestamp>,
    service: nostr::PublicKey,
}

impl Engine {
    pub(super) fn receive_request(
        &mut self,
        opened: &Opened,
        now: Timestamp,
        step: &mut Step,
    ) -> Result<(), Refusal> {
        let asked = read(opened, now)?;
        let expires_at = match asked.expires_at {
            None => Timestamp::from_secs(now.as_secs().saturating_add(ONE_WAY_SECS)),
            Some(end) => {
                // By the author's clock: what was left when the request was signed.
                let left = end.as_secs().saturating_sub(opened.created_at.as_secs());
                if left == 0 {
                    return Err(Refusal::Expired);
                }
                Timestamp::from_secs(now.as_secs().saturating_add(left.min(LONGEST_SECS)))
            }
        };
        let route = Route::inbound(&opened.author, opened.kind, &asked.id);
        if let Some(stream) = self.routes.find(route).first().copied() {
            return self.asked_again(stream, step);
        }
        if !self.crowd.has_room(&opened.author, opened.kind, &self.limits) {
            return Err(Refusal::TooMany);
        }
        let answer = Answer {
            from: opened.author,
            service: asked.service,
            kind: opened.kind,
            id: asked.id,
            request: String::from_utf8(opened.plaintext.clone())
                .map_err(|_| Refusal::BadMessage)?,
            event_id: opened.id,
            received_at: now,
            arrival: self.arrivals,
            expires_at,
            replies: Vec::new(),
            delivered: 0,
            handled: false,
        };
        let stream = stream_of(opened);
        self.admit(stream, Conversation::Answer(Box::new(answer)), 0);
        self.save(stream, step);
        step.effects.push(Effect::Inbox { stream, open: true });
        Ok(())
    }

    /// The same request again: whoever asks has not heard our replies.
    fn asked_again(&mut self, stream: StreamId, step: &mut Step) -> Result<(), Refusal> {
        self.enter(stream);
        let Some(Conversation::Answer(answer)) = self.get(stream) else {
            return Err(Refusal::Unexpected);
        };
        let again = answer.outgoing(stream, 0..answer.replies.len());
        if again.is_empty() {
            return Err(Refusal::Duplicate);
        }
        step.effects.extend(again.into_iter().map(Effect::Publish));
        Ok(())
    }
}

/// Reads a request and checks what is wrong with it whoever it is for.
fn read(opened: &Opened, now: Timestamp) -> Result<Asked, Refusal> {
    let plain = |id: String, expires_at: Option<Timestamp>| Asked {
        id,
        expires_at,
        service: opened.author,
    };
    let asked = match opened.kind {
        kinds::AUTH_CHALLENGE => {
            let message: AuthChallenge = opened.message()?;
            let service = match &message.subkey_proof {
                None => opened.author,
                Some(proof) => {
                    subkey::verify(proof, &opened.author, now, Some(SubkeyPermission::Auth))
                        .map_err(|_| Refusal::BadProof)?;
                    proof.main_key
                }
            };
            Asked { id: message.challenge, expires_at: Some(message.expires_at), service }
        }
        kinds::PAYMENT_REQUEST | kinds::RECURRING_REQUEST => {
            match (opened.kind, opened.message()?) {
                (kinds::PAYMENT_REQUEST, PaymentRequest::Single(message)) => {
                    if message.amount == 0 {
                        return Err(Refusal::BadMessage);
                    }
                    plain(message.request_id.to_string(), Some(message.expires_at))
                }
                (kinds::RECURRING_REQUEST, PaymentRequest::Recurring(message)) => {
                    if message.amount == 0 {
                        return Err(Refusal::BadMessage);
                    }
                    plain(message.request_id.to_string(), Some(message.expires_at))
                }
                _ => return Err(Refusal::BadMessage),
            }
        }
        kinds::INVOICE_REQUEST => {
            let message: InvoiceRequest = opened.message()?;
            if message.amount == 0 {
                return Err(Refusal::BadMessage);
            }
            plain(message.request_id.to_string(), Some(message.expires_at))
        }
        kinds::CASHU_REQUEST => {
            let message: CashuRequest = opened.message()?;
            plain(message.request_id.to_string(), Some(message.expires_at))
        }
        kinds::CASHU_DIRECT => {
            let message: CashuDirect = opened.message()?;
            plain(message.token, None)
        }
        kinds::RECURRING_CLOSE => {
            let message: CloseRecurringPayment = opened.message()?;
            if !message.by_service {
                return Err(Refusal::Unexpected);
            }
            plain(message.subscription_id, None)
        }
        _ => return Err(Refusal::WrongKind),
    };
    if asked.id.is_empty() {
        return Err(Refusal::BadMessage);
    }
    Ok(asked)
}

/// The stream of a request: made from its event, so that it needs no randomness and the same event
/// always has the same one.
fn stream_of(opened: &Opened) -> StreamId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&opened.id.as_bytes()[..16]);
    StreamId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
