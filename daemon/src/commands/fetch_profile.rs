//! `FetchProfile`: the public profile of a key.

use portal_core::protocol::profile::Profile;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Whose.
    pub main_key: String,
}

/// What is answered, by this command and by `SetProfile`.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// `null` when there is none.
    pub profile: Option<ProfileReply>,
}

/// A profile with every member, `null` where it says nothing.
#[derive(Clone, Debug, Serialize)]
pub struct ProfileReply {
    /// A short name.
    pub name: Option<String>,
    /// The name to show.
    pub display_name: Option<String>,
    /// The address of a picture.
    pub picture: Option<String>,
    /// A checked identifier `name@domain`.
    pub nip05: Option<String>,
}

impl From<Profile> for ProfileReply {
    fn from(profile: Profile) -> Self {
        let Profile { name, display_name, picture, nip05 } = profile;
        Self { name, display_name, picture, nip05 }
    }
}

/// Asks the relays.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let key = input::key(&request.main_key, "main key")?;
    let profile = context
        .service
        .profiles()
        .fetch(key)
        .await
        .map_err(|error| super::failed(error, "Failed to fetch profile"))?;
    Ok(Reply { profile: profile.map(Into::into) }.into())
}
