//! The merchant's side: who is this person, may I have money, here is a ticket.
//!
//! Every call that waits for a person opens a *stream* and returns its id as soon as the request
//! is durable. What happens is appended to the stream's log and told to whoever is attached. A
//! stream outlives the caller, the connection and the process.

mod builder;
mod call;
mod health;
mod idempotency;
mod instructions;
mod invoices;
mod logins;
mod payments;
mod prices;
mod profiles;
mod reader;
mod receipts;
mod refunds;
mod relays;
mod schedule;
mod streams;
mod subscriptions;
mod tickets;
mod tokens;

use std::sync::Arc;

use nostr::PublicKey;

pub use builder::ServiceBuilder;
pub use call::{Call, Idempotency, Opened, Recipient};
pub use health::Health;
pub use idempotency::Answers;
pub use instructions::{PayTo, Withdrawal};
pub use invoices::{Invoices, NewInvoiceRequest};
pub use logins::{HandshakeOpened, Logins, NewHandshake};
pub use payments::{NewPayment, NewSinglePayment, Payments};
pub use profiles::Profiles;
pub use reader::EventReader;
pub use receipts::{NewWalkIn, RECEIPTS};
pub use refunds::NewRefund;
pub use relays::Relays;
pub use schedule::{AgreedSubscription, ChargeOptions, SchedulePlan};
pub use streams::Streams;
pub use subscriptions::{CLOSES, NewRecurringPayment, Subscriptions};
pub use tickets::{NewCashuRequest, Tickets};
pub use tokens::Tokens;

pub(crate) use logins::json;
pub(crate) use payments::make_invoice;
pub(crate) use streams::wait as await_delivery;

pub use crate::driver::EventSink;

use crate::driver::Node;
use crate::identity::LocalKey;
use crate::primitives::Timestamp;
use crate::storage::Store;
use crate::storage::memory::MemoryStore;

/// How long a person has to answer, unless the request says otherwise.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);
/// The longest a request may stay open.
pub const LONGEST: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// A merchant on the network. Cheap to clone; all clones are the same merchant.
#[derive(Clone)]
pub struct Service {
    node: Arc<Node>,
    schedule: Arc<schedule::Schedule>,
}

impl Service {
    /// Starts to describe a service with this key.
    #[must_use]
    pub fn builder(key: LocalKey) -> ServiceBuilder {
        Self::builder_with_store(key, Arc::new(MemoryStore::new()))
    }

    /// Starts to describe a service with this key and durable memory. A program that calls only
    /// this one does not contain the store that forgets.
    #[must_use]
    pub fn builder_with_store(key: LocalKey, store: Arc<dyn Store>) -> ServiceBuilder {
        ServiceBuilder::new(key, store)
    }

    /// The key it signs with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.node.key().public_key()
    }

    /// The key people know it by: the main key of its proof, or its own.
    #[must_use]
    pub fn main_key(&self) -> PublicKey {
        self.node.key().main_key()
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &LocalKey {
        self.node.key()
    }

    /// Logging people in.
    #[must_use]
    pub fn logins(&self) -> Logins<'_> {
        Logins(&self.node)
    }

    /// Asking for money, and paying out.
    #[must_use]
    pub fn payments(&self) -> Payments<'_> {
        Payments(&self.node)
    }

    /// Recurring payments.
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions { node: &self.node, schedule: &self.schedule }
    }

    /// Asking people for invoices.
    #[must_use]
    pub fn invoices(&self) -> Invoices<'_> {
        Invoices(&self.node)
    }

    /// Sending and asking for tickets.
    #[must_use]
    pub fn tickets(&self) -> Tickets<'_> {
        Tickets(&self.node)
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

    /// Its own relays.
    #[must_use]
    pub fn relays(&self) -> Relays<'_> {
        Relays(&self.node)
    }

    /// The logs of its streams.
    #[must_use]
    pub fn streams(&self) -> Streams<'_> {
        Streams(&self.node)
    }

    /// Answers of commands that were done at once, by idempotency key.
    #[must_use]
    pub fn idempotency(&self) -> Answers<'_> {
        Answers(&self.node)
    }

    /// How it is.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn health(&self) -> Health {
        Health::of(&self.node).await
    }

    /// The present second by the service's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.node.env().now()
    }

    /// Stops: what is durable is told, connections end, the store is written. False when
    /// something did not end within two seconds. Idempotent.
    ///
    /// # Cancel safety
    /// Call it again when it was dropped.
    pub async fn shutdown(&self) -> bool {
        self.node.shutdown().await
    }

    /// The node below, for measuring and for tests.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("public_key", &self.public_key().to_hex()).finish()
    }
}
