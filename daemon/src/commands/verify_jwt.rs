//! `VerifyJwt`: whom a token is for, if its issuer signed it and it is valid now.

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The issuer.
    pub pubkey: String,
    /// The token.
    pub token: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// For whom it is.
    pub target_key: PublicKey,
}

/// Verifies.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { pubkey, token } = request;
    let issuer = input::key(&pubkey, "public key")?;
    let claims = context
        .service
        .tokens()
        .verify(issuer, &token)
        .map_err(|error| super::failed(error, "Failed to verify JWT"))?;
    Ok(Reply { target_key: claims.target }.into())
}
