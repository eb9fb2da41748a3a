//! Recurring payments: asking for one, closing one, hearing that one was closed.

use super::call::{Beside, bounded};
use super::logins::json;
use super::payments::in_time;
use super::prices;
use super::schedule::Schedule;
use super::{Call, Opened, PATIENCE, Recipient};
use crate::conversation::ask::{Ask, Question};
use crate::conversation::send::Send;
use crate::conversation::{Conversation, Via};
use crate::driver::{Node, Opening};
use crate::error::Error;
use crate::primitives::{RequestId, StreamId, Timestamp};
use crate::protocol::payment::PaymentRequest;
use crate::protocol::subscription::{CloseRecurringPayment, Recurrence, RecurringPaymentRequest};
use crate::protocol::{Currency, kinds};

/// The stream on which closes by people appear. It is always open.
pub const CLOSES: StreamId =
    StreamId::from_uuid(uuid::Uuid::from_u128(0x0000_0000_0000_8000_8000_706f_7274_616c));

/// Recurring payments.
#[derive(Clone, Copy)]
pub struct Subscriptions<'a> {
    pub(super) node: &'a Node,
    pub(super) schedule: &'a Schedule,
}

/// A recurring payment to ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecurringPayment {
    /// The amount of each charge, more than zero.
    pub amount: u64,
    /// The unit of `amount`.
    pub currency: Currency,
    /// When to charge.
    pub recurrence: Recurrence,
    /// When the request ends.
    pub expires_at: Timestamp,
    /// What it is for.
    pub description: Option<String>,
    /// Opaque; tells the wallet which session asks.
    pub auth_token: Option<String>,
    /// The caller's own id; random when absent.
    pub request_id: Option<RequestId>,
}

impl Subscriptions<'_> {
    /// Asks a person to agree to a recurring payment. The stream ends with
    /// [`RecurringPaymentResponse`](crate::event::PortalEvent::RecurringPaymentResponse).
    ///
    /// # Errors
    /// When the request is over already, the amount is zero, nobody quotes the currency, or
    /// nothing can be saved.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn request(
        &self,
        recipient: Recipient,
        new: NewRecurringPayment,
        call: Call,
    ) -> Result<Opened, Error> {
        self.request_beside(recipient, new, call, Beside::default()).await
    }

    /// The same, with something that is saved in the same batch.
    pub(super) async fn request_beside(
        &self,
        recipient: Recipient,
        new: NewRecurringPayment,
        call: Call,
        beside: Beside,
    ) -> Result<Opened, Error> {
        let node = self.node;
        prices::check(node, new.amount, &new.currency)?;
        let expires_at = in_time(new.expires_at, node.env().now())?;
        call.open_beside(node, beside, || async {
            let peer = recipient.peer(node).await?;
            let priced = prices::price(node, new.amount, &new.currency).await?;
            let request_id = new.request_id.unwrap_or_else(|| RequestId::from(node.env().uuid()));
            let message = PaymentRequest::Recurring(RecurringPaymentRequest {
                amount: new.amount,
                currency: new.currency,
                recurrence: new.recurrence,
                current_exchange_rate: priced.rate,
                expires_at,
                auth_token: new.auth_token,
                description: new.description,
                request_id: request_id.clone(),
            });
            Ok(Conversation::Ask(Box::new(Ask {
                peer,
                question: Question::Recurring { request_id },
                message: json(&message).into(),
                expires_at,
            })))
        })
        .await
    }

    /// Tells a person that a subscription is over; one that is charged for us is cancelled with
    /// it. The stream ends with
    /// [`Delivery`](crate::event::PortalEvent::Delivery).
    ///
    /// # Errors
    /// When a key is no key, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The message may be sent also when the future is dropped.
    pub async fn close(
        &self,
        recipient: Recipient,
        subscription_id: String,
        call: Call,
    ) -> Result<Opened, Error> {
        bounded(&subscription_id, "the subscription id", 1024)?;
        self.schedule.cancel_named(&recipient.main_key, &subscription_id).await?;
        let message = CloseRecurringPayment { subscription_id, reason: None, by_service: true };
        send(self.node, recipient, kinds::RECURRING_CLOSE, json(&message), PATIENCE, call).await
    }

    /// The stream on which closes by people appear.
    #[must_use]
    pub const fn closes(&self) -> StreamId {
        CLOSES
    }
}

/// Sends a message that has no answer to all keys of a person.
pub(super) async fn send(
    node: &Node,
    recipient: Recipient,
    kind: u16,
    message: String,
    patience: std::time::Duration,
    call: Call,
) -> Result<Opened, Error> {
    call.open(node, || prepare(node, recipient, kind, message, patience)).await
}

/// The message by which a service closes a subscription.
pub(super) async fn close_message(
    node: &Node,
    recipient: Recipient,
    subscription_id: String,
) -> Result<Conversation, Error> {
    let message = CloseRecurringPayment { subscription_id, reason: None, by_service: true };
    prepare(node, recipient, kinds::RECURRING_CLOSE, json(&message), PATIENCE).await
}

async fn prepare(
    node: &Node,
    recipient: Recipient,
    kind: u16,
    message: String,
    patience: std::time::Duration,
) -> Result<Conversation, Error> {
    let peer = recipient.peer(node).await?;
    let sent_at = node.env().now();
    Ok(Conversation::Send(Box::new(Send {
        kind,
        recipients: peer.keys(),
        message,
        via: Via::Peer(peer.relays),
        sent_at,
        expires_at: sent_at.saturating_add(patience),
        refused: Vec::new(),
        queued: false,
        done_until: None,
    })))
}

/// Opens the stream of closes, unless it is open since an earlier start.
pub(super) async fn listen_for_closes(node: &Node) -> Result<(), Error> {
    keep_open(node, CLOSES, Conversation::Closes).await
}

/// Opens a stream that is always open, unless it is since an earlier start.
pub(super) async fn keep_open(
    node: &Node,
    stream: StreamId,
    conversation: Conversation,
) -> Result<(), Error> {
    let info = node.store().stream(stream).await?;
    if info.is_none_or(|info| !info.open) {
        node.open(Opening { stream: Some(stream), ..Opening::of(conversation) }).await?;
    }
    Ok(())
}
