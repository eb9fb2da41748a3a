//! What a node is made of.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::conversation::answer::Answer;
use crate::conversation::{Limits, Role};
use crate::env::Env;
use crate::identity::LocalKey;
use crate::payments::PayPolicy;
use crate::primitives::StreamId;
use crate::rates::RateDesk;
use crate::relay::nostr::{NostrRelays, RelayOptions};
use crate::relay::{AddressPolicy, RelayAddress, RelayPool, RelaySink};
use crate::storage::Store;
use crate::wallet::LightningWallet;

/// Makes the relay pool, given the ear it reports to.
pub type Connector = Box<dyn FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> + Send>;

/// Connects to relays over WebSocket.
#[must_use]
pub fn websocket(handle: Handle, env: Env, allow_private: bool) -> Connector {
    Box::new(move |sink| {
        let options = RelayOptions { allow_private, ..RelayOptions::default() };
        let pool: Arc<dyn RelayPool> = NostrRelays::start(handle, env, sink, options);
        pool
    })
}

/// Hears of requests to the person, once they are durable.
pub trait InboxListener: Send + Sync {
    /// A request is new or changed (`Some`), or is over (`None`). Quick, never blocks.
    fn changed(&self, stream: StreamId, request: Option<Answer>);
}

/// What a node is made of.
pub struct NodeOptions {
    /// Clock and randomness.
    pub env: Env,
    /// The key.
    pub key: LocalKey,
    /// Which side it is on.
    pub role: Role,
    /// What strangers can make it hold.
    pub limits: Limits,
    /// Its own relays.
    pub relays: Vec<RelayAddress>,
    /// Makes the pool.
    pub connector: Connector,
    /// Which relays strangers may name.
    pub policy: AddressPolicy,
    /// Durable memory.
    pub store: Arc<dyn Store>,
    /// The authority on money.
    pub wallet: Option<Arc<dyn LightningWallet>>,
    /// Within which bounds it pays.
    pub policy_of_payments: PayPolicy,
    /// What prices fiat amounts.
    pub rates: Option<Arc<RateDesk>>,
    /// Hears of requests, on the client's side.
    pub inbox: Option<Arc<dyn InboxListener>>,
}
