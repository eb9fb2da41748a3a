//! What services ask, as the app sees it.

use std::collections::HashSet;

use nostr::PublicKey;

use super::inbox::Inbox;
use crate::conversation::answer::Answer;
use crate::driver::Node;
use crate::error::Error;
use crate::primitives::{StreamId, Timestamp};
use crate::protocol::auth::AuthChallenge;
use crate::protocol::invoice::InvoiceRequest;
use crate::protocol::kinds;
use crate::protocol::payment::{PaymentRequest, SinglePaymentRequest};
use crate::protocol::subscription::{CloseRecurringPayment, RecurringPaymentRequest};
use crate::protocol::ticket::{CashuDirect, CashuRequest};

/// What services ask.
#[derive(Clone, Copy)]
pub struct Requests<'a> {
    pub(super) node: &'a Node,
    pub(super) inbox: &'a Inbox,
}

/// A request to the person.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingRequest {
    /// Names it on this side.
    pub id: StreamId,
    /// The main key of who asks: proven, or the key that signed.
    pub service: PublicKey,
    /// The key that signed.
    pub signer: PublicKey,
    /// When it came.
    pub received_at: Timestamp,
    /// When it ends, by our clock.
    pub expires_at: Timestamp,
    /// Whether a reply was given already.
    pub replied: bool,
    /// What is asked.
    pub body: RequestBody,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestBody {
    /// Who are you?
    Login(AuthChallenge),
    /// Please pay this invoice.
    Payment(SinglePaymentRequest),
    /// May I charge you regularly?
    Recurring(RecurringPaymentRequest),
    /// Give me an invoice.
    Invoice(InvoiceRequest),
    /// Give me a ticket.
    Ticket(CashuRequest),
    /// Here is a ticket. No reply.
    TicketGift(CashuDirect),
    /// A subscription is over. No reply.
    SubscriptionClosed(CloseRecurringPayment),
}

impl Requests<'_> {
    /// The oldest request that is not handled; waits for one. The same one is given until
    /// [`Requests::handled`], also after a restart. `None` when the client has stopped.
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is taken.
    pub async fn next(&self) -> Option<IncomingRequest> {
        self.next_besides(&HashSet::new()).await
    }

    /// The oldest request that is not handled and not one of these: for an app that works on
    /// several at once. Otherwise as [`Requests::next`].
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is taken.
    pub async fn next_besides(&self, taken: &HashSet<StreamId>) -> Option<IncomingRequest> {
        loop {
            let moved = self.inbox.moved();
            tokio::pin!(moved);
            moved.as_mut().enable();
            match self.inbox.first_besides(taken) {
                Err(_) => return None,
                Ok(Some((id, answer))) => match IncomingRequest::read(id, &answer) {
                    Some(request) => return Some(request),
                    None => {
                        // It could be read when it came, so a newer version wrote it.
                        tracing::error!(stream = %id, "a stored request cannot be read");
                        self.node.handled(id).await.ok()?;
                    }
                },
                Ok(None) => moved.await,
            }
        }
    }

    /// All requests that are not handled, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<IncomingRequest> {
        self.inbox
            .all()
            .into_iter()
            .filter_map(|(id, answer)| IncomingRequest::read(id, &answer))
            .collect()
    }

    /// Marks a request as dealt with: it is not given again. Replies can still be added.
    ///
    /// # Errors
    /// When it cannot be saved.
    ///
    /// # Cancel safety
    /// It may be marked also when the future is dropped.
    pub async fn handled(&self, id: StreamId) -> Result<(), Error> {
        Ok(self.node.handled(id).await?)
    }
}

impl IncomingRequest {
    pub(super) fn read(id: StreamId, answer: &Answer) -> Option<Self> {
        let text = &answer.request;
        let body = match answer.kind {
            kinds::AUTH_CHALLENGE => RequestBody::Login(serde_json::from_str(text).ok()?),
            kinds::PAYMENT_REQUEST | kinds::RECURRING_REQUEST => {
                match serde_json::from_str(text).ok()? {
                    PaymentRequest::Single(request) => RequestBody::Payment(request),
                    PaymentRequest::Recurring(request) => RequestBody::Recurring(request),
                }
            }
            kinds::INVOICE_REQUEST => RequestBody::Invoice(serde_json::from_str(text).ok()?),
            kinds::CASHU_REQUEST => RequestBody::Ticket(serde_json::from_str(text).ok()?),
            kinds::CASHU_DIRECT => RequestBody::TicketGift(serde_json::from_str(text).ok()?),
            kinds::RECURRING_CLOSE => {
                RequestBody::SubscriptionClosed(serde_json::from_str(text).ok()?)
            }
            _ => return None,
        };
        Some(Self {
            id,
            service: answer.service,
            signer: answer.from,
            received_at: answer.received_at,
            expires_at: answer.expires_at,
            replied: !answer.replies.is_empty(),
            body,
        })
    }
}
