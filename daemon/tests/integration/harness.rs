//! A daemon, a person, and sockets between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use portal_core::client::{Client, ClientBuilder, IncomingRequest, RequestBody};
use portal_core::env::Env;
use portal_core::event::{PortalEvent, StreamEvent};
use portal_core::identity::LocalKey;
use portal_core::primitives::{Millisats, Secret, StreamId};
use portal_core::protocol::auth::AuthStatus;
use portal_core::protocol::handshake::ClientInfo;
use portal_core::rates::RateDesk;
use portal_core::relay::RelayAddress;
use portal_core::service::{ChargeOptions, Service};
use portal_core::storage::memory::MemoryStore;
use portal_core::storage::{ConversationRecord, Store, Write};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{SimulatedNetwork, SimulatedWallet};
use portal_core::wallet::{LightningWallet, PayInvoice};
use portal_daemon::config::{LightningAddressConfig, LimitsConfig};
use portal_daemon::state::{AppState, Parts};
use portal_testkit::relay::EphemeralRelay;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

/// Nothing in these tests may take longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const TOKEN: &str = "0123456789";

pub struct World {
    pub relay: EphemeralRelay,
    pub merchant: Arc<SimulatedWallet>,
    pub person: Arc<SimulatedWallet>,
    service_key: LocalKey,
    person_key: LocalKey,
    store: Arc<MemoryStore>,
    pub tickets: Option<portal_core::cashu::TicketWallet>,
}

pub struct Running {
    pub address: SocketAddr,
    pub state: AppState,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub struct Options {
    pub wallet: bool,
    pub limits: LimitsConfig,
    /// The name that anybody can pay to.
    pub name: Option<&'static str>,
    pub rates: Option<Arc<RateDesk>>,
    /// Whether it charges subscriptions.
    pub charges: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wallet: true,
            limits: LimitsConfig::default(),
            name: None,
            rates: None,
            charges: false,
        }
    }
}

impl World {
    pub async fn new() -> Self {
        let env = Env::system();
        let network = SimulatedNetwork::new(env.clone());
        let sats = |sats| Millisats::from_sats(sats).expect("small");
        Self {
            relay: EphemeralRelay::start().await.expect("a relay on loopback"),
            merchant: network.wallet("merchant", sats(1_000)).expect("new"),
            person: network.wallet("person", sats(1_000_000)).expect("new"),
            service_key: LocalKey::generate(&env),
            person_key: LocalKey::generate(&env),
            store: Arc::new(MemoryStore::new()),
            tickets: None,
        }
    }

    fn relays(&self) -> Vec<RelayAddress> {
        vec![RelayAddress::parse(&self.relay.url()).expect("a relay's address")]
    }

    pub async fn daemon(&self) -> Running {
        self.daemon_with(Options::default()).await
    }

    pub async fn daemon_with(&self, options: Options) -> Running {
        let Options { wallet, limits, name, rates, charges } = options;
        let mut builder = Service::builder(self.service_key.clone())
            .relays(self.relays())
            .store(Arc::new(self.store.reopen()))
            .allow_private_relays(true);
        if wallet {
            builder = builder.wallet(Arc::clone(&self.merchant) as Arc<dyn LightningWallet>);
        }
        if charges {
            builder = builder.charge_subscriptions(ChargeOptions::default());
        }
        if let Some(rates) = rates {
            builder = builder.rates(rates);
        }
        let service = builder.start(Handle::current()).await.expect("a service");
        let relays = service.clone();
        until("the service is connected", || {
            relays.relays().status().iter().any(|relay| relay.is_connected())
        })
        .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let lightning_address = name.map(|name| LightningAddressConfig {
            names: vec![name.to_owned()],
            url: format!("http://{address}").parse().expect("a URL"),
            description: "Coffee".to_owned(),
            least: Millisats::new(1000),
            most: Millisats::new(1_000_000),
        });
        let state = AppState::new(Parts {
            service,
            env: Env::system(),
            token: Secret::new(TOKEN.into()),
            limits,
            wallet_missing: (!wallet).then_some("no wallet is configured"),
            names: vec!["_".to_owned()],
            lightning_address,
            tickets: self.tickets.clone(),
        });
        let stop = CancellationToken::new();
        let serving = portal_daemon::run(listener, state.clone(), stop.clone().cancelled_owned());
        let task = tokio::spawn(serving);
        Running { address, state, stop, task }
    }

    /// A stream that has ended with this many events.
    pub fn log(&self, stream: StreamId, events: u64) {
        let event = |index| StreamEvent {
            stream,
            index,
            at_millis: 0,
            body: PortalEvent::KeyHandshake {
                main_key: self.person_key.public_key(),
                preferred_relays: Vec::new(),
            },
        };
        let record = ConversationRecord {
            stream,
            machine: "test".to_owned(),
            state: Vec::new(),
            next_index: events,
        };
        let mut writes = vec![Write::PutConversation(record)];
        writes.extend((0..events).map(|index| Write::Append(event(index))));
        writes.push(Write::RemoveConversation(stream));
        self.store.commit(writes, Box::new(|_| ()));
    }

    /// A person's wallet app.
    pub async fn app(&self) -> Client {
        self.app_of(Client::builder(self.person_key.clone())).await
    }

    /// The same with a wallet of its own.
    pub async fn app_with_wallet(&self, wallet: Arc<SimulatedWallet>) -> Client {
        self.app_of(Client::builder(self.person_key.clone()).wallet(wallet)).await
    }

    async fn app_of(&self, builder: ClientBuilder) -> Client {
        let client = builder
            .relays(self.relays())
            .allow_private_relays(true)
            .start(Handle::current())
            .await
            .expect("a client");
        until("the app is connected", || {
            client.relays().status().iter().any(|relay| relay.is_connected())
        })
        .await;
        client
    }

    pub fn person_key(&self) -> String {
        self.person_key.public_key().to_hex()
    }

    /// Pays from the person's wallet.
    pub async fn pay(&self, invoice: &str) {
        let parsed = Bolt11::parse(invoice).expect("a real invoice");
        let payment = PayInvoice {
            bolt11: invoice.to_owned(),
            payment_hash: parsed.payment_hash,
            amount: None,
            max_fee: None,
            timeout: PATIENCE,
        };
        self.person.pay(payment).await.expect("paid");
    }
}

impl Running {
    /// Stops as on SIGTERM, and waits for the end.
    pub async fn stop(self) {
        self.stop.cancel();
        soon("the daemon stops", self.task).await.expect("it does not panic");
    }

    /// A socket that has shown the token.
    pub async fn socket(&self) -> Socket {
        let mut socket = self.stranger().await;
        let reply = socket.call("Auth", json!({"token": TOKEN})).await;
        assert_eq!(reply["data"]["type"], "auth_success", "{reply}");
        socket
    }

    /// A socket that has not.
    pub async fn stranger(&self) -> Socket {
        Socket::open(&format!("ws://{}/ws", self.address)).await
    }

    /// A socket from elsewhere, through a proxy on this machine.
    pub async fn through_proxy(&self, from: &str) -> Result<Socket, Error> {
        let url = format!("ws://{}/ws", self.address);
        let mut request = url.into_client_request().expect("a URL");
        request.headers_mut().insert("x-forwarded-for", from.parse().expect("a header"));
        let (stream, _) = soon("an answer", connect_async(request)).await?;
        Ok(Socket { stream, next_id: 0, early: Vec::new() })
    }

    /// A plain HTTP request; the status and the body.
    pub async fn get(&self, path: &str, bearer: Option<&str>) -> (u16, String) {
        self.exchange(path, bearer).await.expect("HTTP")
    }

    /// The same, if the daemon lets us.
    pub async fn try_get(&self, path: &str) -> Option<(u16, String)> {
        self.exchange(path, None).await
    }

    async fn exchange(&self, path: &str, bearer: Option<&str>) -> Option<(u16, String)> {
        http_get(self.address, path, bearer).await
    }

    pub async fn get_json(&self, path: &str, bearer: Option<&str>) -> (u16, Value) {
        let (status, body) = self.get(path, bearer).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("not JSON: {body}")))
    }
}

/// A plain HTTP request to whoever listens there; the status and the body, if it answers.
pub async fn http_get(
    address: SocketAddr,
    path: &str,
    bearer: Option<&str>,
) -> Option<(u16, String)> {
    let head = bearer.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{head}Connection: close\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = soon("an answer", exchange).await.ok()?;
    let status = answer.get(9..12)?.parse().expect("a status");
    let body = answer.split_once("\r\n\r\n").expect("a body").1.to_owned();
    Some((status, body))
}

pub struct Socket {
    pub stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    early: Vec<Value>,
}

impl Socket {
    pub async fn open(url: &str) -> Self {
        let (stream, _) = soon("a socket", connect_async(url)).await.expect("accepted");
        Self { stream, next_id: 0, early: Vec::new() }
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        let message = Message::text(text.into());
        soon("a frame is written", self.stream.send(message)).await.expect("open");
    }

    /// Sends a command; returns its id.
    pub async fn send(&mut self, cmd: &str, params: Value) -> String {
        self.next_id += 1;
        let id = format!("c{}", self.next_id);
        self.send_text(json!({"id": id, "cmd": cmd, "params": params}).to_string()).await;
        id
    }

    /// Sends a command with an idempotency key; returns its id.
    pub async fn send_once(&mut self, key: &str, cmd: &str, params: Value) -> String {
        self.next_id += 1;
        let id = format!("c{}", self.next_id);
        let frame = json!({"id": id, "cmd": cmd, "params": params, "idempotency_key": key});
        self.send_text(frame.to_string()).await;
        id
    }

    /// The next frame as it comes.
    pub async fn frame(&mut self) -> Value {
        match self.try_frame().await {
            Ok(frame) => frame,
            Err(code) => panic!("closed with {code:?}"),
        }
    }

    /// The next frame, or the code the socket was closed with.
    pub async fn try_frame(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match soon("a frame", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("frames are JSON"));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| u16::from(frame.code)));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The answer to a command; other frames are kept.
    pub async fn answer(&mut self, id: &str) -> Value {
        self.find(|frame| frame["id"] == id).await
    }

    /// The next notification of a stream; other frames are kept.
    pub async fn notification(&mut self, stream: &str) -> Value {
        self.find(|frame| frame["type"] == "notification" && frame["id"] == stream).await
    }

    async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.early.iter().position(&wanted) {
            return self.early.remove(place);
        }
        loop {
            let frame = self.frame().await;
            if wanted(&frame) {
                return frame;
            }
            self.early.push(frame);
        }
    }

    pub async fn call(&mut self, cmd: &str, params: Value) -> Value {
        let id = self.send(cmd, params).await;
        self.answer(&id).await
    }

    /// The data of a success.
    pub async fn data(&mut self, cmd: &str, params: Value) -> Value {
        let mut answer = self.call(cmd, params).await;
        assert_eq!(answer["type"], "success", "{answer}");
        answer["data"].take()
    }

    /// Whether nothing is waiting: a round trip brings only its own answer.
    pub async fn assert_quiet(&mut self) {
        let id =
            self.send("CalculateNextOccurrence", json!({"calendar": "daily", "from": 0})).await;
        let frame = self.frame().await;
        assert_eq!(frame["id"], id.as_str(), "unexpected: {frame}");
        assert!(self.early.is_empty(), "unexpected: {:?}", self.early);
    }
}

pub fn wallet_app() -> ClientInfo {
    ClientInfo { name: "Test".to_owned(), version: "1".to_owned() }
}

/// The next request to the person.
pub async fn asked(app: &Client) -> IncomingRequest {
    let request = soon("a request", app.requests().next()).await.expect("the app runs");
    app.requests().handled(request.id).await.expect("saved");
    request
}

pub fn yes() -> AuthStatus {
    AuthStatus::Approved { granted_permissions: Vec::new(), session_token: "session".into() }
}

/// Says yes to the next login.
pub async fn approve_login(app: &Client) {
    let request = asked(app).await;
    assert!(matches!(request.body, RequestBody::Login(_)), "{request:?}");
    app.replies().login(&request, yes()).await.expect("replied");
}

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not in time"),
    }
}

/// Waits for something that nothing announces, within bounds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, wait).await;
}
