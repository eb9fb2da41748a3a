//! The Portal daemon: the service side of `portal-core` for backends in any language, over a
//! WebSocket and plain HTTP.
//!
//! ```text
//!   transport/{ws,rest}   frames and routes                  config   file, environment, flags
//!          │                                                 auth, rate_limit   who may come in
//!          ▼                                                 lifecycle   starting and stopping
//!      commands           what a caller can ask for          telemetry   logs
//!          │
//!          ▼
//!   portal_core::service  all behaviour
//! ```
//!
//! The daemon translates, checks and bounds. It decides nothing about logins or money.

pub mod auth;
#[cfg(feature = "breez")]
pub mod breez;
pub mod commands;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod error;
pub mod lifecycle;
pub mod rate_limit;
pub mod start;
pub mod state;
pub mod telemetry;
#[cfg(feature = "cashu")]
pub mod tickets;
pub mod transport;

pub use lifecycle::run;
pub use transport::server::router;
