//! The daemon on a loopback socket, with a relay, a person's wallet app and simulated money.

#[cfg(feature = "breez")]
mod breez;
mod cashu;
mod clients;
mod config;
mod dev_mint;
mod harness;
mod hostile;
mod lightning_address;
mod payments;
mod rates;
mod rest;
mod restart;
mod resume;
mod subscriptions;
mod wallet;
mod ws;
