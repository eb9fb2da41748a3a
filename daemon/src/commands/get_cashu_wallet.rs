//! `GetCashuWallet`: what is in the ticket wallet, what was given away and not claimed, and what
//! is still under way.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// Nothing is asked.
#[derive(Clone, Deserialize)]
pub struct Request {}

/// What is answered. All amounts are in the base of their unit.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// By mint and unit.
    pub balances: Vec<Balance>,
    /// Given away, and not known to be spent.
    pub unclaimed: Vec<Unclaimed>,
    /// Begun, and not ended.
    pub open: Vec<Open>,
}

/// What is held of one unit.
#[derive(Clone, Debug, Serialize)]
pub struct Balance {
    /// The mint.
    pub mint_url: String,
    /// The unit.
    pub unit: String,
    /// Can be given.
    pub available: u64,
    /// Put aside for what is under way.
    pub reserved: u64,
    /// Given away, and not known to be spent.
    pub given: u64,
}

/// Something that was given away.
#[derive(Clone, Debug, Serialize)]
pub struct Unclaimed {
    /// The mint.
    pub mint_url: String,
    /// The unit.
    pub unit: String,
    /// What is left of it.
    pub amount: u64,
    /// Since when, in seconds since the epoch.
    pub since: u64,
    /// The token: deliver it again, or take it back.
    pub token: String,
}

/// Something that has not ended.
#[derive(Clone, Debug, Serialize)]
pub struct Open {
    /// `mint`, `send`, `receive`, `burn` or `take_back`.
    pub kind: &'static str,
    /// The mint.
    pub mint_url: String,
    /// The unit.
    pub unit: String,
    /// How much.
    pub amount: u64,
    /// Since when, in seconds since the epoch.
    pub since: u64,
    /// What has to be paid, when the mint waits for that: an invoice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<String>,
}

const WHAT: &str = "Failed to read the ticket wallet";

/// Reads it.
#[cfg(feature = "cashu")]
pub(super) async fn handle(_: Request, context: Context<'_>) -> Result<Outcome> {
    use portal_core::cashu::CashuError;

    use super::failed;

    let wallet = context.tickets(WHAT)?;
    let refused = |error: CashuError| failed(error.into(), WHAT);
    let balances = wallet.balances().await.map_err(refused)?;
    let unclaimed = wallet.unclaimed().await.map_err(refused)?;
    let open = wallet.open_operations().await.map_err(refused)?;
    let reply = Reply {
        balances: balances
            .into_iter()
            .map(|balance| Balance {
                mint_url: balance.mint.to_string(),
                unit: balance.unit.to_string(),
                available: balance.available,
                reserved: balance.reserved,
                given: balance.given,
            })
            .collect(),
        unclaimed: unclaimed
            .into_iter()
            .map(|given| Unclaimed {
                mint_url: given.mint.to_string(),
                unit: given.unit.to_string(),
                amount: given.amount,
                since: given.since.as_secs(),
                token: given.token,
            })
            .collect(),
        open: open
            .into_iter()
            .map(|open| Open {
                kind: open.kind,
                mint_url: open.mint.to_string(),
                unit: open.unit.to_string(),
                amount: open.amount,
                since: open.since.as_secs(),
                unpaid: open.unpaid,
            })
            .collect(),
    };
    Ok(reply.into())
}

/// Refuses: there is no wallet.
#[cfg(not(feature = "cashu"))]
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(super::no_tickets(WHAT))
}
