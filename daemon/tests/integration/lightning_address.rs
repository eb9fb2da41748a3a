//! A name that anybody can pay to, and somebody who does.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::bech32::{Bech32, Hrp, encode};
use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::primitives::Millisats;
use portal_core::service::{PayTo, Service};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::LightningWallet;
use portal_core::wallet::bolt11::Bolt11;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::harness::{Options, Running, TOKEN, World};

async fn shop(world: &World) -> Running {
    world.daemon_with(Options { name: Some("shop"), ..Options::default() }).await
}

/// Somebody elsewhere, with the person's wallet.
async fn payer(world: &World) -> Service {
    Service::builder(LocalKey::generate(&Env::system()))
        .store(Arc::new(MemoryStore::new()))
        .allow_private_relays(true)
        .wallet(Arc::clone(&world.person) as Arc<dyn LightningWallet>)
        .start(Handle::current())
        .await
        .expect("a service")
}

fn lnurl(daemon: &Running) -> String {
    let url = format!("http://{}/.well-known/lnurlp/shop", daemon.address);
    encode::<Bech32>(Hrp::parse("lnurl").expect("valid"), url.as_bytes()).expect("encodes")
}

fn path(daemon: &Running, url: &Value) -> String {
    let start = format!("http://{}", daemon.address);
    url.as_str().and_then(|url| url.strip_prefix(&start)).expect("it is ours").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_is_paid_once_for_each_key_and_the_host_can_be_asked() {
    let world = World::new().await;
    let daemon = shop(&world).await;
    let payer = payer(&world).await;
    let to = |msat, key: &str| PayTo {
        text: lnurl(&daemon),
        amount: Some(Millisats::new(msat)),
        comment: None,
        key: Some(key.to_owned()),
    };
    let before = world.merchant.balance().await.expect("told").amount.as_u64();
    let payments = payer.payments();
    let (one, two) =
        tokio::join!(payments.pay_to(to(21_000, "a")), payments.pay_to(to(21_000, "a")));
    let (one, two) = (one.expect("paid"), two.expect("the same"));
    assert_eq!(one, two);
    assert_eq!(payments.pay_to(to(21_000, "a")).await.expect("again"), one);
    let other = payments.pay_to(to(22_000, "a")).await.expect_err("the key means something else");
    assert_eq!(other.code().word(), "idempotency_conflict");
    let after = world.merchant.balance().await.expect("told").amount.as_u64();
    assert_eq!(after - before, 21_000, "paid once");
    assert_ne!(payments.pay_to(to(21_000, "b")).await.expect("a second one"), one);
    payer.shutdown().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_leaves_the_amount_open_is_paid_what_is_given() {
    let world = World::new().await;
    let payer = payer(&world).await;
    let open = world.merchant.make_amountless_invoice(None, Duration::from_secs(300));
    let text = open.expect("made").bolt11;
    let to = |msat: Option<u64>| PayTo {
        text: text.clone(),
        amount: msat.map(Millisats::new),
        comment: None,
        key: None,
    };
    let before = world.merchant.balance().await.expect("told").amount.as_u64();
    let without = payer.payments().pay_to(to(None)).await.expect_err("how much?");
    assert_eq!(without.code().word(), "invalid_amount");
    payer.payments().pay_to(to(Some(7_000))).await.expect("paid");
    let after = world.merchant.balance().await.expect("told").amount.as_u64();
    assert_eq!(after - before, 7_000);
    payer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invoices_carry_the_metadata_and_can_be_verified() {
    let world = World::new().await;
    let daemon = shop(&world).await;
    let (status, offer) = daemon.get_json("/.well-known/lnurlp/shop", None).await;
    assert_eq!((status, &offer["tag"]), (200, &json!("payRequest")), "{offer}");
    assert_eq!((&offer["minSendable"], &offer["maxSendable"]), (&json!(1000), &json!(1_000_000)));
    let metadata: Value =
        serde_json::from_str(offer["metadata"].as_str().expect("a text")).expect("JSON");
    assert_eq!(metadata[0], json!(["text/plain", "Coffee"]));
    assert_eq!(metadata[1], json!(["text/identifier", format!("shop@{}", daemon.address)]));
    let callback = path(&daemon, &offer["callback"]);
    let (_, made) = daemon.get_json(&format!("{callback}?amount=5000"), None).await;
    let invoice = made["pr"].as_str().expect("an invoice");
    let read = Bolt11::parse(invoice).expect("parses");
    assert_eq!(read.amount, Some(Millisats::new(5000)));
    let verify = path(&daemon, &made["verify"]);
    let (_, open) = daemon.get_json(&verify, None).await;
    assert_eq!((&open["settled"], &open["preimage"]), (&json!(false), &Value::Null), "{open}");
    world.pay(invoice).await;
    let (_, paid) = daemon.get_json(&verify, None).await;
    assert_eq!((&paid["settled"], &paid["pr"]), (&json!(true), &json!(invoice)), "{paid}");
    assert_eq!(paid["preimage"].as_str().map(str::len), Some(64));
    let mut socket = daemon.socket().await;
    let hash = read.payment_hash.to_string();
    let told = socket.data("LookupPayment", json!({ "payment_hash": hash })).await;
    assert_eq!(
        (&told["payment"]["state"], &told["payment"]["amount_msat"]),
        (&json!("settled"), &json!(5000))
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_no_more_than_is_theirs() {
    let world = World::new().await;
    let daemon = shop(&world).await;
    assert_eq!(daemon.get("/.well-known/lnurlp/other", None).await.0, 404);
    for amount in ["", "?amount=", "?amount=999", "?amount=1000001", "?amount=-1", "?amount=1e9"] {
        let (_, refused) = daemon.get_json(&format!("/lnurlp/shop{amount}"), None).await;
        assert_eq!(refused["status"], "ERROR", "{amount}: {refused}");
    }
    // An invoice of the merchant's that was not made for the name.
    let mut socket = daemon.socket().await;
    let request = json!({ "main_key": world.person_key(), "subkeys": [],
        "payment_request": { "amount": 3000, "currency": "Millisats" } });
    socket.data("RequestSinglePayment", request).await;
    let (_, unknown) =
        daemon.get_json(&format!("/lnurlp/shop/verify/{}", "00".repeat(32)), None).await;
    assert_eq!(unknown["status"], "ERROR");
    let mut refused = 0;
    for _ in 0..200 {
        refused += i32::from(daemon.get("/.well-known/lnurlp/shop", None).await.0 == 429);
    }
    assert!(refused > 0, "questions are counted");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_the_name_has_none_and_reads_what_others_offer() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    assert_eq!(daemon.get("/.well-known/lnurlp/shop", None).await.0, 404);
    let mut socket = daemon.socket().await;
    let offer = "lno1zcss9mk8y3wkklfvevcrszlmu23kfrxh49px20665dqwmn4p72pksese";
    let wrong = socket.call("ReadPaymentInstruction", json!({ "instruction": offer })).await;
    assert_eq!(wrong["code"], "invalid_invoice", "the wallet is on another network: {wrong}");
    let nonsense = socket.call("PayInstruction", json!({ "instruction": "hello" })).await;
    assert_eq!(nonsense["code"], "invalid_invoice", "{nonsense}");
    daemon.stop().await;
}

/// An invoice that somebody got from the address.
async fn invoice_over(daemon: &Running, msat: u64) -> String {
    let (_, made) = daemon.get_json(&format!("/lnurlp/shop?amount={msat}"), None).await;
    made["pr"].as_str().unwrap_or_else(|| panic!("an invoice: {made}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_is_told_to_who_listens_once_and_also_after_a_restart() {
    let world = World::new().await;
    let daemon = shop(&world).await;
    let mut socket = daemon.socket().await;
    let listening = socket.data("ListenLightningAddress", json!({})).await;
    assert_eq!(listening["type"], "listen_lightning_address");
    assert_eq!(listening.get("last_index"), None, "nothing has come yet");
    let stream = listening["stream_id"].as_str().expect("a stream").to_owned();
    let (first, unpaid) = (invoice_over(&daemon, 5_000).await, invoice_over(&daemon, 6_000).await);
    world.pay(&first).await;
    let told = socket.notification(&stream).await;
    let data = &told["data"];
    assert_eq!(told["index"], 0, "{told}");
    assert_eq!(
        (&data["type"], &data["name"], &data["amount_msat"], &data["invoice"]),
        (&json!("lightning_address_payment"), &json!("shop"), &json!(5_000), &json!(first))
    );
    let read = Bolt11::parse(&first).expect("an invoice");
    assert_eq!(data["payment_hash"], read.payment_hash.to_string());
    assert_eq!(data["preimage"].as_str().map(str::len), Some(64));
    drop(socket);

    // The other one is paid while the daemon is away.
    daemon.stop().await;
    world.pay(&unpaid).await;
    let daemon = shop(&world).await;
    let mut socket = daemon.socket().await;
    let missed = socket.data("ListenLightningAddress", json!({ "after": 0 })).await;
    assert_eq!(missed["stream_id"], stream.as_str(), "always the same stream");
    let told = socket.notification(&stream).await;
    assert_eq!((&told["index"], &told["data"]["amount_msat"]), (&json!(1), &json!(6_000)));
    // All of it, each once, by its name, in both dialects.
    let resumed = socket.data("ResumeStream", json!({ "stream_id": "lightning-address" })).await;
    assert_eq!((&resumed["events"], &resumed["open"]), (&json!(2), &json!(true)), "{resumed}");
    let (status, log) = daemon.get_json("/events/lightning-address", Some(TOKEN)).await;
    assert_eq!(status, 200, "{log}");
    let events = log["data"]["events"].as_array().expect("a list");
    let amounts: Vec<_> = events.iter().map(|event| event["amount_msat"].clone()).collect();
    assert_eq!(amounts, [json!(5_000), json!(6_000)]);
    // Whoever listens from now on hears nothing of before.
    let mut other = daemon.socket().await;
    let late = other.data("ListenLightningAddress", Value::Null).await;
    assert_eq!(late["last_index"], 1, "{late}");
    let third = invoice_over(&daemon, 7_000).await;
    world.pay(&third).await;
    assert_eq!(other.notification(&stream).await["index"], 2);
    daemon.stop().await;
}
