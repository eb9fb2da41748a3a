//! Putting a service together.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::schedule::{ChargeOptions, Schedule};
use super::{Service, receipts, subscriptions};
use crate::conversation::{Limits, Role};
use crate::driver::{Connector, Node, NodeOptions};
use crate::env::Env;
use crate::error::Error;
use crate::identity::LocalKey;
use crate::payments::PayPolicy;
use crate::rates::RateDesk;
use crate::relay::{AddressPolicy, RelayAddress};
use crate::storage::Store;
use crate::wallet::LightningWallet;

/// How long the logs of ended streams are kept.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often old logs are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Describes a service; [`ServiceBuilder::start`] makes it.
pub struct ServiceBuilder {
    key: LocalKey,
    env: Env,
    relays: Vec<RelayAddress>,
    store: Arc<dyn Store>,
    wallet: Option<Arc<dyn LightningWallet>>,
    rates: Option<Arc<RateDesk>>,
    allow_private: bool,
    connector: Option<Connector>,
    retention: Duration,
    charges: Option<ChargeOptions>,
    payments: PayPolicy,
}

impl ServiceBuilder {
    pub(super) fn new(key: LocalKey, store: Arc<dyn Store>) -> Self {
        Self {
            key,
            env: Env::system(),
            relays: Vec::new(),
            store,
            wallet: None,
            rates: None,
            allow_private: false,
            connector: None,
            retention: RETENTION,
            charges: None,
            payments: PayPolicy::default(),
        }
    }

    /// Its own relays.
    #[must_use]
    pub fn relays(mut self, relays: Vec<RelayAddress>) -> Self {
        self.relays = relays;
        self
    }

    /// Another memory than what it was begun with.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = store;
        self
    }

    /// The wallet that makes invoices and says what is paid.
    #[must_use]
    pub fn wallet(mut self, wallet: Arc<dyn LightningWallet>) -> Self {
        self.wallet = Some(wallet);
        self
    }

    /// Clock and randomness other than the system's.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Whether people may name relays on private addresses (`--dev`, tests).
    #[must_use]
    pub const fn allow_private_relays(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }

    /// What prices amounts in fiat currencies. Without it they are refused.
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

    /// How long the logs of ended streams, and idempotency keys, are kept; 30 days by default.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Charges subscriptions by a schedule; without this a merchant runs their own.
    #[must_use]
    pub fn charge_subscriptions(mut self, options: ChargeOptions) -> Self {
        self.charges = Some(options);
        self
    }

    /// Within which bounds it pays: fees, spending in a day and on one recipient.
    #[must_use]
    pub const fn payment_policy(mut self, policy: PayPolicy) -> Self {
        self.payments = policy;
        self
    }

    /// Restores what was open, connects and starts working on this runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Not cancel safe: a service that was half started ends when its tasks are dropped.
    pub async fn start(self, handle: Handle) -> Result<Service, Error> {
        let policy =
            if self.allow_private { AddressPolicy::Open } else { AddressPolicy::PublicOnly };
        let env = self.env;
        let connector = match self.connector {
            Some(connector) => connector,
            None => crate::driver::websocket(handle.clone(), env.clone(), self.allow_private),
        };
        let options = NodeOptions {
            env,
            key: self.key,
            role: Role::Service,
            limits: Limits::default(),
            relays: self.relays,
            connector,
            policy,
            store: self.store,
            wallet: self.wallet,
            policy_of_payments: self.payments,
            rates: self.rates,
            inbox: None,
        };
        let node = Node::start(options, handle).await?;
        subscriptions::listen_for_closes(&node).await?;
        receipts::listen(&node).await?;
        prune_regularly(&node, self.retention);
        let schedule = Arc::new(Schedule::start(&node, self.charges));
        Ok(Service { node, schedule })
    }
}

/// Forgets what is older than it has to be, once an hour.
fn prune_regularly(node: &Arc<Node>, retention: Duration) {
    let store = node.shared_store();
    let env = node.env().clone();
    let tasks = node.tasks().clone();
    node.tasks().spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PRUNE_EVERY) => {}
                () = tasks.stopping() => return,
            }
            match store.prune(env.now().saturating_sub(retention)).await {
                Ok(rows) => tracing::debug!(rows, "old logs were pruned"),
                Err(error) => tracing::warn!(%error, "old logs could not be pruned"),
            }
        }
    });
}
