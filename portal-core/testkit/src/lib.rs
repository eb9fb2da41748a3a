//! What tests of Portal stand on: relays on loopback, a proxy that breaks connections, and the
//! servers of Spark for the built-in wallet.
//!
//! Everything listens on 127.0.0.1, on ports that the kernel chooses, and ends when it is dropped.

#[cfg(feature = "mint")]
pub mod mint;
pub mod relay;
pub mod spark;

pub use relay::{EphemeralOptions, EphemeralRelay, FaultProxy, LocalRelay, ProxyMode, RelayError};
pub use spark::{FakeSpark, NextReceive, NextSend, SparkAccess};
