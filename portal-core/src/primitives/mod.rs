//! One type per unit and per id, so that a wrong mix does not compile.
//!
//! Nothing here knows the wire beyond its own textual form, and nothing here does I/O.

mod error_code;
mod ids;
mod money;
mod secret;
mod timestamp;

pub use error_code::ErrorCode;
pub use ids::{RequestId, StreamId};
pub use money::{CurrencyCode, FiatAmount, Millisats, MoneyError};
pub use secret::Secret;
pub use timestamp::Timestamp;
