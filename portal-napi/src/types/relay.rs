//! Relays.

use napi_derive::napi;
use portal_core::relay;

use super::seconds;

/// A relay and how it is.
#[napi(object)]
pub struct RelayStatus {
    /// Which one.
    pub url: String,
    /// What it is doing.
    pub state: RelayState,
    /// Whether someone else named it and it goes away by itself.
    pub leased: bool,
    /// Since when it is connected, in seconds since the Unix epoch.
    pub connected_since: Option<i64>,
    /// The time of the last ping to come back.
    pub latency_millis: Option<i64>,
}

/// What a relay is doing.
#[napi(string_enum = "snake_case")]
pub enum RelayState {
    /// A connection is being made.
    Connecting,
    /// Connected, and it has our subscriptions.
    Connected,
    /// Not reachable; tried again soon.
    Waiting,
    /// Not usable, for a reason that trying again soon will not mend.
    Refused,
}

impl From<relay::RelayStatus> for RelayStatus {
    fn from(status: relay::RelayStatus) -> Self {
        let relay::RelayStatus {
            relay,
            state,
            leased,
            connected_since,
            attempts: _,
            latency,
            queued: _,
            counters: _,
        } = status;
        Self {
            url: relay.as_str().to_owned(),
            state: state.into(),
            leased,
            connected_since: connected_since.map(seconds),
            latency_millis: latency.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

impl From<relay::RelayState> for RelayState {
    fn from(state: relay::RelayState) -> Self {
        match state {
            relay::RelayState::Connecting => Self::Connecting,
            relay::RelayState::Connected => Self::Connected,
            relay::RelayState::Waiting { retry: _ } => Self::Waiting,
            relay::RelayState::Refused(_) => Self::Refused,
        }
    }
}
