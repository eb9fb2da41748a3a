//! The mint as wallets see it, over HTTP on loopback, on every database there is.
//!
//! PostgreSQL is used when `PORTAL_TEST_POSTGRES` names a server (`cargo xtask test` starts one);
//! each test has a schema of its own in it.

mod books;
mod door;
mod lightning;
mod restart;
mod socket;
mod sockets;
mod tickets;
mod wallets;
mod world;
