//! The port to relays: connections, subscriptions, delivery. It moves frames; it does not open,
//! verify or route what is in them.
//!
//! [`nostr::NostrRelays`] is the real one (WebSocket), [`memory::MemoryHub`] the one for tests.
//!
//! ```text
//!            publish / subscribe / query / lease                RelaySink (called by readers)
//!   driver ───────────────────────────────────▶  RelayPool  ───────────────────────────────▶ driver
//!                 (never waits)                 one task a relay    event text, connected, ok
//! ```
//!
//! # Invariants
//! - No call waits for the network. A relay that is silent, slow or dead costs the others nothing.
//! - Standing subscriptions are sent first on every (re)connection; [`RelaySink::connected`] is
//!   called only after they were written, so what is published then finds them in place.
//! - A relay's answer to a published event reaches the sink only when the publication asked for it.

pub mod address;
pub mod memory;
pub mod nostr;
mod status;
#[cfg(feature = "testing")]
pub mod suite;

use std::sync::Arc;
use std::time::Duration;

use ::nostr::EventId;
pub use address::{AddressError, AddressPolicy, RelayAddress};
pub use status::{RelayCounters, RelayRefusal, RelayState, RelayStatus};

/// Connections to relays.
pub trait RelayPool: Send + Sync {
    /// Replaces the standing subscriptions: `(id, filter JSON)`. They are sent to every relay now
    /// and on every later connection.
    fn set_subscriptions(&self, subscriptions: Vec<(String, String)>);

    /// Puts an event on the way. Relays that are not connected are skipped: whoever must reach
    /// them publishes again when [`RelaySink::connected`] names them.
    /// Returns to how many connected relays it was handed.
    fn publish(&self, publication: Publication) -> usize;

    /// Sends a one-off `REQ` to every connected relay; what comes back reaches the sink under this
    /// subscription id until [`RelayPool::close_query`]. Returns the relays that were asked.
    fn query(&self, id: &str, filter: &str) -> Vec<RelayAddress>;

    /// Ends a one-off `REQ` everywhere.
    fn close_query(&self, id: &str);

    /// Adds a relay of our own; it stays until it is removed.
    fn add(&self, relay: RelayAddress);

    /// Removes a relay of our own. False when it was not there.
    fn remove(&self, relay: &RelayAddress) -> bool;

    /// Connects to a relay that someone else named, for at least this long; again to extend.
    /// Bounded (32 at once, the one with the earliest end gives way if it is past) and dropped
    /// when the time is over. Relays of our own are left as they are.
    ///
    /// # Errors
    /// When the bound is reached, or strangers may not name this address.
    fn lease(&self, relay: RelayAddress, duration: Duration) -> Result<(), LeaseRefused>;

    /// Every relay and how it is.
    fn status(&self) -> Vec<RelayStatus>;

    /// Closes every connection: flushes for at most a second, then ends. Idempotent.
    fn shutdown(&self) -> futures_util::future::BoxFuture<'static, ()>;
}

/// An event to publish.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The id of the event, for the answer.
    pub event_id: EventId,
    /// The whole frame: `["EVENT",{…}]`.
    pub frame: Arc<str>,
    /// Where to.
    pub to: Targets,
    /// Whether the relays' answers are wanted ([`RelaySink::accepted`]).
    pub track: bool,
}

/// Which relays a publication goes to.
#[derive(Clone, Debug)]
pub enum Targets {
    /// Our own relays and those that are leased.
    All,
    /// Our own relays and these.
    OwnAnd(Arc<[RelayAddress]>),
    /// Exactly these.
    Only(Arc<[RelayAddress]>),
}

/// Receives what relays say. Called from the readers; must return quickly and never block on I/O.
pub trait RelaySink: Send + Sync + 'static {
    /// An `EVENT` frame, whole, as text, not checked in any way but its size and its prefix
    /// `["EVENT",`.
    fn event(&self, relay: &RelayAddress, frame: &str);

    /// The relay is connected and has our subscriptions. `first` is false on a reconnection, and
    /// when subscriptions are in place again that the relay had closed or wanted an
    /// authentication for: what was sent or awaited in between may be lost.
    fn connected(&self, relay: &RelayAddress, first: bool);

    /// The relay is gone; the pool tries again by itself.
    fn disconnected(&self, relay: &RelayAddress);

    /// The relay answered a tracked publication.
    fn accepted(&self, relay: &RelayAddress, event_id: EventId, accepted: bool, message: &str);

    /// The relay has sent what it stored for this one-off query, or refused it, or is gone. Once
    /// for each relay that [`RelayPool::query`] returned, unless the query was closed before.
    fn query_ended(&self, relay: &RelayAddress, id: &str);

    /// Signs an authentication event for a relay that asks for one (NIP-42): the whole frame
    /// `["AUTH",{…}]`, or `None` to stay anonymous.
    fn authenticate(&self, relay: &RelayAddress, challenge: &str) -> Option<(EventId, String)>;
}

/// Why a relay that someone else named is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRefused {
    /// No more relays of strangers can be held at once.
    #[error("too many relays that others named are in use")]
    TooMany,
    /// Strangers may not name this address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The pool has been shut down.
    #[error("the relay pool is shut down")]
    ShutDown,
}
