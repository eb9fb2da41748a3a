//! The relays of our own.

use crate::driver::Node;
use crate::error::Error;
use crate::relay::{RelayAddress, RelayStatus};

/// The relays of our own.
#[derive(Clone, Copy)]
pub struct Relays<'a>(pub(crate) &'a Node);

impl Relays<'_> {
    /// Adds a relay; it is connected in the background.
    ///
    /// # Errors
    /// When it is not an address of a relay.
    pub fn add(&self, relay: &str) -> Result<RelayAddress, Error> {
        let relay = RelayAddress::parse(relay)?;
        self.0.add_relay(relay.clone());
        Ok(relay)
    }

    /// Removes a relay. The address is returned also when it was not there.
    ///
    /// # Errors
    /// When it is not an address of a relay.
    pub fn remove(&self, relay: &str) -> Result<RelayAddress, Error> {
        let relay = RelayAddress::parse(relay)?;
        self.0.remove_relay(&relay);
        Ok(relay)
    }

    /// Every relay that is in use, and how it is.
    #[must_use]
    pub fn status(&self) -> Vec<RelayStatus> {
        self.0.pool().status()
    }
}
