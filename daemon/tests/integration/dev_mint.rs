//! The mint of `--dev`, through the daemon's socket.

use std::time::Duration;

use portal_core::cashu::{Give, NewMint, TicketWallet, TicketWalletOptions};
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::relay::AddressPolicy;
use portal_core::storage::sqlite::tickets::TicketStore;
use portal_daemon::config::{self, Environment, Flags};
use portal_daemon::start::{Daemon, DevAnnouncement, MintAnnouncement};
use portal_testkit::mint::{Fault, StockMint, StockMintOptions};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{Socket, http_get, soon};

/// A `--dev` daemon in this process, with its data in a folder of the test.
struct Running {
    socket: Socket,
    dev: DevAnnouncement,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(folder: &std::path::Path) -> Running {
    let flags = Flags {
        dev: true,
        listen: Some(([127, 0, 0, 1], 0).into()),
        data_dir: Some(folder.to_owned()),
    };
    let loaded = config::load(None, &Environment::new(), None, &flags).expect("complete");
    let daemon = Daemon::start(loaded.config, true).await.expect("it starts");
    let dev = daemon.announcement.dev.clone().expect("told");
    let url = format!("ws://{}/ws", daemon.announcement.address);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(daemon.serve(async move { drop(stopped.await) }));
    let mut socket = Socket::open(&url).await;
    let answer = socket.call("Auth", json!({"token": dev.token.expose()})).await;
    assert_eq!(answer["type"], "success", "{answer}");
    Running { socket, dev, stop, task }
}

impl Running {
    fn mint(&self) -> &MintAnnouncement {
        self.dev.mint.as_ref().expect("built in")
    }

    fn ticket(&self, more: Value) -> Value {
        let mint = self.mint();
        let mut params = json!({"mint_url": mint.url, "unit": "vip", "amount": 1,
            "static_auth_token": mint.token.expose()});
        for (name, value) in more.as_object().expect("an object") {
            params[name] = value.clone();
        }
        params
    }

    async fn end(self) {
        drop((self.socket, self.stop));
        soon("its end", self.task).await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_of_dev_are_minted_burned_once_and_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    // The usual port may be another test's by the time of the restart.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port().to_string();
    std::fs::write(folder.path().join("dev-mint-port"), &port).expect("written");
    drop(free);
    let mut first = start(folder.path()).await;
    let address = first.mint().url.strip_prefix("http://").expect("a URL").to_owned();
    assert_eq!(address, format!("127.0.0.1:{port}"));
    let address = address.parse().expect("an address");
    let (status, card) = http_get(address, "/v1/unit/vip", None).await.expect("answers");
    let card: Value = serde_json::from_str(&card).expect("JSON");
    assert_eq!((status, &card["title"]), (200, &json!("VIP Pass")));
    assert_eq!(card["show_individually"], true);
    let picture = card["front_card_background"].as_str().expect("a card");
    assert!(picture.starts_with("data:image/svg+xml,"), "{picture}");

    let without = json!({"static_auth_token": "wrong"});
    let refused = first.socket.call("MintCashu", first.ticket(without)).await;
    assert_eq!(refused["code"], "mint_unauthorized", "{refused}");
    let minted = first.socket.data("MintCashu", first.ticket(json!({}))).await;
    let one = json!({"token": minted["token"]});
    let minted = first.socket.data("MintCashu", first.ticket(json!({}))).await;
    let other = json!({"token": minted["token"]});
    assert_ne!(one, other);
    let burned = first.socket.data("BurnCashu", first.ticket(one.clone())).await;
    assert_eq!(burned, json!({"type": "cashu_burn", "amount": 1, "kept": 0}));
    let url = first.mint().url.clone();
    first.end().await;
    let gone = tokio::net::TcpStream::connect(address).await;
    assert!(gone.is_err(), "the mint ends with the daemon");

    let mut second = start(folder.path()).await;
    assert_eq!(second.mint().url, url);
    let again = second.socket.call("BurnCashu", second.ticket(one)).await;
    assert_eq!(again["code"], "ticket_spent", "{again}");
    let burned = second.socket.data("BurnCashu", second.ticket(other)).await;
    assert_eq!(burned["amount"], 1);
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_in_without_its_mint_is_burned_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mint = StockMint::start(StockMintOptions::default()).await.expect("a mint");
    let store = TicketStore::in_memory().expect("a store");
    let mut options = TicketWalletOptions::new(Env::system(), Secret::new([9; 64]), store);
    options.strangers = AddressPolicy::Open;
    let phone = TicketWallet::open(options).await.expect("a wallet");
    let new = NewMint {
        mint: mint.url().parse().expect("an address"),
        unit: "vip".parse().expect("a unit"),
        amount: 1,
        description: None,
        give: Some(Give::default()),
    };
    let token = phone.mint("m", new).await.expect("mints").token.expect("a token");

    // It cannot even be asked whether it burns, so nothing of a burning is in the journal.
    mint.faults().always("/v1/info", Fault::Hang);
    let mut first = start(folder.path()).await;
    let look = json!({"mint_url": mint.url(), "unit": "vip", "amount": 1, "offline": "anything",
        "token": token});
    let verdict = first.socket.data("CheckTicket", look.clone()).await;
    assert_eq!((&verdict["verdict"], &verdict["offline"]), (&json!("valid"), &json!(true)));
    assert_eq!(first.socket.data("CheckTicket", look).await["verdict"], "used");
    first.end().await;
    assert_eq!(mint.outstanding("vip").await.expect("says"), 1, "not burned yet");

    mint.faults().clear();
    let second = start(folder.path()).await;
    let burned = async {
        while mint.outstanding("vip").await.expect("says") > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the burning", burned).await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sat_of_dev_is_paid_over_the_simulated_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = start(folder.path()).await;
    let url = running.mint().url.clone();
    let sat = |params: Value| {
        let mut all = json!({"mint_url": url, "unit": "sat"});
        for (name, value) in params.as_object().expect("an object") {
            all[name] = value.clone();
        }
        all
    };
    let order = sat(json!({"amount": 21}));
    let id = running.socket.send_once("sat", "MintCashu", order.clone()).await;
    let unpaid = running.socket.answer(&id).await;
    assert_eq!(unpaid["code"], "ticket_pending", "nobody has paid: {unpaid}");
    let wallet = running.socket.data("GetCashuWallet", json!({})).await;
    let invoice = wallet["open"][0]["unpaid"].as_str().expect("an invoice").to_owned();
    let paid = running.socket.data("PayInvoice", json!({"invoice": invoice})).await;
    assert!(paid["preimage"].is_string(), "{paid}");
    // The mint hears of it from its wallet.
    let minting = async {
        loop {
            let id = running.socket.send_once("sat", "MintCashu", order.clone()).await;
            let minted = running.socket.answer(&id).await;
            if let Some(token) = minted["data"]["token"].as_str() {
                return token.to_owned();
            }
            assert_eq!(minted["code"], "ticket_pending", "{minted}");
        }
    };
    let token = soon("the minting", minting).await;
    let burn = sat(json!({"amount": 21, "token": token}));
    let burned = running.socket.data("BurnCashu", burn).await;
    assert_eq!((&burned["amount"], &burned["kept"]), (&json!(21), &json!(21)));
    running.end().await;
}
