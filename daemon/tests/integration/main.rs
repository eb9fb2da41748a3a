//! The daemon on a loopback socket, with a relay, a person's wallet app and simulated money.

mod cashu;
mod clients;
mod config;
mod harness;
mod hostile;
mod lightning_address;
mod rates;
mod rest;
mod restart;
mod resume;
mod wallet;
mod ws;
