//! What every figure stands on: relays and people in processes of their own, and a service here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nostr::PublicKey;
use portal_core::env::Env;
use portal_core::event::{PortalEvent, StreamEvent};
use portal_core::identity::LocalKey;
use portal_core::protocol::auth::AuthStatus;
use portal_core::relay::RelayAddress;
use portal_core::service::{Call, EventSink, NewHandshake, Recipient, Service};
use portal_core::storage::Store;
use portal_core::wallet::LightningWallet;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

use crate::child::Child;
use crate::load::{Answer, Crowd, Merchant};
use crate::people;
use crate::relay_process::RelayChild;

/// The seed of all people's keys.
pub const SEED: [u8; 32] = [42; 32];

/// A runtime with so many worker threads.
pub fn runtime(threads: usize) -> Result<Runtime> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    Ok(runtime)
}

/// Relays, each in a process of its own.
pub async fn relays(count: usize) -> Result<Vec<RelayChild>> {
    let mut relays = Vec::new();
    for _ in 0..count {
        relays.push(RelayChild::start().await?);
    }
    Ok(relays)
}

/// The addresses of relays.
pub fn urls(relays: &[RelayChild]) -> Vec<String> {
    relays.iter().map(|relay| relay.url.clone()).collect()
}

/// The addresses of the proxies in front of relays.
pub fn proxies(relays: &[RelayChild]) -> Vec<String> {
    relays.iter().map(|relay| relay.proxy.clone()).collect()
}

/// People in a process of their own.
pub struct Users {
    /// How to reach them.
    pub crowd: Crowd,
    _child: Child,
}

impl Users {
    /// Starts the process; it hears `service` on these relays. `known` people have keys.
    pub async fn start(
        relays: &[String],
        service: PublicKey,
        known: u64,
        manners: &[&str],
    ) -> Result<Self> {
        let mut arguments =
            vec!["users".to_owned(), hex::encode(SEED), service.to_hex(), relays.join(",")];
        arguments.extend(manners.iter().map(|word| (*word).to_owned()));
        let mut child = Child::own(&arguments)?;
        let keys = (0..known).map(|number| people::key_of(&SEED, number).public_key()).collect();
        if child.line().await? != "ready" {
            bail!("people did not connect");
        }
        let say = child.feed()?;
        Ok(Self { crowd: Crowd { keys, say }, _child: child })
    }

    /// Makes people known who will be asked without opening a URL.
    pub fn invite(&self, people: std::ops::Range<u64>) -> Result<()> {
        for number in people {
            self.crowd.say.send(format!("invite {number}"))?;
        }
        Ok(())
    }
}

/// A service in this process.
pub struct Core {
    /// Itself.
    pub service: Service,
    surplus: Arc<AtomicU64>,
}

impl Core {
    /// Starts it and waits until it is connected to all relays.
    pub async fn start(
        key: &LocalKey,
        relays: &[String],
        store: Arc<dyn Store>,
    ) -> Result<Arc<Self>> {
        Self::start_with(key, relays, store, None).await
    }

    /// The same with a wallet.
    pub async fn start_with(
        key: &LocalKey,
        relays: &[String],
        store: Arc<dyn Store>,
        wallet: Option<Arc<dyn LightningWallet>>,
    ) -> Result<Arc<Self>> {
        let parsed: Vec<_> =
            relays.iter().map(|relay| RelayAddress::parse(relay)).collect::<Result<_, _>>()?;
        let builder =
            Service::builder(key.clone()).relays(parsed).store(store).allow_private_relays(true);
        let builder = match wallet {
            Some(wallet) => builder.wallet(wallet),
            None => builder,
        };
        let service = builder.start(Handle::current()).await?;
        connected(&service, relays.len()).await?;
        Ok(Arc::new(Self { service, surplus: Arc::default() }))
    }

    /// A listener that takes one event and counts what comes after it.
    pub fn ear(&self) -> (Call, oneshot::Receiver<Arc<StreamEvent>>) {
        let (sender, event) = oneshot::channel();
        let ear = Ear { first: Mutex::new(Some(sender)), surplus: self.surplus.clone() };
        (Call { attach: Some(Arc::new(ear)), ..Call::default() }, event)
    }
}

/// Waits until a service is connected to so many relays.
pub async fn connected(service: &Service, count: usize) -> Result<()> {
    let wait = async {
        while service.relays().status().iter().filter(|relay| relay.is_connected()).count() < count
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.context("the relays are not reached")
}

/// A new key.
#[must_use]
pub fn new_key() -> LocalKey {
    LocalKey::generate(&Env::system())
}

struct Ear {
    first: Mutex<Option<oneshot::Sender<Arc<StreamEvent>>>>,
    surplus: Arc<AtomicU64>,
}

impl EventSink for Ear {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        match self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever waited may have given up.
            Some(first) => drop(first.send(event.clone())),
            None => {
                self.surplus.fetch_add(1, Ordering::Relaxed);
            }
        }
        true
    }
}

impl Merchant for Core {
    type Shown = oneshot::Receiver<Arc<StreamEvent>>;

    async fn show(&self) -> Result<(String, Self::Shown)> {
        let (call, event) = self.ear();
        let opened = self.service.logins().handshake_url(NewHandshake::default(), call).await?;
        Ok((opened.url, event))
    }

    async fn met(&self, shown: Self::Shown) -> Result<PublicKey> {
        match &shown.await?.body {
            PortalEvent::KeyHandshake { main_key, .. } => Ok(*main_key),
            other => bail!("not a handshake: {other:?}"),
        }
    }

    async fn authenticate(&self, who: PublicKey) -> Result<Answer> {
        let (call, event) = self.ear();
        self.service.logins().authenticate(Recipient::new(who), call).await?;
        match &event.await?.body {
            PortalEvent::AuthenticateKey {
                user_key,
                status: AuthStatus::Approved { session_token, .. },
                ..
            } => Ok(Answer { user_key: *user_key, session_token: session_token.clone() }),
            other => bail!("not an approval: {other:?}"),
        }
    }

    fn surplus(&self) -> u64 {
        self.surplus.load(Ordering::Relaxed)
    }
}
