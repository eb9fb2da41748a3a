//! The daemon as it is started for real: from a configuration, with its database on disk and a
//! wallet behind a link.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portal_core::client::RequestBody;
use portal_core::env::Env;
use portal_core::primitives::{Millisats, Secret};
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::wallet::nwc::{
    Cipher, NwcConnection, NwcService, NwcServiceOptions, NwcUri, Permission,
};
use portal_core::wallet::{LightningWallet, NewInvoice, PaymentState};
use portal_daemon::config::{Flags, load};
use portal_daemon::start::Daemon;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Socket, TOKEN, World, asked, http_get, soon, until};

const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";

/// The merchant's wallet behind a link, at the relay of the world.
fn behind_a_link(world: &World) -> (NwcService, NwcUri) {
    let env = Env::system();
    let relays = vec![RelayAddress::parse(&world.relay.url()).expect("a relay's address")];
    let connection = NwcConnection::generate(&env, Permission::Spend { budget: None });
    let options = NwcServiceOptions {
        key: Secret::new(env.bytes()),
        relays: relays.clone(),
        ciphers: vec![Cipher::Nip44, Cipher::Nip04],
    };
    let pool_env = env.clone();
    let connect = move |sink: Arc<dyn RelaySink>| -> Arc<dyn RelayPool> {
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(Handle::current(), pool_env, sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
    };
    let service = NwcService::start(
        Arc::clone(&world.merchant) as Arc<dyn LightningWallet>,
        std::slice::from_ref(&connection),
        options,
        connect,
        env,
        &Handle::current(),
    )
    .expect("a key");
    let link = service.uri_for(&connection);
    (service, link)
}

pub struct Started {
    address: SocketAddr,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Started {
    async fn new(world: &World, link: &NwcUri, folder: &Path) -> Self {
        Self::with(world, link, folder, "true").await
    }

    async fn with(world: &World, link: &NwcUri, folder: &Path, allow_spending: &str) -> Self {
        let link = link.to_text();
        let wallet = [
            ("NWC_URL", link.expose().as_str()),
            ("PORTAL__WALLET__NWC__ALLOW_SPENDING", allow_spending),
        ];
        Self::configured(world, folder, &wallet).await
    }

    /// A daemon whose wallet is configured by these variables.
    pub async fn configured(world: &World, folder: &Path, wallet: &[(&str, &str)]) -> Self {
        let (relay, folder) = (world.relay.url(), folder.to_str().expect("text"));
        let usual = [
            ("NOSTR_KEY", KEY),
            ("AUTH_TOKEN", TOKEN),
            ("NOSTR_RELAYS", &relay),
            ("PORTAL__NOSTR__ALLOW_PRIVATE_RELAYS", "true"),
            ("PORTAL__INFO__LISTEN_PORT", "0"),
            ("PORTAL_DATA_DIR", folder),
        ];
        let both = usual.iter().chain(wallet);
        let environment: BTreeMap<String, String> =
            both.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let loaded = load(None, &environment, None, &Flags::default()).expect("complete");
        let daemon = Daemon::start(loaded.config, false).await.expect("it starts");
        let address = daemon.announcement.address;
        let service = daemon.state.service.clone();
        until("the service is connected", || {
            service.relays().status().iter().any(|relay| relay.is_connected())
        })
        .await;
        drop(service);
        let stop = CancellationToken::new();
        let task = tokio::spawn(daemon.serve(stop.clone().cancelled_owned()));
        Self { address, task, stop }
    }

    pub async fn socket(&self) -> Socket {
        let mut socket = Socket::open(&format!("ws://{}/ws", self.address)).await;
        let reply = socket.call("Auth", json!({"token": TOKEN})).await;
        assert_eq!(reply["type"], "success", "{reply}");
        socket
    }

    pub async fn stop(self) {
        self.stop.cancel();
        soon("the daemon stops", self.task).await.expect("it does not panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_both_ways_through_a_link_and_never_twice_over_a_restart() {
    let world = World::new().await;
    let (service, link) = behind_a_link(&world);
    let folder = tempfile::tempdir().expect("a folder");
    let (daemon, app) = (Started::new(&world, &link, folder.path()).await, world.app().await);
    let mut socket = daemon.socket().await;
    let before = socket.data("GetWalletInfo", Value::Null).await;
    assert_eq!(before["wallet_type"], "nwc", "{before}");
    assert_eq!(before["stale"], false, "{before}");
    assert!(before["balance_at"].is_string(), "{before}");

    let opened = socket
        .data(
            "RequestSinglePayment",
            json!({"main_key": world.person_key(), "subkeys": [],
            "payment_request": {"description": "x", "amount": 3000, "currency": "Millisats"}}),
        )
        .await;
    let stream = opened["stream_id"].as_str().expect("a stream").to_owned();
    let request = asked(&app).await;
    let RequestBody::Payment(wanted) = &request.body else { panic!("{request:?}") };
    world.pay(&wanted.invoice).await;
    let paid = socket.notification(&stream).await;
    assert_eq!(paid["data"]["status"]["status"], "paid", "{paid}");

    let order = NewInvoice {
        amount: Millisats::new(5_000),
        description: None,
        expiry: Duration::from_secs(600),
    };
    let invoice = world.person.make_invoice(order).await.expect("made");
    let params = json!({"invoice": invoice.bolt11});
    let id = socket.send_once("pay", "PayInvoice", params.clone()).await;
    let first = socket.answer(&id).await;
    assert_eq!(first["type"], "success", "{first}");
    let left = socket.data("GetWalletInfo", Value::Null).await["balance_msat"].clone();
    drop(socket);
    daemon.stop().await;

    let daemon = Started::new(&world, &link, folder.path()).await;
    let mut socket = daemon.socket().await;
    let id = socket.send_once("pay", "PayInvoice", params.clone()).await;
    assert_eq!(socket.answer(&id).await["data"], first["data"]);
    // Also whoever has lost the key pays only once.
    let again = socket.call("PayInvoice", params).await;
    assert_eq!(again["data"]["preimage"], first["data"]["preimage"], "{again}");
    assert_eq!(socket.data("GetWalletInfo", Value::Null).await["balance_msat"], left);
    socket.data("ResumeStream", json!({"stream_id": stream})).await;
    assert_eq!(socket.notification(&stream).await["data"], paid["data"], "from the disk");
    // The wallet is switched off: what it said last, with its age.
    let last = socket.data("GetWalletInfo", Value::Null).await;
    service.shutdown().await;
    let old = socket.data("GetWalletInfo", Value::Null).await;
    assert_eq!(old["stale"], true, "{old}");
    assert_eq!(
        (&old["balance_msat"], &old["balance_at"], &old["wallet_type"]),
        (&last["balance_msat"], &last["balance_at"], &last["wallet_type"])
    );
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_may_spend_is_not_used_unless_that_is_allowed() {
    let world = World::new().await;
    let (service, link) = behind_a_link(&world);
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Started::with(&world, &link, folder.path(), "false").await;
    let mut socket = daemon.socket().await;
    let refused = socket.call("GetWalletInfo", Value::Null).await;
    assert_eq!(refused["type"], "error", "{refused}");
    assert_eq!(refused["code"], "not_configured", "{refused}");
    let order = NewInvoice {
        amount: Millisats::new(5_000),
        description: None,
        expiry: Duration::from_secs(600),
    };
    let invoice = world.person.make_invoice(order).await.expect("made");
    let refused = socket.call("PayInvoice", json!({"invoice": invoice.bolt11})).await;
    assert_eq!(refused["type"], "error", "{refused}");
    assert!(
        world
            .person
            .lookup(invoice.payment_hash)
            .await
            .is_ok_and(|seen| { seen.is_some_and(|seen| seen.state == PaymentState::Pending) })
    );
    let (status, ready) = http_get(daemon.address, "/readyz", None).await.expect("HTTP");
    assert_eq!(status, 503);
    assert!(ready.contains("\"wallet\":\"may_spend\""), "{ready}");
    drop(socket);
    daemon.stop().await;
    service.shutdown().await;
}
