//! `PayInvoice`: pays from our wallet, never twice for one payment hash.

use portal_core::payments::PayRequest;
use portal_core::primitives::Millisats;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// BOLT11.
    pub invoice: String,
    /// How much, for an invoice that does not say.
    #[serde(default)]
    pub amount_msat: Option<Millisats>,
    /// The most that may be paid on top; what is configured when absent.
    #[serde(default)]
    pub max_fee_msat: Option<Millisats>,
    /// Try again what had failed for good.
    #[serde(default, deserialize_with = "input::flag")]
    pub retry: bool,
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
    let Request { invoice, amount_msat, max_fee_msat, retry } = request;
    let request = PayRequest { invoice, amount: amount_msat, max_fee: max_fee_msat, retry };
    let paid = context
        .service
        .payments()
        .pay(request)
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { preimage: paid.preimage, fees_paid_msat: paid.fee }.into())
}
