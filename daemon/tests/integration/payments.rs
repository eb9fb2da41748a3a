//! The commands about money: what is filled in, what is checked, what goes back.

use std::sync::Arc;

use portal_core::client::{IncomingRequest, RequestBody};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::SimulatedNetwork;
use portal_core::wallet::{LightningWallet, NewInvoice};
use serde_json::{Value, json};

use crate::harness::{Socket, World, asked, soon};

async fn invoice(wallet: &impl LightningWallet, msat: u64) -> String {
    let order = NewInvoice {
        amount: portal_core::primitives::Millisats::new(msat),
        description: None,
        expiry: std::time::Duration::from_secs(600),
    };
    wallet.make_invoice(order).await.expect("made").bolt11
}

fn payment(request: &IncomingRequest) -> portal_core::protocol::payment::SinglePaymentRequest {
    match &request.body {
        RequestBody::Payment(asked) => asked.clone(),
        other => panic!("a payment, not {other:?}"),
    }
}

fn code(answer: &Value) -> &str {
    assert_eq!(answer["type"], "error", "{answer}");
    answer["code"].as_str().expect("a code")
}

/// A payment of 3,000 msat that was paid: its stream.
async fn paid(world: &World, socket: &mut Socket, app: &portal_core::client::Client) -> String {
    let opened = socket
        .data(
            "RequestSinglePayment",
            json!({"main_key": world.person_key(), "subkeys": [],
            "payment_request": {"description": "x", "amount": 3000, "currency": "Millisats"}}),
        )
        .await;
    let stream = opened["stream_id"].as_str().expect("a stream").to_owned();
    world.pay(&payment(&asked(app).await).invoice).await;
    let paid = socket.notification(&stream).await;
    assert_eq!(paid["data"]["status"]["status"], "paid", "{paid}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_raw_request_lacks_is_filled_in() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let raw = |content: Value| json!({"main_key": world.person_key(), "subkeys": [], "payment_request": content});
    let bare = raw(json!({"amount": 4000, "currency": "Millisats"}));
    let opened = socket.data("RequestPaymentRaw", bare).await;
    let request = asked(&app).await;
    let wanted = payment(&request);
    assert!(!wanted.request_id.as_str().is_empty());
    let made = Bolt11::parse(&wanted.invoice).expect("an invoice");
    assert_eq!(made.amount.expect("one").as_u64(), 4000);
    let now = app.now().as_secs();
    assert!((now + 200..=now + 301).contains(&wanted.expires_at.as_secs()), "five minutes");
    world.pay(&wanted.invoice).await;
    let stream = opened["stream_id"].as_str().expect("a stream");
    assert_eq!(socket.notification(stream).await["data"]["status"]["status"], "paid");

    // What is said stands.
    let end = now + 1000;
    let content = json!({"amount": 4001, "currency": "Millisats", "request_id": "order 7",
        "expires_at": end.to_string(), "description": "a cup", "subscription_id": "s"});
    socket.data("RequestPaymentRaw", raw(content)).await;
    let wanted = payment(&asked(&app).await);
    assert_eq!((wanted.request_id.as_str(), wanted.expires_at.as_secs()), ("order 7", end));
    assert_eq!(wanted.subscription_id.as_deref(), Some("s"));
    let made = Bolt11::parse(&wanted.invoice).expect("an invoice");
    assert!(made.expires_at.as_secs() >= end - 1, "it can be paid until then");
}

#[tokio::test(flavor = "multi_thread")]
async fn invoices_that_are_not_what_they_should_be_are_refused() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut socket = daemon.socket().await;
    let mine = invoice(&*world.merchant, 5_000).await;
    let raw = |amount: u64, invoice: &str| {
        json!({"main_key": world.person_key(), "subkeys": [],
            "payment_request": {"amount": amount, "currency": "Millisats", "invoice": invoice}})
    };
    for (amount, text) in [(9_000, mine.as_str()), (5_000, "lnbc1"), (u64::MAX, mine.as_str())] {
        let answer = socket.call("RequestPaymentRaw", raw(amount, text)).await;
        assert_eq!(code(&answer), "invalid_invoice", "{answer}");
    }
    assert_eq!(code(&socket.call("RequestPaymentRaw", raw(0, &mine)).await), "invalid_amount");
    let theirs = invoice(&*world.person, 5_000).await;
    for (params, expected) in [
        (json!({"invoice": theirs, "amount_msat": 4_999}), "invalid_amount"),
        (json!({"invoice": theirs, "amount_msat": -1}), "invalid_request"),
        (json!({"invoice": theirs, "max_fee_msat": "much"}), "invalid_request"),
        (json!({"invoice": ""}), "invalid_invoice"),
    ] {
        assert_eq!(code(&socket.call("PayInvoice", params.clone()).await), expected, "{params}");
    }
    let paid = socket.data("PayInvoice", json!({"invoice": theirs, "max_fee_msat": 0})).await;
    assert_eq!(paid["fees_paid_msat"], 0);
    let elsewhere = SimulatedNetwork::new(portal_core::env::Env::system());
    let stranger = elsewhere.wallet("x", portal_core::primitives::Millisats::new(0)).expect("new");
    let unknown = invoice(&*stranger, 5_000).await;
    let answer = socket.call("PayInvoice", json!({"invoice": unknown})).await;
    assert_eq!(code(&answer), "payment_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_of_the_wrong_amount_is_an_error_and_not_passed_on() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut socket = daemon.socket().await;
    let soon = app.now().as_secs() + 300;
    for (given, expected) in [(7_001, None), (7_000, Some(7_000))] {
        let id = socket
            .send(
                "RequestInvoice",
                json!({"recipient_key": world.person_key(), "subkeys": [], "content":
                    {"amount": 7000, "currency": "Millisats", "expires_at": soon.to_string()}}),
            )
            .await;
        let request = asked(&app).await;
        let text = invoice(&*world.person, given).await;
        app.replies().invoice(&request, text.clone(), None).await.expect("replied");
        let answer = socket.answer(&id).await;
        match expected {
            Some(_) => assert_eq!(answer["data"]["invoice"], text.as_str(), "{answer}"),
            None => {
                assert_eq!(code(&answer), "invalid_invoice");
                assert!(!answer.to_string().contains(&text));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_told_on_its_stream_and_done_once() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let wallet = Arc::clone(&world.person);
    let app = world.app_with_wallet(wallet).await;
    let mut socket = daemon.socket().await;
    let stream = paid(&world, &mut socket, &app).await;
    let too_much = json!({"stream_id": stream, "amount_msat": 3001});
    assert_eq!(code(&socket.call("RefundPayment", too_much).await), "not_refundable");
    let unknown = json!({"stream_id": "no stream"});
    assert_eq!(code(&socket.call("RefundPayment", unknown).await), "stream_not_found");
    let params = json!({"stream_id": stream, "description": "sorry"});
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(socket.send_once("refund", "RefundPayment", params.clone()).await);
    }
    let mut streams = std::collections::BTreeSet::new();
    for id in &ids {
        let answer = socket.answer(id).await;
        streams.insert(answer["data"]["stream_id"].as_str().expect("a stream").to_owned());
    }
    assert_eq!(streams.len(), 1);
    let refund = streams.pop_first().expect("one");
    let request = soon("a request", app.requests().next()).await.expect("the app runs");
    let RequestBody::Invoice(wanted) = &request.body else { panic!("{request:?}") };
    assert_eq!((wanted.amount, wanted.description.as_deref()), (3000, Some("sorry")));
    app.invoices().give(&request).await.expect("given");
    let told = socket.notification(&refund).await;
    assert_eq!(told["data"]["type"], "refunded", "{told}");
    assert_eq!(told["data"]["payment"], stream.as_str());
    assert_eq!(told["data"]["amount_msat"], 3000);
    assert_eq!(code(&socket.call("RefundPayment", params).await), "not_refundable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_identical_commands_ask_the_person_once() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(daemon.socket().await);
    }
    let params = json!({"main_key": world.person_key(), "subkeys": [],
        "payment_request": {"amount": 3000, "currency": "Millisats", "description": null}});
    let mut sent = Vec::new();
    for number in 0..1000 {
        let socket = &mut sockets[number % 4];
        sent.push(socket.send_once("order", "RequestSinglePayment", params.clone()).await);
    }
    let mut streams = std::collections::BTreeSet::new();
    for (number, id) in sent.iter().enumerate() {
        let answer = sockets[number % 4].answer(id).await;
        streams.insert(answer["data"]["stream_id"].as_str().expect("a stream").to_owned());
    }
    assert_eq!(streams.len(), 1);
    let first = asked(&app).await;
    // One of another kind behind it: whatever else was sent would have come before.
    let login = json!({"main_key": world.person_key(), "subkeys": []});
    let id = sockets[0].send("AuthenticateKey", login).await;
    let next = asked(&app).await;
    assert!(matches!(next.body, RequestBody::Login(_)), "{:?} and {next:?}", first.body);
    app.replies().login(&next, crate::harness::yes()).await.expect("replied");
    assert_eq!(sockets[0].answer(&id).await["type"], "success");
}
