//! `MintCashu`: makes a token at a mint. Needs the Cashu wallet, which is not set up here.

use serde::Deserialize;

use super::{Context, Outcome, Result, not_configured};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The mint.
    pub mint_url: String,
    /// The unit of the mint.
    pub unit: String,
    /// In the base of `unit`.
    pub amount: u64,
    /// Lets the mint know us.
    #[serde(default)]
    pub static_auth_token: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
}

/// Refuses: a token made without a durable wallet could be lost.
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(not_configured("Failed to mint cashu: no Cashu wallet is configured"))
}
