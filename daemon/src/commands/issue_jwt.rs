//! `IssueJwt`: a token for someone, signed by the key of the service.

use std::time::Duration;

use portal_core::primitives::ErrorCode;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result, input};
use crate::error::CommandError;

/// A token for longer than a century is a mistake.
const MAX_HOURS: u64 = 100 * 366 * 24;

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// For whom.
    pub target_key: String,
    /// How long it is valid.
    pub duration_hours: i64,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The token.
    pub token: String,
}

/// Signs.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { target_key, duration_hours } = request;
    let target = input::key(&target_key, "target key")?;
    let lifetime = lifetime(duration_hours)?;
    let token = context
        .service
        .tokens()
        .issue(target, lifetime)
        .map_err(|error| super::failed(error, "Failed to issue JWT"))?;
    Ok(Reply { token: token.expose().clone() }.into())
}

fn lifetime(hours: i64) -> Result<Duration> {
    u64::try_from(hours)
        .ok()
        .filter(|hours| (1..=MAX_HOURS).contains(hours))
        .and_then(|hours| hours.checked_mul(3600))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            CommandError::new(
                ErrorCode::InvalidTime,
                "Failed to issue JWT: `duration_hours` must be between 1 and 878400",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_bounded() {
        assert_eq!(lifetime(2), Ok(Duration::from_secs(7200)));
        assert_eq!(lifetime(878_400).map(|time| time.as_secs()), Ok(878_400 * 3600));
        for hours in [0, -1, 878_401, i64::MAX, i64::MIN] {
            assert_eq!(lifetime(hours).expect_err("refused").code, ErrorCode::InvalidTime);
        }
    }
}
