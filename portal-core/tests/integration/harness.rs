//! A service and a client on one relay.

use std::sync::Arc;
use std::time::Duration;

use nostr::PublicKey;
use portal_core::client::{Client, ClientBuilder, IncomingRequest, RequestBody};
use portal_core::env::Env;
use portal_core::event::{PaymentUpdate, PortalEvent, StreamEvent};
use portal_core::identity::LocalKey;
use portal_core::primitives::StreamId;
use portal_core::protocol::Currency;
use portal_core::protocol::auth::AuthStatus;
use portal_core::protocol::handshake::ClientInfo;
use portal_core::relay::RelayAddress;
use portal_core::service::{Call, EventSink, NewSinglePayment, Recipient, Service, ServiceBuilder};
use portal_core::storage::Store;
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{SimulatedNetwork, SimulatedWallet};
use portal_core::wallet::{LightningWallet, PayInvoice, PayOutcome};
use portal_testkit::relay::EphemeralRelay;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Nothing in these tests may take longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub relay: EphemeralRelay,
    pub network: SimulatedNetwork,
    pub merchant_wallet: Arc<SimulatedWallet>,
    pub person_wallet: Arc<SimulatedWallet>,
    pub service_key: LocalKey,
    pub client_key: LocalKey,
    pub service_store: Arc<MemoryStore>,
    pub client_store: Arc<MemoryStore>,
}

impl World {
    pub async fn new() -> Self {
        Self::with_env(Env::system()).await
    }

    /// A world whose invoices go by this clock.
    pub async fn with_env(env: Env) -> Self {
        let network = SimulatedNetwork::new(env.clone());
        let msat = |sats| portal_core::primitives::Millisats::from_sats(sats).expect("small");
        Self {
            relay: EphemeralRelay::start().await.expect("a relay on loopback"),
            merchant_wallet: network.wallet("merchant", msat(0)).expect("new"),
            person_wallet: network.wallet("person", msat(1_000_000)).expect("new"),
            network,
            service_key: LocalKey::generate(&env),
            client_key: LocalKey::generate(&env),
            service_store: Arc::new(MemoryStore::new()),
            client_store: Arc::new(MemoryStore::new()),
        }
    }

    pub fn relays(&self) -> Vec<RelayAddress> {
        vec![RelayAddress::parse(&self.relay.url()).expect("a relay's address")]
    }

    pub async fn service(&self) -> Service {
        self.service_with(|builder| builder).await
    }

    /// A service that differs in something.
    pub async fn service_with(
        &self,
        change: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    ) -> Service {
        let store: Arc<dyn Store> = self.service_store.clone();
        let wallet: Arc<dyn LightningWallet> = self.merchant_wallet.clone();
        let builder = Service::builder(self.service_key.clone())
            .relays(self.relays())
            .store(store)
            .wallet(wallet)
            .allow_private_relays(true);
        let service = change(builder).start(Handle::current()).await.expect("a service");
        until("the service is connected", || {
            service.relays().status().iter().any(|relay| relay.is_connected())
        })
        .await;
        service
    }

    pub async fn client(&self) -> Client {
        self.client_with(|builder| builder).await
    }

    /// A client that differs in something.
    pub async fn client_with(&self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let store: Arc<dyn Store> = self.client_store.clone();
        let builder = Client::builder(self.client_key.clone())
            .relays(self.relays())
            .store(store)
            .allow_private_relays(true);
        let client = change(builder).start(Handle::current()).await.expect("a client");
        until("the client is connected", || {
            client.relays().status().iter().any(|relay| relay.is_connected())
        })
        .await;
        client
    }

    /// The person's wallet pays.
    pub async fn pay(&self, invoice: &str) {
        let payment_hash = Bolt11::parse(invoice).expect("a real invoice").payment_hash;
        let request = PayInvoice {
            bolt11: invoice.to_owned(),
            payment_hash,
            amount: None,
            max_fee: None,
            timeout: Duration::from_secs(5),
        };
        let outcome = self.person_wallet.pay(request).await.expect("the wallet answers");
        assert!(matches!(outcome, PayOutcome::Settled { .. }), "{outcome:?}");
    }
}

/// The answer of a person who agrees.
pub fn approved() -> AuthStatus {
    AuthStatus::Approved { granted_permissions: Vec::new(), session_token: "token".to_owned() }
}

/// A person who agrees to the next login.
pub async fn approve(client: &Client) {
    let request = next(client).await;
    client.replies().login(&request, approved()).await.expect("open");
    client.requests().handled(request.id).await.expect("saved");
}

/// A login from question to answer: who it was.
pub async fn login(service: &Service, client: &Client) -> PublicKey {
    let person = Recipient::new(client.main_key());
    let login = service.logins().authenticate(person, Call::default()).await.expect("durable");
    approve(client).await;
    match soon("the answer", service.streams().wait(login.stream)).await.expect("answered") {
        PortalEvent::AuthenticateKey { user_key, .. } => user_key,
        other => panic!("an answer to the challenge, not {other:?}"),
    }
}

/// A payment of 2,000 msat.
pub fn coffee() -> NewSinglePayment {
    NewSinglePayment {
        amount: 2_000,
        currency: Currency::Millisats,
        description: Some("Coffee".to_owned()),
        auth_token: None,
        subscription_id: None,
        request_id: None,
    }
}

/// The invoice of a request to pay.
pub fn invoice_of(request: &IncomingRequest) -> String {
    match &request.body {
        RequestBody::Payment(asked) => asked.invoice.clone(),
        other => panic!("a payment, not {other:?}"),
    }
}

pub fn update(event: PortalEvent) -> PaymentUpdate {
    match event {
        PortalEvent::PaymentStatusUpdate { status } => status,
        other => panic!("a payment's status, not {other:?}"),
    }
}

/// A call that is listened to.
pub fn heard() -> (Ear, Call) {
    let ear = Ear::new();
    let call = Call { attach: Some(ear.sink.clone()), ..Call::default() };
    (ear, call)
}

/// Waits for something that nothing announces, within bounds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}: not in time");
}

/// Waits for something, within bounds.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not in time"),
    }
}

pub fn wallet_app() -> ClientInfo {
    ClientInfo { name: "Test".to_owned(), version: "1".to_owned() }
}

pub async fn next(client: &Client) -> IncomingRequest {
    soon("a request", client.requests().next()).await.expect("the client runs")
}

/// Everything that happens on streams, in order.
pub struct Ear {
    pub sink: Arc<dyn EventSink>,
    events: mpsc::UnboundedReceiver<Arc<StreamEvent>>,
}

struct Forward(mpsc::UnboundedSender<Arc<StreamEvent>>);

impl EventSink for Forward {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        self.0.send(event.clone()).is_ok()
    }
}

impl Ear {
    pub fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self { sink: Arc::new(Forward(sender)), events }
    }

    pub async fn next(&mut self) -> Arc<StreamEvent> {
        soon("an event", self.events.recv()).await.expect("the service runs")
    }

    pub async fn body(&mut self) -> PortalEvent {
        self.next().await.body.clone()
    }

    pub fn is_silent(&mut self) -> bool {
        self.events.try_recv().is_err()
    }
}

/// The whole log of a stream.
pub async fn log(service: &Service, stream: StreamId) -> Vec<PortalEvent> {
    let events = service.streams().events(stream, None, 1000).await.expect("the store is open");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.index, u64::try_from(index).expect("few"), "no gaps");
    }
    events.into_iter().map(|event| event.body).collect()
}
