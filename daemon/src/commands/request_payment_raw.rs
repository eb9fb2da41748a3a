//! `RequestPaymentRaw`: asks a person to pay an invoice that the caller made. Without an invoice
//! it is `RequestSinglePayment`, which is what the types of the 0.3 clients promise.

use std::time::Duration;

use portal_core::primitives::{RequestId, Timestamp};
use portal_core::protocol::payment::SinglePaymentRequest;
use portal_core::protocol::{Currency, ExchangeRate};
use serde::Deserialize;

use super::request_single_payment::{self, Reply};
use super::{Context, Outcome, Result, input};

/// A request without an end is open this long.
const USUAL_LIFETIME: Duration = Duration::from_secs(300);

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
    /// BOLT11.
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
    let Some(invoice) = invoice.filter(|invoice| !invoice.is_empty()) else {
        let payment_request = request_single_payment::Content {
            amount,
            currency,
            description,
            auth_token,
            subscription_id,
            request_id,
        };
        let request = request_single_payment::Request { main_key, subkeys, payment_request };
        return request_single_payment::handle(request, context).await;
    };
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let wanted = SinglePaymentRequest {
        amount,
        currency,
        current_exchange_rate,
        invoice,
        auth_token,
        expires_at: expires_at.unwrap_or_else(|| context.env.now().saturating_add(USUAL_LIFETIME)),
        subscription_id,
        description,
        request_id: request_id.unwrap_or_else(|| context.env.uuid().into()),
    };
    let opened = context
        .service
        .payments()
        .request_raw(recipient, wanted, context.call())
        .await
        .map_err(|error| super::failed(error, "Failed to request single payment"))?;
    let reply = Reply { stream_id: opened.stream };
    Ok(Outcome::Opened { stream: opened.stream, reply: reply.into(), shared: opened.repeated })
}
