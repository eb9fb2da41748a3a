//! `BurnCashu`: redeems a token at its mint. Needs the Cashu wallet, which is not set up here.

use serde::Deserialize;

use super::{Context, Outcome, Result, not_configured};

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
}

/// Refuses: what is redeemed without a durable wallet is destroyed.
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(not_configured("Failed to burn cashu: no Cashu wallet is configured"))
}
