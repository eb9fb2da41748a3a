//! `PayInvoice`: pays from our wallet, never twice for one payment hash.

use portal_core::primitives::Millisats;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// BOLT11.
    pub invoice: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// 64 hex digits.
    pub preimage: String,
    /// What it cost on top.
    pub fees_paid_msat: Millisats,
}

/// Pays.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to pay invoice";
    context.wallet(what)?;
    let paid = context
        .service
        .payments()
        .pay_invoice(&request.invoice)
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { preimage: paid.preimage, fees_paid_msat: paid.fee }.into())
}
