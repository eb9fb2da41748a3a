//! What goes in and out: objects, and their translation from and to the core. Nothing else.

pub mod event;
pub mod handshake;
pub mod keys;
pub mod options;
pub mod payment;
pub mod relay;
pub mod request;
pub mod wallet;

use portal_core::primitives::Timestamp;

/// Seconds as JavaScript's number; what is beyond its exact range is as good as never.
fn seconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_secs()).unwrap_or(i64::MAX)
}
