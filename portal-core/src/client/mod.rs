//! The person's side: a wallet app that opens URLs, hears requests and answers them.
//!
//! Requests are durable: [`Requests::next`] gives the same one until it is marked as handled, also
//! after a restart. Replies are kept and sent again to whoever asks again.

mod automatic;
mod builder;
mod handshakes;
mod inbox;
mod invoices;
mod prices;
mod replies;
mod requests;
mod subscriptions;
#[cfg(feature = "cashu")]
mod tickets;

use std::sync::Arc;

use nostr::PublicKey;

pub use builder::ClientBuilder;
pub use handshakes::Handshakes;
pub use invoices::Invoices;
pub use prices::{Prices, TOLERANCE_PERMILLE};
pub use replies::Replies;
pub use requests::{IncomingRequest, RequestBody, Requests};
pub use subscriptions::{Allowance, Subscriptions};
#[cfg(feature = "cashu")]
pub use tickets::{Answered, Tickets};

use crate::driver::Node;
use crate::identity::LocalKey;
use crate::primitives::Timestamp;
use crate::service::{Profiles, Relays, Tokens};
use inbox::Inbox;

/// A person's wallet on the network. Cheap to clone; all clones are the same person.
#[derive(Clone)]
pub struct Client {
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    /// Held while what the person authorised is changed.
    books: Arc<tokio::sync::Mutex<()>>,
}

impl Client {
    /// Starts to describe a client with this key.
    #[must_use]
    pub fn builder(key: LocalKey) -> ClientBuilder {
        ClientBuilder::new(key)
    }

    /// The key it signs with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.node.key().public_key()
    }

    /// The person's main key.
    #[must_use]
    pub fn main_key(&self) -> PublicKey {
        self.node.key().main_key()
    }

    /// Opening the URLs of services.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes<'_> {
        Handshakes(&self.node)
    }

    /// What services ask.
    #[must_use]
    pub fn requests(&self) -> Requests<'_> {
        Requests { node: &self.node, inbox: &self.inbox }
    }

    /// Answering what services ask.
    #[must_use]
    pub fn replies(&self) -> Replies<'_> {
        Replies { node: &self.node, inbox: &self.inbox }
    }

    /// Giving invoices to services that ask for one.
    #[must_use]
    pub fn invoices(&self) -> Invoices<'_> {
        Invoices { node: &self.node, inbox: &self.inbox }
    }

    /// Whether what services ask for is fair.
    #[must_use]
    pub fn prices(&self) -> Prices<'_> {
        Prices(&self.node)
    }

    /// Tickets: taking what services give, answering what they ask for.
    #[cfg(feature = "cashu")]
    #[must_use]
    pub fn tickets<'a>(&'a self, wallet: &'a crate::cashu::TicketWallet) -> Tickets<'a> {
        Tickets { client: self, wallet }
    }

    /// Recurring payments.
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions { node: &self.node, books: &self.books }
    }

    /// Public profiles.
    #[must_use]
    pub fn profiles(&self) -> Profiles<'_> {
        Profiles(&self.node)
    }

    /// Session tokens.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(&self.node)
    }

    /// The relays of our own.
    #[must_use]
    pub fn relays(&self) -> Relays<'_> {
        Relays(&self.node)
    }

    /// The present second by the client's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.node.env().now()
    }

    /// Stops: connections end, the store is written. False when something did not end within five
    /// seconds. Idempotent.
    ///
    /// # Cancel safety
    /// Call it again when it was dropped.
    pub async fn shutdown(&self) -> bool {
        self.inbox.close();
        self.node.shutdown().await
    }

    /// The node below, for measuring and for tests.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("public_key", &self.public_key().to_hex()).finish()
    }
}
