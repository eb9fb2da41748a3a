//! `GetWalletInfo`: which wallet this is and what is in it.

use portal_core::primitives::Millisats;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Default, Deserialize)]
pub struct Request {}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// `nwc`, `breez`, `simulated`.
    pub wallet_type: String,
    /// What is in it.
    pub balance_msat: Millisats,
}

/// Asks the wallet.
pub(super) async fn handle(_: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to get wallet info";
    context.wallet(what)?;
    let (info, balance) = context
        .service
        .payments()
        .wallet_info()
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { wallet_type: info.kind, balance_msat: balance.amount }.into())
}
