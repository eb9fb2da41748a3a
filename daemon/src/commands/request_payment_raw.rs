//! `RequestPaymentRaw`: asks a person to pay an invoice that the caller made. What is missing is
//! filled in, which is what the types of the 0.3 clients promise: an invoice of our wallet, the end
//! of the request, its id.

use portal_core::primitives::{RequestId, Timestamp};
use portal_core::protocol::{Currency, ExchangeRate};
use portal_core::service::NewPayment;
use serde::Deserialize;

use super::request_single_payment::Reply;
use super::{Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Who is to pay.
    pub main_key: String,
    /// Their subkeys, as far as known.
    #[serde(default, deserialize_with = "super::input::list")]
    pub subkeys: Vec<String>,
    /// What for and how much.
    pub payment_request: Content,
}

/// What for and how much.
#[derive(Clone, Deserialize)]
pub struct Content {
    /// Millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// The unit of `amount`.
    #[serde(deserialize_with = "super::input::currency")]
    pub currency: Currency,
    /// The rate used when `currency` is fiat.
    #[serde(default)]
    pub current_exchange_rate: Option<ExchangeRate>,
    /// BOLT11; made by our wallet when absent.
    #[serde(default)]
    pub invoice: Option<String>,
    /// Tells the wallet which session asks.
    #[serde(default)]
    pub auth_token: Option<String>,
    /// When the request ends; five minutes from now when absent.
    #[serde(default, deserialize_with = "Timestamp::lenient_option")]
    pub expires_at: Option<Timestamp>,
    /// The subscription that this charge belongs to.
    #[serde(default)]
    pub subscription_id: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Echoed by every status; random when absent.
    #[serde(default)]
    pub request_id: Option<RequestId>,
}

/// Sends the request.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { main_key, subkeys, payment_request } = request;
    let Content {
        amount,
        currency,
        current_exchange_rate,
        invoice,
        auth_token,
        expires_at,
        subscription_id,
        description,
        request_id,
    } = payment_request;
    let what = "Failed to request single payment";
    let invoice = invoice.filter(|invoice| !invoice.is_empty());
    if invoice.is_none() {
        context.wallet("Failed to make invoice")?;
    }
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let wanted = NewPayment {
        amount,
        currency,
        current_exchange_rate,
        invoice,
        auth_token,
        expires_at,
        subscription_id,
        description,
        request_id,
    };
    let opened = context
        .service
        .payments()
        .request_with(recipient, wanted, context.call())
        .await
        .map_err(|error| super::failed(error, what))?;
    let reply = Reply { stream_id: opened.stream };
    Ok(Outcome::Opened { stream: opened.stream, reply: reply.into(), shared: opened.repeated })
}
