//! One type per unit and per id, so that a wrong mix does not compile, and the map that very many of
//! them are kept in.
//!
//! Nothing here knows the wire beyond its own textual form, and nothing here does I/O.

mod error_code;
mod ids;
mod money;
mod paged_map;
mod secret;
mod timestamp;

pub use error_code::ErrorCode;
pub use ids::{RequestId, StreamId};
pub use money::{CurrencyCode, FiatAmount, Millisats, MoneyError};
pub use paged_map::PagedMap;
pub use secret::Secret;
pub use timestamp::Timestamp;
