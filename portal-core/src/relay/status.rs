//! How each relay is: plain data for health pages and applications.

use std::time::Duration;

use super::{AddressError, RelayAddress};
use crate::primitives::Timestamp;

/// A relay and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayStatus {
    /// Which one.
    pub relay: RelayAddress,
    /// What it is doing.
    pub state: RelayState,
    /// Whether someone else named it and it goes away by itself.
    pub leased: bool,
    /// Since when it is connected and has our subscriptions.
    pub connected_since: Option<Timestamp>,
    /// Connections that failed or broke in a row; zero once one has lasted.
    pub attempts: u32,
    /// The time of the last ping to come back.
    pub latency: Option<Duration>,
    /// Frames that wait to be written.
    pub queued: usize,
    /// What went by since it was added.
    pub counters: RelayCounters,
}

impl RelayStatus {
    /// Whether publications reach it now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state == RelayState::Connected
    }
}

/// What a relay is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// A connection is being made, or our subscriptions are on their way.
    Connecting,
    /// Connected, and it has our subscriptions.
    Connected,
    /// Not reachable; the next attempt comes after this long, counted from the failure.
    Waiting {
        /// The pause before the next attempt.
        retry: Duration,
    },
    /// Not usable for a reason that trying again soon will not mend.
    Refused(RelayRefusal),
}

/// Why a relay is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayRefusal {
    /// We refuse it: its address is not allowed or leads nowhere.
    Address(AddressError),
    /// It refuses us: it wants an authentication that we did not give or that it did not accept.
    Authentication,
}

/// What went by at one relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounters {
    /// Frames that came in.
    pub received: u64,
    /// Frames that were written.
    pub sent: u64,
    /// Frames that were not taken because the queue to the relay was full.
    pub dropped: u64,
    /// Events larger than 64 KiB that were thrown away.
    pub oversized: u64,
    /// Frames that could not be read, or made no sense.
    pub garbage: u64,
    /// Standing subscriptions that the relay closed.
    pub closed: u64,
}
