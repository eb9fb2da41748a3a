//! Asking people for an invoice, to pay them out or back.

use super::call::bounded;
use super::logins::json;
use super::payments::in_time;
use super::{Call, Opened, Recipient, prices};
use crate::conversation::Conversation;
use crate::conversation::ask::{Ask, Question};
use crate::driver::Node;
use crate::error::Error;
use crate::primitives::{RequestId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::invoice::InvoiceRequest;

/// Asking people for an invoice.
#[derive(Clone, Copy)]
pub struct Invoices<'a>(pub(super) &'a Node);

/// An invoice to ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewInvoiceRequest {
    /// More than zero.
    pub amount: u64,
    /// The unit of `amount`; fiat needs a source of rates.
    pub currency: Currency,
    /// When the request ends.
    pub expires_at: Timestamp,
    /// What it is for.
    pub description: Option<String>,
    /// The invoice that is given back, for a refund.
    pub refund_invoice: Option<String>,
    /// The caller's own id; random when absent.
    pub request_id: Option<RequestId>,
}

impl Invoices<'_> {
    /// Asks a person for an invoice. The stream ends with
    /// [`InvoiceResponse`](crate::event::PortalEvent::InvoiceResponse), whose amount, end and
    /// network were checked; an invoice that is not what was asked for ends it with an error.
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
        new: NewInvoiceRequest,
        call: Call,
    ) -> Result<Opened, Error> {
        let node = self.0;
        prices::check(node, new.amount, &new.currency)?;
        let expires_at = in_time(new.expires_at, node.env().now())?;
        if let Some(id) = &new.request_id {
            bounded(id.as_str(), "the request id", 256)?;
        }
        call.open(node, || async {
            let peer = recipient.peer(node).await?;
            let network = match node.payer() {
                Some(payer) => payer.network().await,
                None => None,
            };
            let priced = prices::price(node, new.amount, &new.currency).await?;
            let request_id = new.request_id.unwrap_or_else(|| RequestId::from(node.env().uuid()));
            let message = InvoiceRequest {
                request_id: request_id.clone(),
                amount: new.amount,
                currency: new.currency,
                current_exchange_rate: priced.rate,
                expires_at,
                description: new.description,
                refund_invoice: new.refund_invoice,
            };
            Ok(Conversation::Ask(Box::new(Ask {
                peer,
                question: Question::Invoice { request_id, amount: priced.millisats, network },
                message: json(&message).into(),
                expires_at,
            })))
        })
        .await
    }
}
