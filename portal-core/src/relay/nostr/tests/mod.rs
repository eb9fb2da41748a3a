//! The pool against relays on loopback: the suite with two relays, then what only sockets can do.

mod faults;
mod hostile;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::nostr::Keys;
use async_trait::async_trait;
use portal_testkit::{EphemeralRelay, LocalRelay};
use tokio::runtime::Handle;

use super::{BackoffOptions, NostrRelays, RelayOptions};
use crate::env::Env;
use crate::relay::suite::{RecordingSink, Stage, filter};
use crate::relay::{RelayAddress, RelayPool, RelaySink};

/// Loopback is allowed, attempts come quickly.
fn quick() -> RelayOptions {
    let limit = Duration::from_millis(100);
    RelayOptions {
        allow_private: true,
        backoff: BackoffOptions {
            first: Duration::from_millis(10),
            young_limit: limit,
            limit,
            ..BackoffOptions::default()
        },
        ..RelayOptions::default()
    }
}

fn address(url: &str) -> RelayAddress {
    RelayAddress::parse(url).unwrap()
}

fn start(options: RelayOptions, sink: Arc<dyn RelaySink>) -> Arc<NostrRelays> {
    NostrRelays::start(Handle::current(), Env::system(), sink, options)
}

/// A pool with a standing subscription for these keys, connected.
async fn connected(
    options: RelayOptions,
    keys: &Keys,
    url: &str,
) -> (Arc<NostrRelays>, Arc<RecordingSink>) {
    let sink = RecordingSink::with_keys(Some(keys.clone()));
    let pool = start(options, sink.clone());
    pool.set_subscriptions(vec![("s".to_owned(), filter(keys))]);
    pool.add(address(url));
    sink.until("connected", |sink| sink.connections() >= 1).await;
    (pool, sink)
}

/// Waits for something that nobody reports.
async fn eventually(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(done.is_ok(), "never happened: {what}");
}

mod with_our_relay {
    use super::*;

    #[async_trait]
    impl Stage for EphemeralRelay {
        fn relay(&self) -> RelayAddress {
            address(&self.url())
        }

        fn pool(&self, sink: Arc<dyn RelaySink>) -> Arc<dyn RelayPool> {
            start(quick(), sink)
        }

        async fn go_down(&self) {
            self.stop().await;
        }

        async fn come_back(&self) {
            self.restart().await.unwrap();
        }

        async fn require_authentication(&self) {
            self.set_require_auth(true);
        }
    }

    async fn stage() -> EphemeralRelay {
        EphemeralRelay::start().await.unwrap()
    }

    crate::relay_suite!(stage);
}

mod with_a_foreign_relay {
    use super::*;

    struct ForeignStage {
        open: LocalRelay,
        asking: LocalRelay,
        asks: AtomicBool,
    }

    impl ForeignStage {
        fn current(&self) -> &LocalRelay {
            if self.asks.load(Ordering::SeqCst) { &self.asking } else { &self.open }
        }
    }

    #[async_trait]
    impl Stage for ForeignStage {
        fn relay(&self) -> RelayAddress {
            address(&self.current().url())
        }

        fn pool(&self, sink: Arc<dyn RelaySink>) -> Arc<dyn RelayPool> {
            start(quick(), sink)
        }

        async fn go_down(&self) {
            self.current().stop().await;
        }

        async fn come_back(&self) {
            self.current().restart().await.unwrap();
        }

        async fn require_authentication(&self) {
            self.asks.store(true, Ordering::SeqCst);
        }
    }

    async fn stage() -> ForeignStage {
        ForeignStage {
            open: LocalRelay::start().await.unwrap(),
            asking: LocalRelay::start_with_authentication().await.unwrap(),
            asks: AtomicBool::new(false),
        }
    }

    crate::relay_suite!(stage);
}
