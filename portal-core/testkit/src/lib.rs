//! What tests of Portal stand on: relays on loopback and a proxy that breaks connections.
//!
//! Everything listens on 127.0.0.1, on ports that the kernel chooses, and ends when it is dropped.

#[cfg(feature = "mint")]
pub mod mint;
pub mod relay;

pub use relay::{EphemeralOptions, EphemeralRelay, FaultProxy, LocalRelay, ProxyMode, RelayError};
