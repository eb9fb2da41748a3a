//! Recurring payments on the person's side: agreeing, looking, ending.

use nostr::PublicKey;

use super::automatic::load;
use super::prices::TOLERANCE_PERMILLE;
use super::requests::{IncomingRequest, RequestBody};
use crate::conversation::answer::Reply;
use crate::conversation::send::Send;
use crate::conversation::{Conversation, Via};
use crate::driver::{Node, Opening};
use crate::error::Error;
use crate::primitives::StreamId;
use crate::protocol::kinds;
use crate::protocol::subscription::{
    CloseRecurringPayment, RecurringPaymentResponse, RecurringStatus,
};
use crate::service::{PATIENCE, json};
use crate::storage::{Write, commit};
use crate::subscriptions::authorized::{Authorization, Closed};

/// Recurring payments.
#[derive(Clone, Copy)]
pub struct Subscriptions<'a> {
    pub(super) node: &'a Node,
    pub(super) books: &'a tokio::sync::Mutex<()>,
}

/// What the person allows beside what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whether charges within it are paid without asking; that also needs a wallet
    /// ([`ClientBuilder::pay_subscriptions`](super::ClientBuilder::pay_subscriptions)).
    pub automatic: bool,
    /// By how many thousandths an invoice may be above what a fiat amount is worth by our rates.
    pub tolerance_permille: u16,
    /// At most this many payments; as many as the service asks for when absent.
    pub max_payments: Option<u32>,
}

impl Default for Allowance {
    /// Paid without asking, with the usual tolerance.
    fn default() -> Self {
        Self { automatic: true, tolerance_permille: TOLERANCE_PERMILLE, max_payments: None }
    }
}

impl Subscriptions<'_> {
    /// Agrees to a recurring payment: kept, then told to the service. Charges within it are then
    /// paid without asking. Again for the same request: the same subscription.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, or the request is over.
    ///
    /// # Cancel safety
    /// The person may have agreed also when the future is dropped.
    pub async fn confirm(
        &self,
        request: &IncomingRequest,
        allowance: Allowance,
    ) -> Result<Authorization, Error> {
        let RequestBody::Recurring(asked) = &request.body else { return Err(Error::WrongReply) };
        let Allowance { automatic, tolerance_permille, max_payments } = allowance;
        let lock = self.books.lock().await;
        let store = self.node.store();
        let known = self.list().await?.into_iter().find(|known| known.request == request.id);
        let agreed = match known {
            Some(known) => known,
            None => {
                let mut recurrence = asked.recurrence.clone();
                let theirs = recurrence.max_payments;
                recurrence.max_payments = match (theirs, max_payments) {
                    (Some(theirs), Some(ours)) => Some(theirs.min(ours)),
                    (theirs, ours) => theirs.or(ours),
                };
                let agreed = Authorization {
                    subscription_id: self.node.env().uuid().to_string(),
                    request: request.id,
                    service: request.service,
                    amount: asked.amount,
                    currency: asked.currency.clone(),
                    tolerance_permille,
                    next: Some(recurrence.first_payment_due),
                    recurrence,
                    description: asked.description.clone(),
                    automatic,
                    owed: Vec::new(),
                    taken: 0,
                    reserved: Vec::new(),
                    closed: None,
                };
                commit(store, vec![Write::PutAuthorization(agreed.record())]).await?;
                agreed
            }
        };
        drop(lock);
        let status = RecurringStatus::Confirmed {
            subscription_id: agreed.subscription_id.clone(),
            authorized_amount: agreed.amount,
            authorized_currency: agreed.currency.clone(),
            authorized_recurrence: agreed.recurrence.clone(),
        };
        let message = RecurringPaymentResponse { request_id: asked.request_id.clone(), status };
        let reply = Reply { kind: kinds::RECURRING_RESPONSE, message: json(&message) };
        self.node.reply(request.id, reply).await?;
        Ok(agreed)
    }

    /// Everything the person agreed to, ended ones too.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn list(&self) -> Result<Vec<Authorization>, Error> {
        let records = self.node.store().authorizations().await?;
        records.iter().map(|record| Ok(Authorization::read(record)?)).collect()
    }

    /// One subscription.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn get(&self, subscription_id: &str) -> Result<Option<Authorization>, Error> {
        Ok(load(self.node.store(), subscription_id).await?)
    }

    /// Whether charges of a subscription are paid without asking from now on. False when there is
    /// none.
    ///
    /// # Errors
    /// When it cannot be saved.
    ///
    /// # Cancel safety
    /// It may be saved also when the future is dropped.
    pub async fn set_automatic(
        &self,
        subscription_id: &str,
        automatic: bool,
    ) -> Result<bool, Error> {
        let _lock = self.books.lock().await;
        let store = self.node.store();
        let Some(mut known) = load(store, subscription_id).await? else { return Ok(false) };
        known.automatic = automatic;
        commit(store, vec![Write::PutAuthorization(known.record())]).await?;
        Ok(true)
    }

    /// Ends a subscription and tells the service. The stream ends with
    /// [`Delivery`](crate::event::PortalEvent::Delivery).
    ///
    /// # Errors
    /// When the key is no key, or nothing can be saved.
    ///
    /// # Cancel safety
    /// The message may be sent also when the future is dropped.
    pub async fn close(
        &self,
        service: PublicKey,
        subscription_id: String,
        reason: Option<String>,
    ) -> Result<StreamId, Error> {
        service.xonly().map_err(|_| Error::InvalidPublicKey)?;
        let peer = self.node.peer(service, []).await?;
        let sent_at = self.node.env().now();
        let lock = self.books.lock().await;
        // Saved with the message, so that nothing is paid any more once it may be sent.
        let ended = load(self.node.store(), &subscription_id).await?.and_then(|mut known| {
            let reason = reason.clone();
            let ours = known.service == service;
            (ours && known.close(Closed { at: sent_at, by_service: false, reason }))
                .then(|| Write::PutAuthorization(known.record()))
        });
        let message = CloseRecurringPayment { subscription_id, reason, by_service: false };
        let send = Send {
            kind: kinds::RECURRING_CLOSE,
            recipients: peer.keys(),
            message: json(&message),
            via: Via::Peer(peer.relays),
            sent_at,
            expires_at: sent_at.saturating_add(PATIENCE),
            refused: Vec::new(),
            queued: false,
            done_until: None,
        };
        let opening = Opening {
            beside: ended.into_iter().collect(),
            ..Opening::of(Conversation::Send(Box::new(send)))
        };
        let stream = self.node.open(opening).await?;
        drop(lock);
        Ok(stream)
    }
}
