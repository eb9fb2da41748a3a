//! The ways into the daemon. They carry commands and events; what a command means is in
//! [`crate::commands`].

pub mod lightning_address;
pub mod readiness;
pub mod rest;
pub mod server;
pub mod ws;
