//! Portal for Node.
//!
//! An edge over `portal-core`: it checks what comes in, translates it, and calls the core on Node's
//! tokio runtime. What a call means is decided in the core; what JavaScript likes better than
//! napi gives (error objects, `for await`) is in `lib.js`.
//!
//! JavaScript cannot drop a future, so whatever was begun is finished.

mod client;
mod error;
mod events;
mod foreign;
mod keys;
mod limits;
mod service;
mod simulated;
pub mod types;
mod wallet;

pub use client::Client;
pub use error::error_codes;
pub use events::{EventStream, Requests};
pub use keys::{Keypair, Mnemonic, parse_handshake_url, parse_public_key, verify_jwt};
pub use service::Service;
pub use simulated::SimulatedNetwork;
pub use wallet::Wallet;
