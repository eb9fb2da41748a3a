//! What the commands about subscriptions that are charged by the schedule have in common.

use portal_core::primitives::{ErrorCode, StreamId, Timestamp};
use portal_core::service::SchedulePlan;
use portal_core::subscriptions::{CatchUp, Policy, SubscriptionInfo};
use serde::{Deserialize, Serialize};

use super::Result;
use crate::error::CommandError;

/// What is answered: the subscription as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The subscription.
    pub subscription: Box<SubscriptionInfo>,
}

/// Which subscription.
#[derive(Clone, Deserialize)]
pub struct Named {
    /// Its stream.
    pub stream_id: String,
}

/// How a subscription is charged.
#[derive(Clone, Default, Deserialize)]
pub struct Plan {
    /// The time zone that the calendar is read in.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Nothing is charged before this.
    #[serde(default, deserialize_with = "Timestamp::lenient_option")]
    pub trial_until: Option<Timestamp>,
    /// Which periods of an outage are charged: `each` or `latest`.
    #[serde(default)]
    pub catch_up: Option<CatchUp>,
}

impl Plan {
    /// As the service takes it; what is not said is as configured.
    #[must_use]
    pub fn with(self, usual: &Policy) -> SchedulePlan {
        let Self { time_zone, trial_until, catch_up } = self;
        let policy = catch_up.map(|catch_up| Policy { catch_up, ..usual.clone() });
        SchedulePlan { time_zone, trial_until, policy }
    }
}

/// Reads the name of a subscription.
///
/// # Errors
/// `not_found`: what is no id is no subscription either.
pub fn stream(text: &str) -> Result<StreamId> {
    text.parse()
        .map_err(|_| CommandError::new(ErrorCode::NotFound, "there is no such subscription"))
}
