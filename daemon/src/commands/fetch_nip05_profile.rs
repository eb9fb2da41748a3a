//! `FetchNip05Profile`: the key and the relays behind `name@domain`.

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// `name@domain`
    pub nip05: String,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// What the domain says.
    pub profile: Profile,
}

/// What the domain says.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// The key.
    pub public_key: PublicKey,
    /// Where the key listens.
    pub relays: Vec<String>,
    /// Where its remote signer listens.
    pub nip46: Vec<String>,
}

/// Asks the domain.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let found = context
        .service
        .profiles()
        .nip05(&request.nip05)
        .await
        .map_err(|error| super::failed(error, "Failed to fetch NIP-05 profile"))?;
    let profile =
        Profile { public_key: found.public_key, relays: found.relays, nip46: found.nip46 };
    Ok(Reply { profile }.into())
}
