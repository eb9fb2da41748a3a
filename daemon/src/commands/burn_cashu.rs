//! `BurnCashu`: redeems a token at its mint.
//!
//! Mint, unit and (when it is given) amount of the token are compared before anything is spent.
//! Tickets are burned; money goes into the ticket wallet of this daemon. A second burning of one
//! token fails, unless it is the same command under the same idempotency key.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The mint.
    pub mint_url: String,
    /// The unit of the mint.
    pub unit: String,
    /// The token.
    pub token: String,
    /// Lets the mint know us.
    #[serde(default)]
    pub static_auth_token: Option<String>,
    /// What the token must be worth, in the base of `unit`.
    #[serde(default)]
    pub amount: Option<u64>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// What the token was worth, in the base of its unit.
    pub amount: u64,
    /// What of it is in the ticket wallet now.
    pub kept: u64,
}

const WHAT: &str = "Failed to burn cashu";

/// Burns.
#[cfg(feature = "cashu")]
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    use portal_core::cashu::Expected;

    use super::{failed, input};

    let wallet = context.tickets(WHAT)?;
    let Request { mint_url, unit, token, static_auth_token, amount } = request;
    let (mint, unit) = input::mint_and_unit(&mint_url, &unit, WHAT)?;
    input::mint_token(wallet, &mint, static_auth_token, WHAT).await?;
    let expected = Expected { mint, unit, amount };
    let burned = wallet
        .burn(&context.ticket_key("burn"), &token, &expected)
        .await
        .map_err(|error| failed(error.into(), WHAT))?;
    Ok(Reply { amount: burned.amount, kept: burned.kept }.into())
}

/// Refuses: what is redeemed without a durable wallet is destroyed.
#[cfg(not(feature = "cashu"))]
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(super::no_tickets(WHAT))
}
