//! `SetProfile`: publishes the profile of the service.

use portal_core::protocol::profile::Profile;
use serde::Deserialize;

use super::fetch_profile::Reply;
use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// What to publish. Members we do not know are left out.
    pub profile: Profile,
}

/// Publishes.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let profile = request.profile;
    context
        .service
        .profiles()
        .set(&profile)
        .await
        .map_err(|error| super::failed(error, "Failed to set profile"))?;
    Ok(Reply { profile: Some(profile.into()) }.into())
}
