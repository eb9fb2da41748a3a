//! `RevokeStaticToken`: the URLs with this token open nothing from now on.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The token, as it was given to `NewKeyHandshakeUrl`.
    pub static_token: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// False when there was no such token.
    pub revoked: bool,
}

/// Revokes.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let revoked = context
        .service
        .logins()
        .revoke_static_token(&request.static_token)
        .await
        .map_err(|error| super::failed(error, "Failed to revoke static token"))?;
    Ok(Reply { revoked }.into())
}
