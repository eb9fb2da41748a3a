//! A person's tickets in the terminal: gifts are kept, requests are answered.

use std::path::Path;

use portal_core::cashu::{Expected, Give, MintAddress, NewMint, TicketWallet, TicketWalletOptions};
use portal_core::env::Env;
use portal_core::event::PortalEvent;
use portal_core::primitives::{Secret, StreamId};
use portal_core::protocol::ticket::CashuStatus;
use portal_core::relay::AddressPolicy;
use portal_core::service::{Call, NewCashuRequest, Recipient};
use portal_core::storage::sqlite::tickets::TicketStore;
use portal_testkit::mint::{Fault, StockMint, StockMintOptions, StockUnit};
use serde_json::Value;

use crate::handshake;
use crate::world::{Running, World, run, soon};

struct Shop {
    mint: StockMint,
    wallet: TicketWallet,
}

impl Shop {
    async fn new() -> Self {
        Self::with(StockMintOptions::default()).await
    }

    async fn with(options: StockMintOptions) -> Self {
        let mint = StockMint::start(options).await.expect("a mint");
        let store = TicketStore::in_memory().expect("a store");
        let mut options = TicketWalletOptions::new(Env::system(), Secret::new([1; 64]), store);
        options.strangers = AddressPolicy::Open;
        let wallet = TicketWallet::open(options).await.expect("a wallet");
        Self { mint, wallet }
    }

    fn address(&self) -> MintAddress {
        self.mint.url().parse().expect("an address")
    }

    async fn ticket(&self, key: &str, amount: u64) -> String {
        let new = NewMint {
            mint: self.address(),
            unit: "vip".parse().expect("a unit"),
            amount,
            description: None,
            give: Some(Give::default()),
        };
        self.wallet.mint(key, new).await.expect("mints").token.expect("a token")
    }

    async fn gives(&self, world: &World, person: &Recipient, token: &str) {
        let tickets = world.service.tickets();
        let sent = tickets.send(person.clone(), token.to_owned(), Call::default()).await;
        sent.expect("durable");
    }

    async fn asks(&self, world: &World, person: &Recipient, amount: u64) -> StreamId {
        let new = NewCashuRequest { mint_url: self.mint.url(), unit: "vip".to_owned(), amount };
        let asked = world.service.tickets().request(person.clone(), new, Call::default()).await;
        asked.expect("asked").stream
    }

    async fn burns(&self, token: &str, amount: u64) {
        let (mint, unit) = (self.address(), "vip".parse().expect("a unit"));
        let expected = Expected { mint, unit, amount: Some(amount) };
        self.wallet.burn(token, token, &expected).await.expect("burns");
    }
}

async fn answer(world: &World, stream: StreamId) -> CashuStatus {
    let event = soon("the answer", world.service.streams().wait(stream)).await;
    match event.expect("answered") {
        PortalEvent::CashuResponse { status } => status,
        other => panic!("an answer, not {other:?}"),
    }
}

/// The request for a ticket, after whatever else was asked.
async fn asked(wallet: &mut Running) -> Value {
    loop {
        let asked = wallet.record("request").await;
        if asked["kind"] == "ticket" {
            return asked;
        }
    }
}

async fn held(folder: &Path) -> Vec<Value> {
    let (listed, records) = run(folder, &["tickets", "list"]).await;
    assert!(listed, "{records:?}");
    records.into_iter().filter(|record| record["type"] == "tickets").collect()
}

const LOCAL: &str = "--allow-private-mints";

#[tokio::test(flavor = "multi_thread")]
async fn a_gift_outlives_a_crash_and_is_shown_at_the_door() {
    let (world, shop) = (World::new().await, Shop::new().await);
    let mut wallet = world.wallet(&[LOCAL]);
    let person = handshake(&world, &mut wallet).await;
    // The mint acts and its answer is lost; then the wallet is killed.
    shop.mint.faults().once("/v1/swap", Fault::LoseAnswer);
    shop.gives(&world, &person, &shop.ticket("gift", 2).await).await;
    let kept = wallet.record("ticket_kept").await;
    assert_eq!(kept["what"], "VIP, 2030-12-31, Everywhere");
    wallet.kill().await;

    let mut wallet = world.wallet(&[LOCAL]);
    assert_eq!(wallet.record("tickets_moved").await["done"], 1);
    wallet.types("tickets").await;
    let listed = wallet.record("tickets").await;
    assert_eq!((&listed["available"], &listed["unit"]), (&Value::from(2), &Value::from("vip")));

    let stream = shop.asks(&world, &person, 1).await;
    let request = asked(&mut wallet).await;
    assert_eq!(request["amount"], "1 vip");
    wallet.types("y").await;
    assert_eq!(wallet.record("answered").await["answer"], "approved");
    let CashuStatus::Success { token } = answer(&world, stream).await else { panic!("a token") };
    shop.burns(&token, 1).await;

    let stream = shop.asks(&world, &person, 1).await;
    asked(&mut wallet).await;
    wallet.types("n").await;
    assert!(matches!(answer(&world, stream).await, CashuStatus::Rejected { .. }));
    assert!(wallet.interrupt().await.success());
    let held = held(world.folder.path()).await;
    assert_eq!(held[0]["available"], 1, "{held:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_automatic_wallet_gives_what_was_allowed_and_no_more() {
    let (world, shop) = (World::new().await, Shop::new().await);
    let folder = world.folder.path();
    let taken = run(folder, &["tickets", LOCAL, "receive", &shop.ticket("gift", 3).await]).await;
    assert_eq!(taken.1.last().expect("a record")["amount"], 3);
    let service = world.service.main_key().to_hex();
    let url = shop.mint.url();
    let of = ["--mint", &url, "--unit", "vip"];
    let mut allow = vec!["tickets", "allow", &service, "--most", "1", "--total", "2"];
    allow.extend(of);
    let (allowed, records) = run(folder, &allow).await;
    assert!(allowed && records[0]["left"] == 2, "{records:?}");

    let mut wallet = world.wallet(&[LOCAL, "--auto"]);
    let person = handshake(&world, &mut wallet).await;
    let stream = shop.asks(&world, &person, 1).await;
    let CashuStatus::Success { token } = answer(&world, stream).await else { panic!("a token") };
    shop.burns(&token, 1).await;
    let stream = shop.asks(&world, &person, 2).await;
    let CashuStatus::Rejected { reason } = answer(&world, stream).await else { panic!("a no") };
    assert!(reason.is_some_and(|reason| reason.contains("by itself")));
    assert!(wallet.interrupt().await.success());

    let (_, records) = run(folder, &["tickets", "allowances"]).await;
    assert_eq!(records[0]["left"], 1, "one was taken");
    let mut disallow = vec!["tickets", "disallow", &service];
    disallow.extend(of);
    assert!(run(folder, &disallow).await.0);
    assert!(run(folder, &["tickets", "allowances"]).await.1.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_passed_on_taken_back_and_restored() {
    let (world, shop) = (World::new().await, Shop::new().await);
    let folder = world.folder.path();
    let url = shop.mint.url();
    let of = ["--mint", &url, "--unit", "vip"];
    let run_of = async |task: &[&str], rest: &[&str]| {
        let mut arguments = vec!["tickets", LOCAL];
        arguments.extend(task);
        arguments.extend(of);
        arguments.extend(rest);
        run(folder, &arguments).await
    };
    assert!(run(folder, &["tickets", LOCAL, "receive", &shop.ticket("a", 3).await]).await.0);
    let (sent, records) = run_of(&["send"], &["2", "--key", "k"]).await;
    let token = records.last().expect("a record")["token"].as_str().expect("a token").to_owned();
    assert!(sent);
    let (_, again) = run_of(&["send"], &["2", "--key", "k"]).await;
    assert_eq!(again.last().expect("a record")["token"], token.as_str(), "the same token");
    let (_, unclaimed) = run(folder, &["tickets", "unclaimed"]).await;
    assert_eq!(unclaimed[0]["token"], token.as_str());
    let (_, back) = run(folder, &["tickets", LOCAL, "take-back", &token]).await;
    assert_eq!(back.last().expect("a record")["amount"], 2);
    assert_eq!(held(folder).await[0]["available"], 3);

    // All is lost but the key and the words.
    for file in std::fs::read_dir(folder).expect("reads") {
        let path = file.expect("a file").path();
        if path.to_string_lossy().contains(".tickets.sqlite") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    assert!(held(folder).await.is_empty());
    let (restored, records) = run_of(&["restore"], &[]).await;
    assert!(restored && records.last().expect("a record")["amount"] == 3, "{records:?}");
    let nobody = run(folder, &["tickets", "allow", "nobody", "--most", "1", "--total", "1"]).await;
    assert!(!nobody.0, "not without a unit");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_app_had_is_searched_for_and_said_to_be_nothing() {
    let world = World::new().await;
    let options = StockMintOptions {
        units: vec![StockUnit::tickets("vip")],
        newer_keysets: false,
        ..StockMintOptions::default()
    };
    let shop = Shop::with(options).await;
    let folder = world.folder.path();
    let url = shop.mint.url();
    let mut arguments = vec!["tickets", "move-old", "--mint", &url, "--unit", "vip"];
    let (moved, records) = run(folder, &arguments).await;
    assert!(moved, "{records:?}");
    assert_eq!(records.last().expect("a record")["proofs"], 0);
    assert!(shop.mint.faults().asked("/v1/restore") > 0, "the mint was asked");
    let words = folder.join("words");
    std::fs::write(&words, "abandon ".repeat(11) + "about").expect("written");
    let words = words.to_str().expect("text");
    arguments.extend(["--words", words]);
    assert!(run(folder, &arguments).await.0);
    std::fs::write(words, "no words at all").expect("written");
    let (moved, records) = run(folder, &arguments).await;
    assert!(!moved);
    assert_eq!(records.last().expect("a record")["code"], "invalid_mnemonic");
    world.end().await;
}
