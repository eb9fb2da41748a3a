//! `AddRelay`: one more relay of our own.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// `wss://…`
    pub relay: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// As it was given.
    pub relay: String,
}

/// Tells the pool.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    context
        .service
        .relays()
        .add(&request.relay)
        .map_err(|error| super::failed(error, "Failed to add relay"))?;
    Ok(Reply { relay: request.relay }.into())
}
