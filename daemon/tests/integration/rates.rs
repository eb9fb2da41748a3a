//! Amounts in fiat currencies, with the sources of exchange rates on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use portal_core::client::RequestBody;
use portal_core::env::Env;
use portal_core::primitives::Millisats;
use portal_core::protocol::payment::PaymentStatus;
use portal_core::rates::RateDesk;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::{LightningWallet, NewInvoice};
use portal_daemon::config::{Flags, load};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::{Options, PATIENCE, Socket, World, asked, soon};

/// All sources on one port, each below its own name.
struct Sources {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const PRICES: [(&str, &str); 6] = [
    ("EUR", "65000.5"),
    ("JPY", "15000000"),
    ("KRW", "150000000.5"),
    ("KWD", "30000"),
    ("RON", "455123.45"),
    ("ARS", "150000000.75"),
];

impl Sources {
    async fn start() -> Self {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let router = Router::new().route("/{*path}", axum::routing::get(answer));
        let router = router.with_state(Arc::clone(&heard));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("served until the end of the test");
        });
        Self { address, heard, task }
    }

    fn heard(&self) -> Vec<String> {
        let mut heard = self.heard.lock().expect("not poisoned").clone();
        heard.sort_unstable();
        heard
    }

    /// The desk of a daemon that is told to ask here.
    fn desk(&self, more: &str) -> Option<Arc<RateDesk>> {
        let names =
            ["kraken", "coinbase", "coingecko", "bitpay", "yadio", "bitso", "nobitex", "exir"];
        let urls: String =
            names.map(|name| format!("{name} = \"{}/{name}\"\n", self.address)).concat();
        let file = format!("[rates]\n{more}\n[rates.urls]\n{urls}");
        let flags = Flags { dev: true, ..Flags::default() };
        let loaded = load(Some(&file), &BTreeMap::new(), None, &flags).expect("a configuration");
        loaded.config.rates.desk(Env::system())
    }
}

/// What the public sources answer; kraken is down.
async fn answer(
    State(heard): State<Arc<Mutex<Vec<String>>>>,
    Path(path): Path<String>,
) -> Result<String, StatusCode> {
    heard.lock().expect("not poisoned").push(path.clone());
    let (source, _) = path.split_once('/').ok_or(StatusCode::NOT_FOUND)?;
    let rows =
        |row: &dyn Fn(&str, &str) -> String| PRICES.map(|(code, price)| row(code, price)).join(",");
    Ok(match source {
        "coinbase" => {
            let rates = rows(&|code, price| format!(r#""{code}":"{price}""#));
            format!(r#"{{"data":{{"currency":"BTC","rates":{{{rates}}}}}}}"#)
        }
        "coingecko" => {
            let rates = rows(&|code, price| {
                format!(r#""{}":{{"value":{price},"type":"fiat"}}"#, code.to_lowercase())
            });
            format!(r#"{{"rates":{{{rates}}}}}"#)
        }
        "bitpay" => {
            // It is wrong about everything.
            let rates = rows(&|code, _| format!(r#"{{"code":"{code}","rate":1000000}}"#));
            format!(r#"{{"data":[{rates}]}}"#)
        }
        "yadio" => {
            let rates = rows(&|code, price| format!(r#""{code}":{price}"#));
            let now = Env::system().now_millis();
            format!(r#"{{"BTC":{{{rates}}},"base":"BTC","timestamp":{now}}}"#)
        }
        "bitso" => r#"{"success":true,"payload":{"book":"btc_ars","last":"150000000.75"}}"#.into(),
        "nobitex" => {
            r#"{"status":"ok","stats":{"btc-rls":{"isClosed":false,"latest":"110000000005"}}}"#
                .into()
        }
        "exir" => r#"{"last":11000000000.5,"symbol":"btc-irt"}"#.into(),
        _ => return Err(StatusCode::SERVICE_UNAVAILABLE),
    })
}

fn payment(key: &str, amount: u64, currency: &str) -> Value {
    json!({"main_key": key, "subkeys": [], "payment_request":
        {"description": "Coffee", "amount": amount, "currency": currency}})
}

async fn refused(socket: &mut Socket, cmd: &str, params: Value) -> Value {
    let answer = socket.call(cmd, params).await;
    assert_eq!(answer["type"], "error", "{answer}");
    assert!(answer["message"].as_str().is_some_and(|text| text.starts_with("Failed to ")));
    answer["code"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_in_fiat_is_asked_for_in_bitcoin_and_paid() {
    let (world, sources) = (World::new().await, Sources::start().await);
    let options = Options { rates: sources.desk(""), ..Options::default() };
    let (daemon, app) = (world.daemon_with(options).await, world.app().await);
    let mut socket = daemon.socket().await;
    let key = world.person_key();

    socket.data("RequestSinglePayment", payment(&key, 2_000, "Millisats")).await;
    let RequestBody::Payment(plain) = asked(&app).await.body else { panic!("a payment") };
    assert_eq!(plain.current_exchange_rate, None);
    assert!(sources.heard().is_empty(), "nobody is asked about satoshi");

    let opened = socket.data("RequestSinglePayment", payment(&key, 1_999, "EUR")).await;
    let request = asked(&app).await;
    let RequestBody::Payment(wanted) = &request.body else { panic!("{request:?}") };
    assert_eq!((wanted.amount, wanted.currency.as_str()), (1_999, "EUR"));
    let rate = wanted.current_exchange_rate.as_ref().expect("the rate it was priced with");
    assert!((rate.rate - 65_000.5).abs() < f64::EPSILON, "{rate:?}");
    assert_eq!(rate.source, "coinbase,coingecko", "kraken is down, bitpay is wrong");
    let invoice = Bolt11::parse(&wanted.invoice).expect("a real invoice");
    assert_eq!(invoice.amount, Some(Millisats::new(30_753_609)));
    app.replies().payment(&request, PaymentStatus::Approved).await.expect("replied");
    let stream = opened["stream_id"].as_str().expect("a stream");
    assert_eq!(socket.notification(stream).await["data"]["status"]["status"], "user_approved");
    world.pay(&wanted.invoice).await;
    assert_eq!(socket.notification(stream).await["data"]["status"]["status"], "paid");

    let before = sources.heard().len();
    socket.data("RequestSinglePayment", payment(&key, 500, "EUR")).await;
    asked(&app).await;
    assert_eq!(sources.heard().len(), before, "a fresh rate is used again");
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_currency_is_priced_by_its_own_minor_unit() {
    let (world, sources) = (World::new().await, Sources::start().await);
    let options = Options { rates: sources.desk(""), ..Options::default() };
    let (daemon, app) = (world.daemon_with(options).await, world.app().await);
    let mut socket = daemon.socket().await;
    for (currency, hundredths, msat) in [
        ("JPY", 150_000, 10_000_000),
        ("KRW", 1_000_000, 6_666_666),
        ("KWD", 150, 5_000_000),
        ("RON", 5_000, 10_986_030),
        ("ARS", 1_000_000, 6_666_666),
        ("IRR", 500_000_000, 4_545_454),
    ] {
        let params = payment(&world.person_key(), hundredths, currency);
        socket.data("RequestSinglePayment", params).await;
        let RequestBody::Payment(wanted) = asked(&app).await.body else { panic!("a payment") };
        assert_eq!((wanted.amount, wanted.currency.as_str()), (hundredths, currency));
        let invoice = Bolt11::parse(&wanted.invoice).expect("a real invoice");
        assert_eq!(invoice.amount, Some(Millisats::new(msat)), "{currency}");
    }
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_invoices_in_fiat_carry_the_rate() {
    let (world, sources) = (World::new().await, Sources::start().await);
    let options = Options { rates: sources.desk(""), ..Options::default() };
    let (daemon, app) = (world.daemon_with(options).await, world.app().await);
    let mut socket = daemon.socket().await;
    let (key, later) = (world.person_key(), Env::system().now().as_secs() + 3600);
    socket
        .send(
            "RequestRecurringPayment",
            json!({"main_key": key, "subkeys": [], "payment_request": {
            "amount": 1_999, "currency": "EUR", "expires_at": later,
            "recurrence": {"calendar": "monthly", "first_payment_due": later}}}),
        )
        .await;
    let RequestBody::Recurring(wanted) = asked(&app).await.body else { panic!("a subscription") };
    assert!(wanted.current_exchange_rate.is_some_and(|rate| rate.rate > 65_000.0));

    // Deployed wallets may be one millisatoshi off; more is another amount.
    for (msat, fits) in [
        (30_753_609, true),
        (30_753_608, true),
        (30_753_610, true),
        (30_753_607, false),
        (30_753_611, false),
    ] {
        let id = socket
            .send(
                "RequestInvoice",
                json!({"recipient_key": key, "subkeys": [],
                "content": {"amount": 1_999, "currency": "EUR", "expires_at": later}}),
            )
            .await;
        let request = asked(&app).await;
        let RequestBody::Invoice(wanted) = &request.body else { panic!("{request:?}") };
        assert!(wanted.current_exchange_rate.as_ref().is_some_and(|rate| rate.rate > 65_000.0));
        let order =
            NewInvoice { amount: Millisats::new(msat), description: None, expiry: PATIENCE * 60 };
        let invoice = world.person.make_invoice(order).await.expect("made").bolt11;
        app.replies().invoice(&request, invoice.clone(), None).await.expect("replied");
        let answer = socket.answer(&id).await;
        if fits {
            assert_eq!(answer["data"]["invoice"], invoice.as_str(), "{msat}");
        } else {
            assert_eq!(answer["code"], "invalid_invoice", "{msat}");
        }
    }
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_without_a_rate_is_refused_before_anything_is_sent() {
    let (world, sources) = (World::new().await, Sources::start().await);
    let options = Options { rates: sources.desk(""), ..Options::default() };
    let (daemon, app) = (world.daemon_with(options).await, world.app().await);
    let mut socket = daemon.socket().await;
    let (key, later) = (world.person_key(), Env::system().now().as_secs() + 3600);
    for (currency, code) in [
        ("SEK", "rate_unavailable"),
        ("VES", "rate_unavailable"),
        ("ABC", "rate_unavailable"),
        ("BTC", "rate_unavailable"),
        ("eur", "invalid_amount"),
        ("bananas", "invalid_amount"),
    ] {
        let single = payment(&key, 1_999, currency);
        assert_eq!(refused(&mut socket, "RequestSinglePayment", single).await, code, "{currency}");
        let recurring = json!({"main_key": key, "subkeys": [], "payment_request": {
            "amount": 1_999, "currency": currency, "expires_at": later,
            "recurrence": {"calendar": "monthly", "first_payment_due": later}}});
        let answer = refused(&mut socket, "RequestRecurringPayment", recurring).await;
        assert_eq!(answer, code, "{currency}");
        let invoice = json!({"recipient_key": key, "subkeys": [],
            "content": {"amount": 1_999, "currency": currency, "expires_at": later}});
        assert_eq!(refused(&mut socket, "RequestInvoice", invoice).await, code, "{currency}");
    }
    // One and a half yen; more than all bitcoin; nothing.
    for (amount, currency) in [(150, "JPY"), (u64::MAX, "EUR"), (0, "EUR")] {
        let single = payment(&key, amount, currency);
        let code = refused(&mut socket, "RequestSinglePayment", single).await;
        assert_eq!(code, "invalid_amount", "{amount} {currency}");
    }
    // What the person sees first is what was asked for after all of these.
    socket.data("RequestSinglePayment", payment(&key, 7, "EUR")).await;
    let RequestBody::Payment(wanted) = asked(&app).await.body else { panic!("a payment") };
    assert_eq!(wanted.amount, 7);
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rates_amounts_in_fiat_are_not_configured() {
    let (world, sources) = (World::new().await, Sources::start().await);
    let options = Options { rates: sources.desk("enabled = false"), ..Options::default() };
    assert!(options.rates.is_none());
    let daemon = world.daemon_with(options).await;
    let mut socket = daemon.socket().await;
    let params = payment(&world.person_key(), 1_999, "EUR");
    assert_eq!(refused(&mut socket, "RequestSinglePayment", params).await, "not_configured");
    assert!(sources.heard().is_empty());
    drop(socket);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_sources_that_are_named_are_asked() {
    let sources = Sources::start().await;
    let desk = sources.desk("sources = [\"yadio\"]").expect("enabled");
    let quote = soon("a quote", desk.quote_wire(1_999, "EUR")).await.expect("quoted");
    assert_eq!(quote.rate.source, "yadio");
    assert_eq!(sources.heard(), ["yadio/exrates/BTC"]);
    let desk = sources.desk("sources = [\"yadio\", \"bitpay\"]\nat_least = 2").expect("enabled");
    assert!(soon("a quote", desk.quote_wire(1_999, "EUR")).await.is_err(), "they contradict");
}
