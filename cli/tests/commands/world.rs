//! What the tests of the program stand on: a service on a relay, and the program itself as a
//! child whose records are read one by one.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portal_core::driver::websocket;
use portal_core::env::Env;
use portal_core::event::{PaymentUpdate, PortalEvent, StreamEvent};
use portal_core::identity::LocalKey;
use portal_core::primitives::{Millisats, Secret, StreamId};
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::service::{EventSink, Service};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::nwc::{Cipher, NwcConnection, NwcService, NwcServiceOptions, Permission};
use portal_core::wallet::simulated::{SimulatedNetwork, SimulatedWallet};
use portal_testkit::relay::EphemeralRelay;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Nothing in these tests may take longer.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse";

/// Waits for something, within bounds.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not in time"),
    }
}

/// The program, in a data folder of its own and with nothing of the environment's set-up.
pub fn portal(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portal"));
    let names = [
        "NWC_URL",
        "AUTH_TOKEN",
        "NOSTR_RELAYS",
        "PORTAL_RELAYS",
        "PORTAL_RATES",
        "PORTAL_URL",
        "RUST_LOG",
    ];
    for name in names {
        command.env_remove(name);
    }
    command
        .env("PORTAL_DATA_DIR", folder)
        .env("PORTAL_KEY_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs the program to its end: whether it went well, and its records.
pub async fn run(folder: &Path, arguments: &[&str]) -> (bool, Vec<Value>) {
    let mut command = portal(folder);
    command.arg("--json").args(arguments);
    let output = soon("the program", command.output()).await.expect("it runs");
    let text = String::from_utf8(output.stdout).expect("utf-8");
    let records = text.lines().map(|line| serde_json::from_str(line).expect("JSON lines"));
    (output.status.success(), records.collect())
}

/// A service, a relay, and a simulated network behind NIP-47.
pub struct World {
    pub relay: EphemeralRelay,
    pub service: Service,
    pub network: SimulatedNetwork,
    pub person: Arc<SimulatedWallet>,
    pub folder: TempDir,
    pub nwc: Secret<String>,
    nwc_service: NwcService,
}

impl World {
    /// With a key for the person in the folder.
    pub async fn new() -> Self {
        let env = Env::system();
        let relay = EphemeralRelay::start().await.expect("a relay on loopback");
        let address = RelayAddress::parse(&relay.url()).expect("its own address");
        let network = SimulatedNetwork::new(env.clone());
        let merchant = network.wallet("merchant", Millisats::new(0)).expect("new");
        let person = network.wallet("person", Millisats::new(1_000_000_000)).expect("new");
        let connection = NwcConnection::generate(&env, Permission::Spend { budget: None });
        let options = NwcServiceOptions {
            key: Secret::new(env.bytes()),
            relays: vec![address.clone()],
            ciphers: vec![Cipher::Nip44],
        };
        let (own, pool_env) = (address.clone(), env.clone());
        let connect = move |sink: Arc<dyn RelaySink>| -> Arc<dyn RelayPool> {
            let pool = websocket(Handle::current(), pool_env, true)(sink);
            pool.add(own);
            pool
        };
        let nwc_service = NwcService::start(
            person.clone(),
            std::slice::from_ref(&connection),
            options,
            connect,
            env.clone(),
            &Handle::current(),
        )
        .expect("a key");
        let service = Service::builder(LocalKey::generate(&env))
            .relays(vec![address])
            .store(Arc::new(MemoryStore::new()))
            .wallet(merchant)
            .allow_private_relays(true)
            .start(Handle::current())
            .await
            .expect("a service");
        let folder = TempDir::new().expect("a folder");
        let (made, _) = run(folder.path(), &["key", "new"]).await;
        assert!(made, "a key");
        let nwc = nwc_service.uri_for(&connection).to_text();
        Self { relay, service, network, person, folder, nwc, nwc_service }
    }

    /// The wallet program, on our relay and with the link to the simulated wallet.
    pub fn wallet(&self, arguments: &[&str]) -> Running {
        let mut command = portal(self.folder.path());
        command
            .args(["--json", "wallet", "--allow-private-relays", "--relay", &self.relay.url()])
            .args(arguments)
            .env("NWC_URL", self.nwc.expose())
            .stdin(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let input = child.stdin.take().expect("piped");
        Running { child, lines, input }
    }

    pub async fn end(self) {
        self.service.shutdown().await;
        self.nwc_service.shutdown().await;
        self.relay.stop().await;
    }
}

/// A running wallet.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    input: ChildStdin,
}

impl Running {
    /// The next record of this type; those before it are passed over.
    pub async fn record(&mut self, kind: &str) -> Value {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.expect("utf-8").expect("it runs on");
                let record: Value = serde_json::from_str(&line).expect("JSON lines");
                if record["type"] == kind {
                    return record;
                }
            }
        };
        soon(kind, reading).await
    }

    /// Types a line.
    pub async fn types(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    }

    /// Closes its standard input.
    pub async fn falls_silent(mut self) -> ExitStatus {
        drop(self.input);
        soon("the end", self.child.wait()).await.expect("it ends")
    }

    /// Ctrl-C.
    pub async fn interrupt(mut self) -> ExitStatus {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
        self.record("ended").await;
        soon("the end", self.child.wait()).await.expect("it ends")
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// Everything that happens on a stream, in order.
pub struct Ear {
    /// Kept: a sink that is dropped hears nothing.
    _sink: Arc<dyn EventSink>,
    events: mpsc::UnboundedReceiver<Arc<StreamEvent>>,
}

struct Forward(mpsc::UnboundedSender<Arc<StreamEvent>>);

impl EventSink for Forward {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        self.0.send(event.clone()).is_ok()
    }
}

impl Ear {
    pub async fn on(service: &Service, stream: StreamId) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let sink: Arc<dyn EventSink> = Arc::new(Forward(sender));
        service.streams().attach(stream, None, sink.clone()).await.expect("a stream");
        Self { _sink: sink, events }
    }

    pub async fn next(&mut self) -> PortalEvent {
        soon("an event", self.events.recv()).await.expect("the service runs").body.clone()
    }

    /// The updates of a payment up to the one that fits.
    pub async fn until(&mut self, last: impl Fn(&PaymentUpdate) -> bool) -> PaymentUpdate {
        loop {
            if let PortalEvent::PaymentStatusUpdate { status } = self.next().await
                && last(&status)
            {
                return status;
            }
        }
    }
}
