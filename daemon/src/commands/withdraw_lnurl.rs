//! `WithdrawLnurl`: takes money that somebody offers (LUD-03). That it came, `LookupPayment` says.

use portal_core::primitives::Millisats;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The LNURL.
    pub instruction: String,
    /// All that is offered when absent.
    #[serde(default)]
    pub amount_msat: Option<Millisats>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// How much was asked for.
    pub amount_msat: Millisats,
    /// Of our invoice, 64 hex digits.
    pub payment_hash: String,
}

/// Asks for the money.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to withdraw";
    context.wallet(what)?;
    let taken = context
        .service
        .payments()
        .withdraw(&request.instruction, request.amount_msat)
        .await
        .map_err(|error| super::failed(error, what))?;
    let payment_hash = taken.payment_hash.to_string();
    Ok(Reply { amount_msat: taken.amount, payment_hash }.into())
}
