//! What goes in and out: records, and their translation from and to the core. Nothing else.

pub mod event;
pub mod handshake;
pub mod keys;
pub mod options;
pub mod payment;
pub mod relay;
pub mod request;
pub mod wallet;
