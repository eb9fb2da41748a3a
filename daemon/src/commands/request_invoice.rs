//! `RequestInvoice`: asks a person for an invoice, to pay them; answered by the person.

use portal_core::primitives::{RequestId, Timestamp};
use portal_core::protocol::Currency;
use portal_core::service::NewInvoiceRequest;
use serde::{Deserialize, Serialize};

use super::{Answer, Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Who is to be paid.
    pub recipient_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
    /// How much and what for.
    pub content: Content,
}

/// How much and what for.
#[derive(Clone, Deserialize)]
pub struct Content {
    /// Millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// The unit of `amount`.
    #[serde(deserialize_with = "super::input::currency")]
    pub currency: Currency,
    /// When the request ends.
    #[serde(deserialize_with = "Timestamp::lenient")]
    pub expires_at: Timestamp,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The invoice that is given back.
    #[serde(default)]
    pub refund_invoice: Option<String>,
    /// Echoed by the answer; random when absent.
    #[serde(default)]
    pub request_id: Option<RequestId>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// BOLT11.
    pub invoice: String,
    /// 64 hex digits.
    pub payment_hash: Option<String>,
}

/// Sends the request.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { recipient_key, subkeys, content } = request;
    let recipient = input::recipient(&recipient_key, &subkeys, "recipient key")?;
    let Content { amount, currency, expires_at, description, refund_invoice, request_id } = content;
    let what = Answer::Invoice.what();
    let wanted =
        NewInvoiceRequest { amount, currency, expires_at, description, refund_invoice, request_id };
    let opened = context
        .service
        .invoices()
        .request(recipient, wanted, context.call())
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Outcome::Waiting { stream: opened.stream, answer: Answer::Invoice })
}
