//! `RequestSinglePayment`: asks a person to pay an invoice that our wallet makes.

use portal_core::primitives::{RequestId, StreamId};
use portal_core::protocol::Currency;
use portal_core::service::NewSinglePayment;
use serde::{Deserialize, Serialize};

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
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Tells the wallet which session asks.
    #[serde(default)]
    pub auth_token: Option<String>,
    /// The subscription that this charge belongs to.
    #[serde(default)]
    pub subscription_id: Option<String>,
    /// Echoed by every status; random when absent.
    #[serde(default)]
    pub request_id: Option<RequestId>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// Tells where the payment stands.
    pub stream_id: StreamId,
}

/// Makes the invoice and sends the request.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { main_key, subkeys, payment_request } = request;
    let recipient = input::recipient(&main_key, &subkeys, "main key")?;
    let Content { amount, currency, description, auth_token, subscription_id, request_id } =
        payment_request;
    context.wallet("Failed to make invoice")?;
    let wanted =
        NewSinglePayment { amount, currency, description, auth_token, subscription_id, request_id };
    let opened = context
        .service
        .payments()
        .request_single(recipient, wanted, context.call())
        .await
        .map_err(|error| super::failed(error, "Failed to request single payment"))?;
    let reply = Reply { stream_id: opened.stream };
    Ok(Outcome::Opened { stream: opened.stream, reply: reply.into(), shared: opened.repeated })
}
