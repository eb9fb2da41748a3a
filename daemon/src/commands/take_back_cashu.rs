//! `TakeBackCashu`: takes back a token that `MintCashu` made and nobody has claimed.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The token, or what is left of it.
    pub token: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// What is in the ticket wallet again, in the base of the unit.
    pub amount: u64,
}

const WHAT: &str = "Failed to take back cashu";

/// Takes back.
#[cfg(feature = "cashu")]
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    use portal_core::cashu::CashuError;

    use super::failed;

    let wallet = context.tickets(WHAT)?;
    let refused = |error: CashuError| failed(error.into(), WHAT);
    let giver = wallet.giver_of(&request.token).await.map_err(refused)?;
    let key = giver.ok_or(CashuError::NotFound).map_err(refused)?;
    let amount = wallet.take_back(&key).await.map_err(refused)?;
    Ok(Reply { amount }.into())
}

/// Refuses: there is no wallet.
#[cfg(not(feature = "cashu"))]
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(super::no_tickets(WHAT))
}
