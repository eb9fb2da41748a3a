//! Putting a client together.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Client, Inbox, automatic};
use crate::conversation::{Limits, Role};
use crate::driver::{Connector, Node, NodeOptions};
use crate::env::Env;
use crate::error::Error;
use crate::identity::LocalKey;
use crate::payments::PayPolicy;
use crate::rates::RateDesk;
use crate::relay::{AddressPolicy, RelayAddress};
use crate::storage::Store;
use crate::storage::memory::MemoryStore;
use crate::wallet::LightningWallet;

/// Describes a client; [`ClientBuilder::start`] makes it.
pub struct ClientBuilder {
    key: LocalKey,
    env: Env,
    relays: Vec<RelayAddress>,
    store: Option<Arc<dyn Store>>,
    limits: Limits,
    rates: Option<Arc<RateDesk>>,
    allow_private: bool,
    connector: Option<Connector>,
    automatic: bool,
    wallet: Option<Arc<dyn LightningWallet>>,
    payments: PayPolicy,
}

impl ClientBuilder {
    pub(super) fn new(key: LocalKey) -> Self {
        Self {
            key,
            env: Env::system(),
            relays: Vec::new(),
            store: None,
            limits: Limits::default(),
            rates: None,
            allow_private: false,
            connector: None,
            automatic: false,
            wallet: None,
            payments: PayPolicy::default(),
        }
    }

    /// The relays it listens on, and names to services.
    #[must_use]
    pub fn relays(mut self, relays: Vec<RelayAddress>) -> Self {
        self.relays = relays;
        self
    }

    /// Durable memory. Without it nothing survives the process.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Clock and randomness other than the system's.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// What strangers can make it hold.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether services may name relays on private addresses (development, tests).
    #[must_use]
    pub const fn allow_private_relays(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }

    /// Our own exchange rates, to compare those of services with.
    #[must_use]
    pub fn rates(mut self, rates: Arc<RateDesk>) -> Self {
        self.rates = Some(rates);
        self
    }

    /// Another relay pool than WebSocket connections.
    #[must_use]
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Pays the charges of subscriptions that the person authorised without asking, from this
    /// wallet, within what they authorised. Charges in fiat also need [`ClientBuilder::rates`].
    /// Everything else is a request as before.
    #[must_use]
    pub fn pay_subscriptions(mut self, wallet: Arc<dyn LightningWallet>) -> Self {
        self.wallet = Some(wallet);
        self.automatic = true;
        self
    }

    /// The person's wallet: makes the invoices that are asked for, and pays.
    #[must_use]
    pub fn wallet(mut self, wallet: Arc<dyn LightningWallet>) -> Self {
        self.wallet = Some(wallet);
        self
    }

    /// Within which bounds it pays.
    #[must_use]
    pub const fn payment_policy(mut self, policy: PayPolicy) -> Self {
        self.payments = policy;
        self
    }

    /// Restores what was open, connects and starts listening on this runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Not cancel safe: a client that was half started ends when its tasks are dropped.
    pub async fn start(self, handle: Handle) -> Result<Client, Error> {
        let policy =
            if self.allow_private { AddressPolicy::Open } else { AddressPolicy::PublicOnly };
        let env = self.env;
        let connector = match self.connector {
            Some(connector) => connector,
            None => crate::driver::websocket(handle.clone(), env.clone(), self.allow_private),
        };
        let inbox = Arc::new(Inbox::new(self.automatic));
        let options = NodeOptions {
            env,
            key: self.key,
            role: Role::Client,
            limits: self.limits,
            relays: self.relays,
            connector,
            policy,
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            wallet: self.wallet,
            policy_of_payments: self.payments,
            rates: self.rates,
            inbox: Some(inbox.clone()),
        };
        let node = Node::start(options, handle).await?;
        let books = Arc::default();
        if self.automatic {
            automatic::start(&node, &inbox, &books);
        }
        Ok(Client { node, inbox, books })
    }
}
