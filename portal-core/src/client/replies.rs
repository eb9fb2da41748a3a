//! Answering what services ask. A reply is durable before it is sent, goes out again until a relay
//! has it, and again whenever the service asks again.

use super::inbox::Inbox;
use super::requests::{IncomingRequest, RequestBody};
use crate::conversation::answer::Reply;
use crate::driver::Node;
use crate::error::Error;
use crate::protocol::auth::{AuthResponse, AuthStatus};
use crate::protocol::invoice::{Echo, InvoiceResponse};
use crate::protocol::kinds;
use crate::protocol::payment::{PaymentResponse, PaymentStatus};
use crate::protocol::subscription::{RecurringPaymentResponse, RecurringStatus};
use crate::protocol::ticket::{CashuResponse, CashuStatus};
use crate::service::json;

/// Answering what services ask.
#[derive(Clone, Copy)]
pub struct Replies<'a> {
    pub(super) node: &'a Node,
    pub(super) inbox: &'a Inbox,
}

impl Replies<'_> {
    /// Answers a login.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, or the request is over.
    ///
    /// # Cancel safety
    /// The reply may be sent also when the future is dropped.
    pub async fn login(&self, request: &IncomingRequest, status: AuthStatus) -> Result<(), Error> {
        let RequestBody::Login(challenge) = &request.body else { return Err(Error::WrongReply) };
        let message = AuthResponse {
            challenge: challenge.challenge.clone(),
            subkey_proof: self.node.key().proof().cloned(),
            status,
        };
        self.send(request, kinds::AUTH_RESPONSE, json(&message)).await
    }

    /// Tells where a payment stands; call it once for each status.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, or the request is over.
    ///
    /// # Cancel safety
    /// The reply may be sent also when the future is dropped.
    pub async fn payment(
        &self,
        request: &IncomingRequest,
        status: PaymentStatus,
    ) -> Result<(), Error> {
        let RequestBody::Payment(asked) = &request.body else { return Err(Error::WrongReply) };
        let message = PaymentResponse { request_id: asked.request_id.clone(), status };
        self.send(request, kinds::PAYMENT_RESPONSE, json(&message)).await
    }

    /// Answers a recurring payment request.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, or the request is over.
    ///
    /// # Cancel safety
    /// The reply may be sent also when the future is dropped.
    pub async fn recurring(
        &self,
        request: &IncomingRequest,
        status: RecurringStatus,
    ) -> Result<(), Error> {
        let RequestBody::Recurring(asked) = &request.body else { return Err(Error::WrongReply) };
        let message = RecurringPaymentResponse { request_id: asked.request_id.clone(), status };
        self.send(request, kinds::RECURRING_RESPONSE, json(&message)).await
    }

    /// Gives the invoice that was asked for.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, or the request is over.
    ///
    /// # Cancel safety
    /// The reply may be sent also when the future is dropped.
    pub async fn invoice(
        &self,
        request: &IncomingRequest,
        invoice: String,
        payment_hash: Option<String>,
    ) -> Result<(), Error> {
        let RequestBody::Invoice(asked) = &request.body else { return Err(Error::WrongReply) };
        let message = InvoiceResponse { request: echo(request, asked), invoice, payment_hash };
        self.send(request, kinds::INVOICE_RESPONSE, json(&message)).await
    }

    /// Gives the ticket that was asked for, or says why not.
    ///
    /// # Errors
    /// [`Error::WrongReply`] when it is another kind of request, or the request is over.
    ///
    /// # Cancel safety
    /// The reply may be sent also when the future is dropped.
    pub async fn ticket(
        &self,
        request: &IncomingRequest,
        status: CashuStatus,
    ) -> Result<(), Error> {
        let RequestBody::Ticket(asked) = &request.body else { return Err(Error::WrongReply) };
        let message = CashuResponse { request: echo(request, asked), status };
        self.send(request, kinds::CASHU_RESPONSE, json(&message)).await
    }

    /// The request on this stream, when it waits to be handled.
    #[must_use]
    pub fn find(&self, id: crate::primitives::StreamId) -> Option<IncomingRequest> {
        self.inbox.get(id).and_then(|answer| IncomingRequest::read(id, &answer))
    }

    /// The request on this stream, also when it was handled, until it is over: for apps that keep
    /// only its id.
    ///
    /// # Errors
    /// When the client has stopped.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn recall(
        &self,
        id: crate::primitives::StreamId,
    ) -> Result<Option<IncomingRequest>, Error> {
        let answer = self.node.recall(id).await?;
        Ok(answer.and_then(|answer| IncomingRequest::read(id, &answer)))
    }

    async fn send(
        &self,
        request: &IncomingRequest,
        kind: u16,
        message: String,
    ) -> Result<(), Error> {
        Ok(self.node.reply(request.id, Reply { kind, message }).await?)
    }
}

/// The request as the protocol repeats it: both keys are those of who asked.
fn echo<T: Clone>(request: &IncomingRequest, inner: &T) -> Echo<T> {
    Echo { inner: inner.clone(), main_key: request.service, recipient: request.signer }
}
