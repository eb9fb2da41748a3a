//! The exact frames of the 0.3 clients (TypeScript, JVM, Java), and what these clients choke on.

use std::collections::HashSet;

use portal_core::cashu::TicketWallet;
use portal_core::client::{Answered, Client, RequestBody};
use portal_core::protocol::payment::PaymentStatus;
use portal_core::protocol::subscription::RecurringStatus;
use serde_json::{Value, json};

use crate::cashu;
use crate::harness::{Socket, TOKEN, World, approve_login, asked, wallet_app};

/// A client that fails as the JVM client does: on any frame whose id it does not know, and on a
/// notification that comes before the success that names its stream.
struct Strict {
    socket: Socket,
    ids: HashSet<String>,
    streams: HashSet<String>,
}

impl Strict {
    fn new(socket: Socket) -> Self {
        Self { socket, ids: HashSet::new(), streams: HashSet::new() }
    }

    async fn send(&mut self, id: &str, text: String) {
        self.ids.insert(id.to_owned());
        self.socket.send_text(text).await;
    }

    async fn next(&mut self) -> Value {
        let frame = self.socket.frame().await;
        let id = frame["id"].as_str().expect("ids are strings").to_owned();
        match frame["type"].as_str() {
            Some("notification") => {
                assert!(self.streams.contains(&id), "a stream nobody named: {frame}");
                let known = ["key_handshake", "payment_status_update", "closed_recurring_payment"];
                let kind = frame["data"]["type"].as_str().expect("a type");
                assert!(known.contains(&kind), "a notification 0.3 does not know: {frame}");
            }
            Some("success" | "error") => {
                assert!(self.ids.remove(&id), "an id nobody used: {frame}");
                if let Some(stream) = frame["data"]["stream_id"].as_str() {
                    self.streams.insert(stream.to_owned());
                }
            }
            _ => panic!("a frame 0.3 does not know: {frame}"),
        }
        frame
    }

    /// As `{"id":…,"cmd":…,"params":…}`, the text of `params` as it stands.
    async fn call(&mut self, id: &str, cmd: &str, params: Option<&str>) -> Value {
        let params = params.map_or(String::new(), |params| format!(r#","params":{params}"#));
        self.frame(id, format!(r#"{{"id":"{id}","cmd":"{cmd}"{params}}}"#)).await
    }

    /// Sends a frame as it stands; the answer to it.
    async fn frame(&mut self, id: &str, text: String) -> Value {
        self.send(id, text).await;
        loop {
            let frame = self.next().await;
            if frame["id"] == id {
                return frame;
            }
        }
    }
}

/// A frame as a client writes it, and the type of the answer that it waits for. `ID`, `KEY` and the
/// like stand for what differs from run to run.
type Row = (&'static str, &'static str);

/// With two base36 randoms as id; members without a value are left out, timestamps are strings.
const TYPESCRIPT: &[Row] = &[
    (
        r#"{"id":"ID","cmd":"RequestRecurringPayment","params":{"main_key":"KEY","subkeys":[],"payment_request":{"amount":10000,"currency":"Millisats","recurrence":{"calendar":"monthly","max_payments":3,"first_payment_due":"SOON"},"description":"Gym","expires_at":"SOON"}}}"#,
        "recurring_payment",
    ),
    (
        r#"{"id":"ID","cmd":"CloseRecurringPayment","params":{"main_key":"KEY","subkeys":[],"subscription_id":"sub-1"}}"#,
        "close_recurring_payment_success",
    ),
    (
        r#"{"id":"ID","cmd":"SetProfile","params":{"profile":{"id":"1","pubkey":"KEY","name":"shop","display_name":"The shop","about":"Tea"}}}"#,
        "profile",
    ),
    // Nobody answers there: the text begins as it always did.
    (
        r#"{"id":"ID","cmd":"FetchNip05Profile","params":{"nip05":"person@127.0.0.1:1"}}"#,
        "Failed to fetch NIP-05 profile",
    ),
    (
        r#"{"id":"ID","cmd":"IssueJwt","params":{"target_key":"KEY","duration_hours":1}}"#,
        "issue_jwt",
    ),
    (
        r#"{"id":"ID","cmd":"VerifyJwt","params":{"pubkey":"SERVICE","token":"TOKEN"}}"#,
        "verify_jwt",
    ),
    (
        r#"{"id":"ID","cmd":"MintCashu","params":{"mint_url":"MINT","static_auth_token":"secret","unit":"vip","amount":1,"description":"Door"}}"#,
        "cashu_mint",
    ),
    (
        r#"{"id":"ID","cmd":"SendCashuDirect","params":{"main_key":"KEY","subkeys":[],"token":"TOKEN"}}"#,
        "send_cashu_direct_success",
    ),
    (
        r#"{"id":"ID","cmd":"RequestCashu","params":{"recipient_key":"KEY","subkeys":[],"mint_url":"MINT","unit":"vip","amount":1}}"#,
        "cashu_response",
    ),
    (
        r#"{"id":"ID","cmd":"BurnCashu","params":{"mint_url":"MINT","unit":"vip","token":"TOKEN","static_auth_token":"secret"}}"#,
        "cashu_burn",
    ),
    (r#"{"id":"ID","cmd":"AddRelay","params":{"relay":"ws://127.0.0.1:1"}}"#, "add_relay"),
    (r#"{"id":"ID","cmd":"RemoveRelay","params":{"relay":"ws://127.0.0.1:1"}}"#, "remove_relay"),
];

/// With a UUID as id; members come in the order of its constructors, nulls are left out.
const JVM: &[Row] = &[
    (
        r#"{"id":"ID","cmd":"RequestRecurringPayment","params":{"main_key":"KEY","subkeys":[],"payment_request":{"amount":10000,"currency":"Millisats","recurrence":{"calendar":"monthly","first_payment_due":"SOON"},"current_exchange_rate":{"rate":1.5,"source":"x","time":SOON},"expires_at":"SOON"}}}"#,
        "recurring_payment",
    ),
    (
        r#"{"id":"ID","cmd":"CloseRecurringPayment","params":{"main_key":"KEY","subkeys":[],"subscription_id":"sub-1"}}"#,
        "close_recurring_payment_success",
    ),
    (r#"{"id":"ID","cmd":"SetProfile","params":{"profile":{"name":"shop"}}}"#, "profile"),
    (
        r#"{"id":"ID","cmd":"FetchNip05Profile","params":{"nip05":"person@127.0.0.1:1"}}"#,
        "Failed to fetch NIP-05 profile",
    ),
    (
        r#"{"id":"ID","cmd":"IssueJwt","params":{"target_key":"KEY","duration_hours":24}}"#,
        "issue_jwt",
    ),
    (
        r#"{"id":"ID","cmd":"VerifyJwt","params":{"pubkey":"SERVICE","token":"TOKEN"}}"#,
        "verify_jwt",
    ),
    (
        r#"{"id":"ID","cmd":"MintCashu","params":{"mint_url":"MINT","static_auth_token":"secret","unit":"vip","amount":1}}"#,
        "cashu_mint",
    ),
    (
        r#"{"id":"ID","cmd":"SendCashuDirect","params":{"main_key":"KEY","subkeys":[],"token":"TOKEN"}}"#,
        "send_cashu_direct_success",
    ),
    (
        r#"{"id":"ID","cmd":"RequestCashu","params":{"mint_url":"MINT","unit":"vip","amount":1,"recipient_key":"KEY","subkeys":[]}}"#,
        "cashu_response",
    ),
    (
        r#"{"id":"ID","cmd":"BurnCashu","params":{"mint_url":"MINT","static_auth_token":"secret","unit":"vip","token":"TOKEN"}}"#,
        "cashu_burn",
    ),
    (r#"{"id":"ID","cmd":"AddRelay","params":{"relay":"ws://127.0.0.1:1"}}"#, "add_relay"),
    (r#"{"id":"ID","cmd":"RemoveRelay","params":{"relay":"ws://127.0.0.1:1"}}"#, "remove_relay"),
];

/// Says yes to everything.
async fn agreeable(app: &Client, phone: &TicketWallet) {
    while let Some(request) = app.requests().next().await {
        match &request.body {
            RequestBody::Recurring(wanted) => {
                let confirmed = RecurringStatus::Confirmed {
                    subscription_id: "sub-1".into(),
                    authorized_amount: wanted.amount,
                    authorized_currency: wanted.currency.clone(),
                    authorized_recurrence: wanted.recurrence.clone(),
                };
                app.replies().recurring(&request, confirmed).await.expect("replied");
                app.requests().handled(request.id).await.expect("saved");
            }
            RequestBody::Ticket(_) => {
                let answered = app.tickets(phone).answer(&request, false).await.expect("answers");
                assert_eq!(answered, Answered::Given);
            }
            RequestBody::TicketGift(_) => {
                assert!(app.tickets(phone).take(&request).await.expect("taken").is_some());
            }
            RequestBody::SubscriptionClosed(_) => {
                app.requests().handled(request.id).await.expect("saved");
            }
            other => panic!("nobody asks for {other:?}"),
        }
    }
}

/// Sends all frames of a client, one after another.
async fn run_all(client: &mut Strict, rows: &[Row], id: impl Fn(usize) -> String, fixed: &Fixed) {
    let mut token = String::new();
    for (number, (frame, kind)) in rows.iter().enumerate() {
        let id = id(number);
        let mut text = (*frame).to_owned();
        for (name, value) in fixed {
            text = text.replace(name, value);
        }
        // Last: what stands in a token stays as it is.
        let text = text.replace("ID", &id).replace("TOKEN", &token);
        let answer = client.frame(&id, text).await;
        if answer["type"] == "error" {
            let message = answer["message"].as_str().expect("a text");
            assert!(message.starts_with(kind), "{kind}: {answer}");
            continue;
        }
        let data = &answer["data"];
        assert_eq!(data["type"], *kind, "{answer}");
        if let Some(new) = data["token"].as_str().or_else(|| data["status"]["token"].as_str()) {
            new.clone_into(&mut token);
        }
    }
}

/// What stands for what, other than ids and tokens.
type Fixed = [(&'static str, String); 4];

#[tokio::test(flavor = "multi_thread")]
async fn every_other_command_of_the_first_clients_works() {
    let mut world = World::new().await;
    world.tickets = Some(cashu::wallet(1).await);
    let (mint, phone) = (cashu::mint().await, cashu::wallet(2).await);
    let (daemon, app) = (world.daemon().await, world.app().await);
    let soon = portal_core::env::Env::system().now().as_secs() + 600;
    let fixed = [
        ("KEY", world.person_key()),
        ("SERVICE", daemon.state.service.main_key().to_hex()),
        ("MINT", mint.url()),
        ("SOON", soon.to_string()),
    ];
    let auth = format!(r#"{{"token":"{TOKEN}"}}"#);
    let backends = async {
        let mut client = Strict::new(daemon.stranger().await);
        client.call("k3j2h1g0f9", "Auth", Some(&auth)).await;
        run_all(&mut client, TYPESCRIPT, |number| format!("k3j2h1g0f9x{number}"), &fixed).await;
        let mut client = Strict::new(daemon.stranger().await);
        let uuid = |number: usize| format!("0b8e8c9e-52a5-4f0e-9d3b-0000000000{number:02}");
        client.call(&uuid(99), "Auth", Some(&auth)).await;
        run_all(&mut client, JVM, uuid, &fixed).await;
    };
    tokio::select! {
        () = agreeable(&app, &phone) => panic!("the app has stopped"),
        () = backends => {}
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_works() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut client = Strict::new(daemon.stranger().await);
    let key = world.person_key();
    let auth = format!(r#"{{"token":"{TOKEN}"}}"#);
    let reply = client.call("k3j2h1g0f9", "Auth", Some(&auth)).await;
    assert_eq!(reply["data"]["message"], "Authenticated successfully");
    // Parameters without a value are left out; optional ones are null.
    assert_eq!(client.call("a1", "GetWalletInfo", None).await["data"]["type"], "wallet_info");
    let reply = client
        .call("a2", "NewKeyHandshakeUrl", Some(r#"{"static_token":null,"no_request":false}"#))
        .await;
    let stream = reply["data"]["stream_id"].clone();
    let url = reply["data"]["url"].as_str().expect("a URL").to_owned();
    app.handshakes().send(&url, wallet_app()).await.expect("sent");
    let heard = client.next().await;
    assert_eq!((&heard["id"], &heard["data"]["main_key"]), (&stream, &json!(key)));

    let login = format!(r#"{{"main_key":"{key}","subkeys":[]}}"#);
    client.send("a3", format!(r#"{{"id":"a3","cmd":"AuthenticateKey","params":{login}}}"#)).await;
    approve_login(&app).await;
    assert_eq!(client.next().await["data"]["event"]["status"]["status"], "approved");

    // `requestInvoicePayment` never sends a request_id, and may leave out what the types call
    // optional; the timestamp is a string.
    let invoice = portal_core::wallet::LightningWallet::make_invoice(
        &*world.merchant,
        portal_core::wallet::NewInvoice {
            amount: portal_core::primitives::Millisats::new(1000),
            description: None,
            expiry: std::time::Duration::from_secs(600),
        },
    )
    .await
    .expect("made");
    let raw = format!(
        r#"{{"main_key":"{key}","subkeys":[],"payment_request":{{"amount":1000,"currency":"Millisats","description":"x","invoice":"{}"}}}}"#,
        invoice.bolt11
    );
    let reply = client.call("a4", "RequestPaymentRaw", Some(&raw)).await;
    assert_eq!(reply["data"]["type"], "single_payment", "{reply}");
    let request = asked(&app).await;
    app.replies().payment(&request, PaymentStatus::Rejected { reason: None }).await.expect("sent");
    assert_eq!(client.next().await["data"]["status"]["status"], "user_rejected");
    let reply = client
        .call("a5", "CalculateNextOccurrence", Some(r#"{"calendar":"daily","from":"1700000000"}"#))
        .await;
    assert_eq!(reply["data"]["next_occurrence"], "1700006400");
    assert_eq!(client.call("a6", "ListenClosedRecurringPayment", None).await["type"], "success");
    let reply =
        client.call("a7", "FetchProfile", Some(&format!(r#"{{"main_key":"{key}"}}"#))).await;
    assert_eq!(reply["data"], json!({"type": "profile", "profile": null}));
    drop(client);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jvm_client_works() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    assert_eq!(daemon.get("/health", None).await.1, "OK", "it compares the body");
    let mut client = Strict::new(daemon.stranger().await);
    let key = world.person_key();
    let uuid = |number: u8| format!("0b8e8c9e-52a5-4f0e-9d3b-0000000000{number:02}");
    let auth = format!(r#"{{"token":"{TOKEN}"}}"#);
    client.call(&uuid(1), "Auth", Some(&auth)).await;
    // Commands without parameters send null; members that are null are left out.
    let reply = client.call(&uuid(2), "ListenClosedRecurringPayment", Some("null")).await;
    assert_eq!(reply["data"]["type"], "listen_closed_recurring_payment");
    let reply = client.call(&uuid(3), "NewKeyHandshakeUrl", Some("{}")).await;
    assert_eq!(reply["data"]["type"], "key_handshake_url");
    let reply = client
        .call(
            &uuid(4),
            "RequestSinglePayment",
            Some(&format!(
                r#"{{"main_key":"{key}","subkeys":[],"payment_request":{{"description":"Coffee","amount":1000,"currency":"Millisats","subscription_id":"s","auth_token":"t"}}}}"#
            )),
        )
        .await;
    assert_eq!(reply["data"]["type"], "single_payment");
    let request = asked(&app).await;
    let RequestBody::Payment(wanted) = &request.body else { panic!("{request:?}") };
    assert_eq!(wanted.subscription_id.as_deref(), Some("s"));
    world.pay(&wanted.invoice).await;
    assert_eq!(client.next().await["data"]["status"]["status"], "paid");
    // It writes the time of an exchange rate as a number, which older daemons refused.
    let soon = portal_core::env::Env::system().now().as_secs() + 600;
    client
        .send(
            &uuid(5),
            format!(
                r#"{{"id":"{}","cmd":"RequestInvoice","params":{{"recipient_key":"{key}","subkeys":[],"content":{{"request_id":"r","amount":1000,"currency":"Millisats","current_exchange_rate":{{"rate":1.5,"source":"x","time":{soon}}},"expires_at":"{soon}"}}}}}}"#,
                uuid(5)
            ),
        )
        .await;
    let request = asked(&app).await;
    let RequestBody::Invoice(wanted) = &request.body else { panic!("{request:?}") };
    assert_eq!(wanted.request_id.as_str(), "r");
    let invoice = portal_core::wallet::LightningWallet::make_invoice(
        &*world.person,
        portal_core::wallet::NewInvoice {
            amount: portal_core::primitives::Millisats::new(1000),
            description: None,
            expiry: std::time::Duration::from_secs(600),
        },
    )
    .await
    .expect("made");
    app.replies().invoice(&request, invoice.bolt11.clone(), None).await.expect("sent");
    let answer = client.next().await;
    assert_eq!(answer["data"]["type"], "invoice_payment", "{answer}");
    assert_eq!(answer["data"]["payment_hash"], invoice.payment_hash.to_string());
    drop(client);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_works() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut client = Strict::new(daemon.stranger().await);
    let auth = format!(r#"{{"token":"{TOKEN}"}}"#);
    client.call("j1", "Auth", Some(&auth)).await;
    let reply = client.call("j2", "GetWalletInfo", Some("null")).await;
    for (member, value) in [
        ("type", json!("wallet_info")),
        ("wallet_type", json!("simulated")),
        ("balance_msat", json!(1_000_000)),
    ] {
        assert_eq!(reply["data"][member], value, "others it does not look at: {reply}");
    }
    let reply = client.call("j3", "PayInvoice", Some(r#"{"invoice":"lnbc1"}"#)).await;
    assert!(reply["message"].as_str().expect("a text").starts_with("Failed to pay invoice: "));
    let reply = client.call("j4", "Auth", Some(&auth)).await;
    assert_eq!(reply["data"]["type"], "auth_success", "it may be repeated");
    let reply = client.call("j5", "Auth", Some(r#"{"token":"wrong"}"#)).await;
    assert_eq!(reply["message"], "Authentication failed");
    drop(client);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn success_comes_before_the_first_notification_every_time() {
    let world = World::new().await;
    let (daemon, app) = (world.daemon().await, world.app().await);
    let mut client = Strict::new(daemon.stranger().await);
    client.call("a", "Auth", Some(&format!(r#"{{"token":"{TOKEN}"}}"#))).await;
    // A person who answers faster than a client can read.
    let watcher = async {
        for _ in 0..20 {
            let request = asked(&app).await;
            app.replies().payment(&request, PaymentStatus::Approved).await.expect("sent");
        }
    };
    let key = world.person_key();
    let caller = async {
        let (mut opened, mut heard) = (0, 0);
        for number in 0..20 {
            let text = json!({"id": format!("p{number}"), "cmd": "RequestSinglePayment", "params": {
                "main_key": key, "subkeys": [], "payment_request": {"description": "x",
                "amount": 1000, "currency": "Millisats"}}});
            client.send(&format!("p{number}"), text.to_string()).await;
        }
        while opened < 20 || heard < 20 {
            match client.next().await["type"].as_str() {
                Some("success") => opened += 1,
                Some("notification") => heard += 1,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::join!(watcher, caller);
    drop(client);
    daemon.stop().await;
}
