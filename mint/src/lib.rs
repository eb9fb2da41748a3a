//! A Cashu mint for tickets: custom units with their pictures and dates, given out by whoever
//! holds a token, and, beside them, a `sat` that is paid over Lightning.
//!
//! The protocol is cdk's; this crate is what stands around it:
//!
//! ```text
//!  http::server   connections
//!  http::door     the list of paths, tokens, switches, limits        auth, rate_limit
//!  http::*        quotes paid at once, caps, units in /v1/info        supply, units, metrics
//!  cdk-axum, cdk  the protocol
//!  backend        tickets: nothing to pay;  lightning: a wallet
//!  store          SQLite or PostgreSQL, sums, copies                  keysets, seed
//! ```
//!
//! It deliberately does not speak OpenID or blind authentication (NUT-21, NUT-22), and it has no
//! page for people. Amounts are always in the base unit of their unit: one ticket, one satoshi.

pub mod auth;
pub mod backend;
pub mod config;
mod dev;
mod http;
mod keysets;
pub mod locate;
mod metrics;
mod rate_limit;
mod seed;
mod start;
mod store;
mod supply;
pub mod telemetry;
mod token_files;
pub mod units;
mod wallet;

pub use dev::{Dev, DevError, DevMint, dev, dev_on};
pub use keysets::{KeysetError, KeysetInfo, Keysets};
pub use seed::SeedError;
pub use start::{Mint, Setup, StartError, open_keys};
pub use store::{Access, Account, DynKeys, Store, StoreError, back_up};
pub use supply::SupplyError;
pub use token_files::{TokenFilesError, read as read_tokens};
pub use wallet::{WalletOpenError, check_wallet, open_wallet};
