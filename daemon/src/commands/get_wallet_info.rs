//! `GetWalletInfo`: which wallet this is and what is in it, as far back as it could be asked.

use portal_core::primitives::{Millisats, Timestamp};
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
    /// When the wallet said so.
    pub balance_at: Timestamp,
    /// Whether the wallet could not be asked now: this is what it said then.
    pub stale: bool,
    /// `bitcoin`, `testnet`, `signet`, `regtest`, when the wallet says.
    pub network: Option<String>,
    /// Whether it keeps the fees of a payment within a bound that it is given.
    pub caps_fees: bool,
}

/// Asks the wallet.
pub(super) async fn handle(_: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to get wallet info";
    context.wallet(what)?;
    let (info, known) = context
        .service
        .payments()
        .wallet_info()
        .await
        .map_err(|error| super::failed(error, what))?;
    let reply = Reply {
        wallet_type: info.kind,
        balance_msat: known.balance.amount,
        balance_at: known.balance.at,
        stale: known.stale,
        network: info.network,
        caps_fees: info.caps_fees,
    };
    Ok(reply.into())
}
