//! Portal for Kotlin, Swift, Python and React Native.
//!
//! An edge: it checks what comes in, translates it, and calls `portal-core`. What a call means is
//! decided there. The rules of this crate:
//!
//! - Work runs on a runtime of our own (`runtime`). Money moves and everything else that must not
//!   stop half way go on when the caller gives up; waiting ends.
//! - Requests and events come from `next()` and are given again until they are acknowledged.
//! - Every error is one [`PortalError`] with a stable [`ErrorCode`].
//! - No type that holds a key or a token can be printed.
//!
//! A first slice: keys, session tokens, handshakes, logins and single payments. Subscriptions,
//! invoices, tickets, profiles, and log listeners join with the full surface.

uniffi::setup_scaffolding!("portal");

mod client;
mod error;
mod foreign;
mod handshake;
mod keys;
mod limits;
mod requests;
mod runtime;
mod service;
mod simulated;
mod streams;
pub mod types;
mod wallet;

pub use client::Client;
pub use error::{ErrorCode, PortalError, error_word};
pub use foreign::{LightningWallet, WalletListener};
pub use handshake::parse_handshake_url;
pub use keys::{Keypair, Mnemonic, parse_public_key, verify_jwt};
pub use requests::Requests;
pub use service::Service;
pub use simulated::SimulatedNetwork;
pub use streams::EventStream;
pub use wallet::Wallet;
