//! The official library against the servers of Spark from the testkit: nothing of the wallet is
//! simulated.
//!
//! `PORTAL_BREEZ_LIB` names the library; `cargo xtask test` fetches it and sets the variable.
//! Without it these tests say that they were skipped, or fail where `PORTAL_BREEZ_REQUIRED` is set.

mod library;
mod outages;
mod receive;
mod send;
mod suite;
mod world;
