//! The built-in Breez (Spark) wallet: its official native library, loaded at run time.
//!
//! ```text
//!   BreezLibrary::open ──▶ BreezWallet::open ──▶ a LightningWallet
//!   find, check, load      words, folder, …       invoices, payments, events
//! ```
//!
//! The library is not part of this crate and not built with it: it is the one that Breez
//! publishes for other languages, called through its C interface (`ffi`, the only file with
//! `unsafe`). Its own description says how its types are laid out (`metadata`, `codec`); what
//! is used of them is written down and compared in `contract`. `library` refuses everything but the
//! version it was written for.
//!
//! What this crate does not do: LNURL, Lightning addresses of one's own, tokens, stable balances,
//! withdrawals and refunds of on-chain deposits, although the library has them. Loading it on
//! phones is possible by design and was not tried.

#![deny(unsafe_code)]

mod api;
mod books;
mod codec;
mod config;
mod contract;
mod error;
#[expect(unsafe_code, reason = "the calls into the foreign library")]
mod ffi;
pub mod find;
mod freshness;
mod library;
mod lookup;
mod metadata;
mod pay;
mod wallet;

pub use self::config::{
    BreezConfig, BreezNetwork, FeePolicy, Fractions, Limits, SparkEnvironment, SparkOperator,
};
pub use self::library::{BreezLibrary, LibraryError, VERSION};
pub use self::wallet::{BreezWallet, OpenError};
