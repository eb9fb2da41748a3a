//! The wire format, in one place: kinds, messages, the handshake URL, calendars.
//!
//! Only shapes and their checks. Who may send what when is for [`crate::conversation`]; keys and
//! signatures are in [`crate::identity`].

pub mod auth;
pub mod calendar;
pub mod envelope;
pub mod handshake;
pub mod invoice;
pub mod kinds;
pub mod payment;
pub mod profile;
pub mod subkey;
pub mod subscription;
pub mod ticket;

mod currency;

pub use currency::{Currency, ExchangeRate};
