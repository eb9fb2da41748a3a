//! Portal's core: authentication, Lightning payments and tickets over Nostr, for both sides.

pub mod conversation;
pub mod driver;
pub mod env;
pub mod event;
pub mod identity;
pub mod keystore;
pub mod payments;
pub mod primitives;
pub mod protocol;
pub mod relay;
pub mod storage;
pub mod wallet;

pub use nostr::PublicKey;
