//! `MintCashu`: makes a token at a mint.
//!
//! The token stays in the ticket wallet's journal until somebody has spent it: the same command
//! under the same idempotency key returns it again, `GetCashuWallet` lists it, `TakeBackCashu` takes
//! it back.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The mint.
    pub mint_url: String,
    /// The unit of the mint.
    pub unit: String,
    /// In the base of `unit`: 1 is one ticket, or one satoshi. Never millisatoshi.
    pub amount: u64,
    /// Lets the mint know us.
    #[serde(default)]
    pub static_auth_token: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Only this person can use it: their main key.
    #[serde(default)]
    pub lock_to: Option<String>,
    /// From then on an unused locked token can be taken back, in seconds since the epoch.
    #[serde(default)]
    pub lock_until: Option<u64>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// `cashuB…`; whoever has it can spend it, unless it is locked.
    pub token: String,
}

const WHAT: &str = "Failed to mint cashu";

/// Mints.
#[cfg(feature = "cashu")]
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    use portal_core::Error;
    use portal_core::cashu::{Give, Lock, NewMint};
    use portal_core::primitives::Timestamp;

    use super::{failed, input};

    let wallet = context.tickets(WHAT)?;
    let Request { mint_url, unit, amount, static_auth_token, description, lock_to, lock_until } =
        request;
    let (mint, unit) = input::mint_and_unit(&mint_url, &unit, WHAT)?;
    let lock = match lock_to {
        None => None,
        Some(key) => Some(Lock {
            to: input::key(&key, "key to lock to")?,
            until: lock_until.map(Timestamp::from_secs),
        }),
    };
    input::mint_token(wallet, &mint, static_auth_token, WHAT).await?;
    let give = Some(Give { lock, memo: None });
    let new = NewMint { mint, unit, amount, description, give };
    let minted = wallet
        .mint(&context.ticket_key("mint"), new)
        .await
        .map_err(|error| failed(error.into(), WHAT))?;
    let token = minted.token.ok_or_else(|| failed(Error::RequestNotFound, WHAT))?;
    Ok(Reply { token }.into())
}

/// Refuses: a token made without a durable wallet could be lost.
#[cfg(not(feature = "cashu"))]
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(super::no_tickets(WHAT))
}
