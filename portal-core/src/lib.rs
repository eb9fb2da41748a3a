//! Portal's core: authentication, Lightning payments and tickets over Nostr, for both sides.
//!
//! A [`Service`](service::Service) is a merchant: it shows a URL, learns who opened it, asks for
//! money and hears `paid` from its wallet. A [`Client`](client::Client) is a person's wallet app:
//! it opens the URL, shows requests and answers them. Both stand on the same rows, each of which
//! sees only itself and what is below:
//!
//! ```text
//!   façade       client  service
//!   driver       the one place that spawns, waits and does I/O for the machines
//!   operations   payments  subscriptions
//!   ports        relay  storage  keystore  wallet  rates
//!   machines     conversation
//!   vocabulary   protocol  identity  event  primitives  env
//! ```
//!
//! This crate knows no binding and no HTTP server.
//!
//! # Examples
//! ```
//! use portal_core::env::Env;
//! use portal_core::identity::LocalKey;
//! use portal_core::service::{Call, NewHandshake, Service};
//!
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let key = LocalKey::generate(&Env::system());
//! let service = Service::builder(key)
//!     .relays(vec!["ws://127.0.0.1:7777".parse()?])
//!     .start(tokio::runtime::Handle::current())
//!     .await?;
//! let login = service.logins().handshake_url(NewHandshake::default(), Call::default()).await?;
//! assert!(login.url.starts_with("portal://npub1"));
//! service.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "cashu")]
pub mod cashu;
pub mod client;
pub mod conversation;
pub mod driver;
pub mod env;
pub mod error;
pub mod event;
pub mod identity;
pub mod keystore;
pub mod payments;
pub mod primitives;
pub mod protocol;
pub mod rates;
pub mod relay;
pub mod service;
pub mod storage;
pub mod subscriptions;
pub mod wallet;

pub use error::Error;
pub use nostr::PublicKey;
