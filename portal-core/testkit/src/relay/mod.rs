//! Relays on loopback: [`EphemeralRelay`] is our own, small and fast, and tells what happens in
//! it; [`LocalRelay`] is one that we did not write; [`FaultProxy`] stands in front of either.

mod ephemeral;
mod index;
pub(crate) mod listener;
mod local;
mod proxy;

pub use self::ephemeral::{EphemeralOptions, EphemeralRelay};
pub use self::local::LocalRelay;
pub use self::proxy::{FaultProxy, ProxyMode};

/// Why a relay or a proxy could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The port could not be opened.
    #[error("the port could not be opened")]
    Listen(#[from] std::io::Error),
}
