//! `PayInstruction`: pays to an invoice, a URI, an LNURL or a Lightning address; under an
//! idempotency key once, whatever happens in between.

use portal_core::primitives::Millisats;
use portal_core::service::PayTo;
use serde::Deserialize;

use super::pay_invoice::Reply;
use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// As a person pasted or scanned it.
    pub instruction: String,
    /// Needed where the payer chooses.
    #[serde(default)]
    pub amount_msat: Option<Millisats>,
    /// For the recipient, where one is taken.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Pays.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to pay";
    context.wallet(what)?;
    let Request { instruction, amount_msat, comment } = request;
    let key = context.idempotency.as_ref().map(|idempotency| idempotency.key.clone());
    let paid = context
        .service
        .payments()
        .pay_to(PayTo { text: instruction, amount: amount_msat, comment, key })
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { preimage: paid.preimage, fees_paid_msat: paid.fee }.into())
}
