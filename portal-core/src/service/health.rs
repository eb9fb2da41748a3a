//! How a service is: the truth about relays, wallet, storage and the loop.

use std::time::Duration;

use crate::driver::Node;
use crate::primitives::ErrorCode;
use crate::relay::RelayStatus;
use crate::wallet::WalletState;

/// How long each part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a service is.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the loop answers; without it nothing works.
    pub alive: bool,
    /// Conversations that are open.
    pub open_conversations: usize,
    /// Every relay, and how it is.
    pub relays: Vec<RelayStatus>,
    /// Whether the wallet answers; `None` when there is none.
    pub wallet: Option<Result<(), ErrorCode>>,
    /// How the connection to the wallet is: tells a connection that was deleted from a wallet that
    /// cannot be reached.
    pub wallet_state: Option<WalletState>,
    /// Whether the store can write.
    pub storage: Result<(), ErrorCode>,
}

impl Health {
    pub(super) async fn of(node: &Node) -> Self {
        let wallet = async {
            let wallet = node.wallet()?;
            Some(match tokio::time::timeout(PATIENCE, wallet.info()).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(crate::error::Error::from(error).code()),
                Err(_) => Err(ErrorCode::WalletUnavailable),
            })
        };
        let storage = async {
            match tokio::time::timeout(PATIENCE, node.store().check()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(crate::error::Error::from(error).code()),
                Err(_) => Err(ErrorCode::StorageFailed),
            }
        };
        let (open, wallet, storage) = tokio::join!(node.open_conversations(), wallet, storage);
        Self {
            alive: open.is_some(),
            open_conversations: open.unwrap_or(0),
            relays: node.pool().status(),
            wallet,
            wallet_state: node.wallet().map(|wallet| wallet.state()),
            storage,
        }
    }

    /// Our own relays: not those that other people named and that are borrowed for a while.
    pub fn own_relays(&self) -> impl Iterator<Item = &RelayStatus> {
        self.relays.iter().filter(|relay| !relay.leased)
    }

    /// How many of our own relays are connected.
    #[must_use]
    pub fn relays_connected(&self) -> usize {
        self.own_relays().filter(|relay| relay.is_connected()).count()
    }

    /// Whether logins and payments can be served now: the loop, the store, a relay of our own
    /// and, when there is one, the wallet.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.alive
            && self.storage.is_ok()
            && self.relays_connected() > 0
            && self.wallet.as_ref().is_none_or(Result::is_ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::{RelayAddress, RelayCounters, RelayState};

    fn relay(url: &str, state: RelayState, leased: bool) -> RelayStatus {
        RelayStatus {
            relay: RelayAddress::parse(url).expect("an address"),
            state,
            leased,
            connected_since: None,
            attempts: 0,
            latency: None,
            queued: 0,
            counters: RelayCounters::default(),
        }
    }

    #[test]
    fn relays_that_others_named_do_not_make_us_ready() {
        let mut health = Health {
            alive: true,
            open_conversations: 0,
            relays: vec![
                relay("wss://ours.example", RelayState::Connecting, false),
                relay("wss://theirs.example", RelayState::Connected, true),
            ],
            wallet: None,
            wallet_state: None,
            storage: Ok(()),
        };
        assert_eq!((health.relays_connected(), health.own_relays().count()), (0, 1));
        assert!(!health.is_ready());
        health.relays[0].state = RelayState::Connected;
        assert!(health.is_ready());
    }
}
