//! `RefundPayment`: gives back what was paid for a request, or a part of it. The stream that it
//! opens ends when the money has gone back, or with an error when it has not.

use portal_core::primitives::{ErrorCode, Millisats, StreamId, Timestamp};
use portal_core::service::NewRefund;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};
use crate::error::CommandError;

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The stream of the payment.
    pub stream_id: String,
    /// How much; all that is left of the payment when absent.
    #[serde(default)]
    pub amount_msat: Option<Millisats>,
    /// For the person.
    #[serde(default)]
    pub description: Option<String>,
    /// How long the person has to give an invoice; a day when absent.
    #[serde(default, deserialize_with = "Timestamp::lenient_option")]
    pub expires_at: Option<Timestamp>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// Tells how the refund ends.
    pub stream_id: StreamId,
}

/// Asks the person for an invoice, to be paid when it comes.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to refund payment";
    let Request { stream_id, amount_msat, description, expires_at } = request;
    let payment = stream_id.parse().map_err(|_| {
        CommandError::new(ErrorCode::StreamNotFound, "there is no stream with this id").during(what)
    })?;
    context.wallet(what)?;
    let wanted = NewRefund { payment, amount: amount_msat, description, expires_at };
    let opened = context
        .service
        .payments()
        .refund(wanted, context.call())
        .await
        .map_err(|error| super::failed(error, what))?;
    let reply = Reply { stream_id: opened.stream };
    Ok(Outcome::Opened { stream: opened.stream, reply: reply.into(), shared: opened.repeated })
}
