//! NIP-47 with another implementation on both sides: our client asks Alby's wallet service, which
//! passes every call on through Alby's client to our wallet service, over a relay.
//!
//! Needs the packages of this folder: `cargo xtask test --only alby` installs them and runs this.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use portal_core::env::Env;
use portal_core::primitives::{Millisats, Secret};
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::wallet::nwc::{
    Cipher, NwcConnection, NwcOptions, NwcService, NwcServiceOptions, NwcUri, NwcWallet, Permission,
};
use portal_core::wallet::suite::{OnLedger, Rig, SimulatedRig};
use portal_core::wallet::{
    LightningWallet as _, NewInvoice, PayInvoice, PaymentState, WalletState,
};
use portal_testkit::relay::LocalRelay;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(60);
/// What the payer may spend; more than anything in the suite but one test, which has too little.
const BUDGET: Millisats = Millisats::new(5_000_000);

/// Alby's SDK in a process of its own, which ends with this.
struct Bridge {
    child: Child,
    input: Option<ChildStdin>,
    said: mpsc::UnboundedReceiver<Value>,
}

impl Bridge {
    async fn start(config: &Value) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alby");
        assert!(
            folder.join("node_modules").exists(),
            "the packages are missing: run `cargo xtask test --only alby`"
        );
        let mut child = Command::new("node")
            .arg("bridge.mjs")
            .arg(config.to_string())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is there");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, said) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let mut bridge = Self { child, input, said };
        bridge.heard(|line| line["ready"] == json!(true)).await;
        bridge
    }

    /// The next line that is like this; others are dropped.
    async fn heard(&mut self, like: impl Fn(&Value) -> bool) -> Value {
        let heard = async {
            loop {
                let line = self.said.recv().await.expect("the bridge goes on");
                if like(&line) {
                    return line;
                }
            }
        };
        tokio::time::timeout(LIMIT, heard).await.expect("in time")
    }

    /// A call of Alby's client.
    async fn call(&mut self, wallet: &str, method: &str, params: Value) -> Result<Value, Value> {
        let id = format!("{wallet} {method} {params}");
        let line = json!({"id": id, "wallet": wallet, "method": method, "params": params});
        writeln!(self.input.as_mut().expect("open"), "{line}").expect("it reads");
        let answer = self.heard(|line| line["id"] == json!(id)).await;
        match answer.get("error") {
            None | Some(Value::Null) => Ok(answer["result"].clone()),
            Some(error) => Err(error["code"].clone()),
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.kill().expect("ours to end");
        self.child.wait().expect("it has ended");
    }
}

/// The simulated ledger behind our service, behind Alby's client and service, behind our client.
struct OverAlby {
    rig: SimulatedRig,
    relay: LocalRelay,
    services: Vec<NwcService>,
    bridge: Mutex<Option<Bridge>>,
}

fn connector(
    relays: Vec<RelayAddress>,
    env: Env,
) -> impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> {
    move |sink| {
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(Handle::current(), env, sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
    }
}

impl OverAlby {
    async fn start() -> Self {
        let rig = SimulatedRig::direct();
        // Relays and Alby's side look at the clock.
        rig.user_clock.set(Env::system().now());
        let relay = LocalRelay::start().await.expect("a relay on loopback");
        let mut linked = Self { rig, relay, services: Vec::new(), bridge: Mutex::new(None) };
        linked.link().await;
        linked
    }

    async fn link(&mut self) {
        let env = Env::system();
        let relay = RelayAddress::parse(&self.relay.url()).expect("its own address");
        let mut wallets = serde_json::Map::new();
        let mut links = Vec::new();
        self.services.clear();
        for (name, wallet, permission) in [
            ("payee", self.rig.merchant.clone(), Permission::ReceiveOnly),
            ("payer", self.rig.person.clone(), Permission::Spend { budget: Some(BUDGET) }),
        ] {
            let connection = NwcConnection::generate(&env, permission);
            let options = NwcServiceOptions {
                key: Secret::new(env.bytes()),
                relays: vec![relay.clone()],
                ciphers: vec![Cipher::Nip44, Cipher::Nip04],
            };
            let service = NwcService::start(
                wallet,
                std::slice::from_ref(&connection),
                options,
                connector(vec![relay.clone()], env.clone()),
                env.clone(),
                &Handle::current(),
            )
            .expect("a key");
            let upstream = service.uri_for(&connection).to_text();
            self.services.push(service);
            // The keys between our client and Alby's service.
            let (wallet_key, secret) = (Secret::new(env.bytes::<32>()), Secret::new(env.bytes()));
            let pair = [&wallet_key, &secret].map(|key: &Secret<[u8; 32]>| {
                NwcConnection::with_secret(key.clone(), permission).expect("a key").client()
            });
            wallets.insert(
                name.to_owned(),
                json!({
                    "link": upstream.expose(),
                    "secret": hex::encode(wallet_key.expose()),
                    "client": pair[1].to_hex(),
                }),
            );
            links.push(NwcUri {
                wallet: pair[0],
                secret,
                relays: vec![relay.clone()],
                lud16: None,
            });
        }
        let config = json!({"relays": [self.relay.url()], "wallets": wallets});
        let bridge = Bridge::start(&config).await;
        *self.bridge.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(bridge);
        let mut clients = links.iter().map(|link| {
            let connect = connector(link.relays.clone(), env.clone());
            let options = NwcOptions::default();
            let client = NwcWallet::connect(link, connect, self.rig.user_env.clone(), options);
            Arc::new(client.expect("a link"))
        });
        let (payee, payer) = (clients.next().expect("two"), clients.next().expect("two"));
        drop(clients);
        (self.rig.payee, self.rig.payer) = (payee, payer);
    }

    async fn unlink(&mut self) {
        for service in &self.services {
            service.shutdown().await;
        }
        self.bridge.get_mut().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn bridge(&mut self) -> &mut Bridge {
        let bridge = self.bridge.get_mut().unwrap_or_else(PoisonError::into_inner);
        bridge.as_mut().expect("it runs")
    }
}

#[async_trait]
impl OnLedger for OverAlby {
    fn ledger(&self) -> &SimulatedRig {
        &self.rig
    }

    async fn restart(&mut self) {
        self.rig.payee.shutdown().await;
        self.rig.payer.shutdown().await;
        self.unlink().await;
        self.rig.reopen().await;
        self.link().await;
    }

    async fn end(&self) {
        for service in &self.services {
            service.shutdown().await;
        }
        self.bridge.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.relay.stop().await;
    }
}

mod both_sides {
    use super::OverAlby;

    async fn rig() -> OverAlby {
        OverAlby::start().await
    }

    portal_core::wallet_suite!(rig);
}

fn order(msat: u64) -> NewInvoice {
    NewInvoice { amount: Millisats::new(msat), description: None, expiry: Duration::from_secs(600) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn albys_client_uses_everything_that_our_service_has() {
    let mut linked = OverAlby::start().await;
    let own = linked.rig.merchant.make_invoice(order(3_000)).await.expect("made");
    let bridge = linked.bridge();
    let info = bridge.call("payer", "getInfo", json!({})).await.expect("answers");
    assert_eq!(info["network"], "regtest");
    for method in ["pay_invoice", "list_transactions", "make_hold_invoice"] {
        assert!(info["methods"].as_array().expect("a list").contains(&json!(method)), "{method}");
    }
    let paid = bridge.call("payer", "payInvoice", json!({"invoice": own.bolt11})).await;
    assert_eq!(paid.expect("paid")["preimage"].as_str().expect("a text").len(), 64);
    let told = bridge.heard(|line| line["wallet"] == "payee" && !line["notification"].is_null());
    let told = told.await;
    assert_eq!(told["notification"]["notification_type"], "payment_received");
    let budget = bridge.call("payer", "getBudget", json!({})).await.expect("answers");
    assert_eq!(budget["used_budget"], 3_000);
    assert_eq!(budget["total_budget"], BUDGET.as_u64());
    let unbounded = bridge.call("payee", "getBudget", json!({})).await.expect("answers");
    assert_eq!(unbounded, json!({}));
    // Codes arrive as codes.
    let refused = bridge.call("payee", "payInvoice", json!({"invoice": own.bolt11})).await;
    assert_eq!(refused, Err(json!("RESTRICTED")));
    let unknown = json!({"payment_hash": "77".repeat(32)});
    let refused = bridge.call("payee", "lookupInvoice", unknown).await;
    assert_eq!(refused, Err(json!("NOT_FOUND")));
    let keysend = json!({"amount": 1, "pubkey": "02".repeat(33)});
    assert_eq!(bridge.call("payer", "payKeysend", keysend).await, Err(json!("NOT_IMPLEMENTED")));

    // Hold invoices: the SDK's service has none, its client has.
    let preimage = "42".repeat(32);
    let hash = {
        use portal_core::wallet::PaymentHash;
        let bytes: [u8; 32] = hex::decode(&preimage).expect("hex").try_into().expect("32");
        PaymentHash(<[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(bytes)))
    };
    let params = json!({"amount": 2_000, "payment_hash": hash.to_string(), "expiry": 600});
    let held = linked.bridge().call("payee", "makeHoldInvoice", params).await.expect("made");
    let invoice = held["invoice"].as_str().expect("a text").to_owned();
    let request = PayInvoice {
        bolt11: invoice,
        payment_hash: hash,
        amount: None,
        max_fee: None,
        timeout: Duration::from_secs(30),
    };
    linked.rig.person.pay(request).await.expect("left");
    let bridge = linked.bridge();
    let accepted = json!("hold_invoice_accepted");
    bridge.heard(|line| line["notification"]["notification_type"] == accepted).await;
    let seen = json!({"payment_hash": hash.to_string()});
    let seen = bridge.call("payee", "lookupInvoice", seen).await.expect("known");
    assert_eq!(seen["state"], "accepted");
    bridge
        .call("payee", "settleHoldInvoice", json!({"preimage": preimage}))
        .await
        .expect("settled");
    let seen = linked.rig.person.lookup(hash).await.expect("answers").expect("known");
    assert!(matches!(seen.state, PaymentState::Settled { .. }));
    Rig::end(&linked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn albys_service_is_a_wallet_to_our_client() {
    let linked = OverAlby::start().await;
    let wallet = linked.payer();
    let info = wallet.info().await.expect("answers");
    assert_eq!(info.network.as_deref(), Some("regtest"));
    assert!(info.notifies);
    assert_eq!(wallet.state(), WalletState::Answering);
    // What its service does not know, it says.
    assert_eq!(wallet.budget().await.expect("not there is an answer"), None);
    let holds = wallet.hold_invoices().expect("a link may have them");
    let hash = portal_core::wallet::PaymentHash([9; 32]);
    let refused = holds.make_hold_invoice(order(1_000), hash).await.expect_err("it has none");
    assert!(matches!(refused, portal_core::wallet::WalletError::Unsupported { .. }), "{refused}");
    Rig::end(&linked).await;
}
