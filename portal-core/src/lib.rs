//! Portal's core: authentication, Lightning payments and tickets over Nostr, for both sides.

pub mod env;
pub mod event;
pub mod identity;
pub mod primitives;
pub mod protocol;

pub use nostr::PublicKey;
