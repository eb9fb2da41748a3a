//! Each source's own format, served on loopback, and what a hostile server may do.

use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::env::mock;
use crate::primitives::Timestamp;
use crate::rates::{Price, PriceError, RateDesk, RateError, RateOptions};

/// What a server does with a connection once it has read the request.
#[derive(Clone)]
enum Does {
    /// Answers with this status, further head lines and body.
    Answer(u16, String, String),
    /// Says nothing.
    Hang,
    /// Begins a body and never ends it, in pieces.
    Flood,
    /// Announces more than it may send.
    Boast,
    /// Closes in the middle of the body.
    Break,
}

/// A web server for one test.
struct Server {
    base: String,
    paths: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn says(body: &str) -> Self {
        Self::does(Does::Answer(200, String::new(), body.to_owned())).await
    }

    async fn does(what: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let paths: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = paths.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that closes early is what some of the tests want.
                drop(serve(stream, &what, &heard).await);
            }
        });
        Self { base, paths, task }
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().expect("not poisoned").clone()
    }

    fn source(&self, source: PublicSource) -> HttpSource {
        self.impatient(source, Duration::from_secs(20))
    }

    fn impatient(&self, source: PublicSource, patience: Duration) -> HttpSource {
        let fetcher = Arc::new(Fetcher::with_patience(patience));
        HttpSource::at(source, &self.base, fetcher).expect("a base address")
    }
}

async fn serve(
    mut stream: TcpStream,
    what: &Does,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.contains("user-agent: portal/"), "{head}");
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    heard.lock().expect("not poisoned").push(path);
    let begin = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    match what {
        Does::Answer(status, more, body) => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await
        }
        Does::Hang => std::future::pending().await,
        Does::Flood => {
            stream.write_all(format!("{begin}\r\n").as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 8192]).await?;
            }
        }
        Does::Boast => {
            let head = format!("{begin}Content-Length: 999999999999\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            std::future::pending().await
        }
        Does::Break => {
            stream.write_all(format!("{begin}Content-Length: 100\r\n\r\n{{").as_bytes()).await
        }
    }
}

fn currency(code: &str) -> CurrencyCode {
    CurrencyCode::parse(code).expect("known form")
}

/// An answer in the format of each source: a price of 65,000.5 in each of `codes` that it quotes.
fn answer(source: PublicSource, code: &str, price: &str) -> String {
    let lower = code.to_ascii_lowercase();
    match source {
        Kraken => {
            let pair = if code == "CHF" { "XBTCHF".into() } else { format!("XXBTZ{code}") };
            format!(
                r#"{{"error":[],"result":{{"{pair}":{{"a":["{price}","1","1.000"],"b":["{price}","1","1.000"],"c":["{price}","0.00123082"],"v":["6152.7","7389.2"],"p":["1","2"],"t":[72745,89238],"l":["1","1"],"h":["2","2"],"o":"3"}}}}}}"#
            )
        }
        Coinbase => format!(
            r#"{{"data":{{"currency":"BTC","rates":{{"00":"850000.1","1INCH":"250000","AED":"238000.5","{code}":"{price}","USDC":"65000"}}}}}}"#
        ),
        CoinGecko => format!(
            r#"{{"rates":{{"btc":{{"name":"Bitcoin","unit":"BTC","value":1.0,"type":"crypto"}},"eth":{{"name":"Ether","unit":"ETH","value":18.1,"type":"crypto"}},"aed":{{"name":"UAE Dirham","unit":"DH","value":238000.5,"type":"fiat"}},"{lower}":{{"name":"x","unit":"x","value":{price},"type":"fiat"}},"xau":{{"name":"Gold","unit":"XAU","value":30.1,"type":"commodity"}}}}}}"#
        ),
        BitPay => format!(
            r#"{{"data":[{{"code":"BTC","name":"Bitcoin","rate":1}},{{"code":"BCH","name":"Bitcoin Cash","rate":140.2}},{{"code":"{code}","name":"x","rate":{price}}}]}}"#
        ),
        Yadio => format!(
            r#"{{"BTC":{{"AED":238000.5,"{code}":{price},"XAU":30.1}},"base":"BTC","timestamp":1700000000123}}"#
        ),
        Bitso => format!(
            r#"{{"success":true,"payload":{{"high":"1","last":"{price}","created_at":"2023-11-14T22:13:20+00:00","book":"btc_{lower}","volume":"5.8","vwap":"1","low":"1","ask":"1","bid":"1","change_24":"1"}}}}"#
        ),
        Nobitex => format!(
            r#"{{"status":"ok","stats":{{"btc-rls":{{"isClosed":false,"bestSell":"1","bestBuy":"1","latest":"{price}","dayChange":"-1.5"}}}},"global":{{}}}}"#
        ),
        Exir => format!(
            r#"{{"open":1,"close":2,"high":3,"low":1,"last":{price},"volume":0.4,"timestamp":"2023-11-14T22:13:20.000Z","symbol":"btc-irt"}}"#
        ),
    }
}

async fn read(source: PublicSource, code: &str, body: &str) -> Result<String, SourceError> {
    let server = Server::says(body).await;
    let prices = server.source(source).prices(currency(code)).await?.prices;
    let price = prices.iter().find(|(found, _)| *found == currency(code));
    Ok(price.expect("the one that was asked for").1.to_string())
}

#[tokio::test]
async fn each_source_is_read_in_its_own_format() {
    for (source, code, path) in [
        (Kraken, "EUR", "/0/public/Ticker?pair=XBTEUR"),
        (Kraken, "JPY", "/0/public/Ticker?pair=XBTJPY"),
        (Kraken, "CHF", "/0/public/Ticker?pair=XBTCHF"),
        (Coinbase, "RON", "/v2/exchange-rates?currency=BTC"),
        (Coinbase, "KWD", "/v2/exchange-rates?currency=BTC"),
        (CoinGecko, "KRW", "/api/v3/exchange_rates"),
        (BitPay, "RON", "/rates/BTC"),
        (Yadio, "ARS", "/exrates/BTC"),
        (Bitso, "ARS", "/v3/ticker/?book=btc_ars"),
        (Nobitex, "IRR", "/market/stats?srcCurrency=btc&dstCurrency=rls"),
        (Exir, "IRT", "/v2/ticker?symbol=btc-irt"),
    ] {
        let server = Server::says(&answer(source, code, "65000.5")).await;
        let found = server.source(source).prices(currency(code)).await;
        let found = found.unwrap_or_else(|error| panic!("{source:?} {code}: {error}"));
        let price = Price::parse("65000.5").expect("a price");
        assert!(found.prices.contains(&(currency(code), price)), "{source:?} {code}: {found:?}");
        assert!(found.prices.iter().all(|(currency, _)| currency.is_listed()), "{found:?}");
        let dated = matches!(source, Yadio | Bitso).then(|| Timestamp::from_secs(1_700_000_000));
        assert_eq!(found.at, dated, "{source:?}");
        assert_eq!(server.paths(), [path]);
    }
}

#[tokio::test]
async fn a_table_is_read_whole() {
    for source in [Coinbase, CoinGecko, Yadio] {
        let server = Server::says(&answer(source, "RON", "300000")).await;
        let found = server.source(source).prices(currency("RON")).await.expect("readable");
        let aed = Price::parse("238000.5").expect("a price");
        assert!(found.prices.contains(&(currency("AED"), aed)), "{source:?}");
        assert_eq!(found.prices.len(), 2, "{found:?}");
    }
}

#[tokio::test]
async fn rial_and_toman_are_told_apart() {
    let price = "11000000000";
    assert_eq!(read(Exir, "IRT", &answer(Exir, "IRT", price)).await, Ok(price.into()));
    assert_eq!(read(Exir, "IRR", &answer(Exir, "IRT", price)).await, Ok("110000000000".into()));
    let price = "110000000005";
    assert_eq!(read(Nobitex, "IRR", &answer(Nobitex, "IRR", price)).await, Ok(price.into()));
    let toman = read(Nobitex, "IRT", &answer(Nobitex, "IRR", price)).await;
    assert_eq!(toman, Ok("11000000000.5".into()));
}

#[tokio::test]
async fn numbers_may_be_texts_and_texts_numbers() {
    for source in PublicSource::ALL {
        let code = if matches!(source, Nobitex | Exir) { "IRT" } else { "USD" };
        for written in ["65000.5", "\"65000.5\"", "6.50005e4", "\"65000.50000\""] {
            let body = answer(source, code, "@").replace("\"@\"", "@").replace('@', written);
            let expected = if source == Nobitex { "6500.05" } else { "65000.5" };
            assert_eq!(read(source, code, &body).await, Ok(expected.into()), "{source:?} {body}");
        }
    }
}

#[tokio::test]
async fn prices_that_are_none_are_refused() {
    for source in PublicSource::ALL {
        let code = if matches!(source, Nobitex | Exir) { "IRR" } else { "USD" };
        for (written, error) in [
            ("0", Some(PriceError::NotPositive)),
            ("\"0.00\"", Some(PriceError::NotPositive)),
            ("-65000.5", Some(PriceError::NotPositive)),
            ("1e16", Some(PriceError::Absurd)),
            ("1e300", Some(PriceError::Absurd)),
            ("0.000001", Some(PriceError::Absurd)),
            ("\"65,000.50\"", Some(PriceError::NotANumber)),
            ("\"NaN\"", Some(PriceError::NotANumber)),
            ("\"\"", Some(PriceError::NotANumber)),
            ("null", Some(PriceError::NotANumber)),
            ("true", Some(PriceError::NotANumber)),
            ("{}", Some(PriceError::NotANumber)),
            ("[65000]", Some(PriceError::NotANumber)),
            ("NaN", None),
            ("Infinity", None),
            ("0x10", None),
        ] {
            let body = answer(source, code, "@").replace("\"@\"", "@").replace('@', written);
            let refused = read(source, code, &body).await.expect_err(&body);
            match error {
                Some(error) => assert_eq!(refused, SourceError::Price(error), "{source:?} {body}"),
                None => assert!(matches!(refused, SourceError::Malformed { .. }), "{body}"),
            }
        }
    }
}

#[tokio::test]
async fn a_bad_row_of_another_currency_does_not_spoil_the_table() {
    let body = r#"{"data":{"currency":"BTC","rates":{"EUR":"-1","RON":"300000","USD":null}}}"#;
    let server = Server::says(body).await;
    let found = server.source(Coinbase).prices(currency("RON")).await.expect("readable");
    assert_eq!(found.prices, [(currency("RON"), Price::parse("300000").expect("a price"))]);
}

#[tokio::test]
async fn another_currency_or_another_coin_is_not_taken_for_the_one_asked_for() {
    for source in [Coinbase, CoinGecko, BitPay, Yadio] {
        let refused = read(source, "SEK", &answer(source, "EUR", "65000.5")).await;
        assert_eq!(refused, Err(SourceError::NotQuoted), "{source:?}");
    }
    for source in [Kraken, Bitso] {
        let refused = read(source, "USD", &answer(source, "EUR", "65000.5")).await;
        assert!(matches!(refused, Err(SourceError::Malformed { .. })), "{source:?}");
    }
    for (source, other) in [
        (Coinbase, answer(Coinbase, "EUR", "2500").replace("\"BTC\"", "\"ETH\"")),
        (CoinGecko, answer(CoinGecko, "EUR", "2500").replace("\"value\":1.0", "\"value\":0.04e3")),
        (BitPay, answer(BitPay, "EUR", "2500").replace("\"rate\":1}", "\"rate\":25}")),
        (Yadio, answer(Yadio, "EUR", "2500").replace("\"base\":\"BTC\"", "\"base\":\"USD\"")),
        (Nobitex, answer(Nobitex, "IRR", "2500").replace("btc-rls", "eth-rls")),
        (Exir, answer(Exir, "IRR", "2500").replace("btc-irt", "usdt-irt")),
    ] {
        let code = if matches!(source, Nobitex | Exir) { "IRR" } else { "EUR" };
        let refused = read(source, code, &other).await;
        assert!(matches!(refused, Err(SourceError::Malformed { .. })), "{source:?}: {refused:?}");
    }
}

#[tokio::test]
async fn errors_in_the_sources_own_words_are_errors() {
    let unknown = r#"{"error":["EQuery:Unknown asset pair"]}"#;
    assert_eq!(read(Kraken, "EUR", unknown).await, Err(SourceError::NotQuoted));
    for (source, body) in [
        (Kraken, r#"{"error":["EGeneral:Too many requests"],"result":{}}"#),
        (Bitso, r#"{"success":false,"error":{"code":"0301","message":"Unknown OrderBook"}}"#),
        (Nobitex, r#"{"status":"failed","code":"x","message":"y"}"#),
        (Coinbase, r#"{"errors":[{"id":"not_found","message":"Invalid base currency"}]}"#),
        (CoinGecko, r#"{"status":{"error_code":429,"error_message":"limit"}}"#),
        (BitPay, r#"{"error":"The currency you selected is not supported"}"#),
        (Yadio, r#"{"error":"invalid"}"#),
        (Exir, r#"{"message":"Invalid symbol"}"#),
    ] {
        let refused = read(source, "IRR", body).await;
        assert!(matches!(refused, Err(SourceError::Malformed { .. })), "{source:?}: {refused:?}");
    }
    let closed = answer(Nobitex, "IRR", "1000").replace("false", "true");
    assert_eq!(read(Nobitex, "IRR", &closed).await, Err(SourceError::Old));
}

#[tokio::test]
async fn what_is_not_the_format_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for source in PublicSource::ALL {
        for body in ["", "null", "[]", "{}", "\"x\"", "<html>", "{\"rates\":", "\u{0}", &deep] {
            let refused = read(source, "IRR", body).await;
            assert!(
                matches!(refused, Err(SourceError::Malformed { .. })),
                "{source:?} {}: {refused:?}",
                &body[..body.len().min(20)]
            );
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::says(&answer(Coinbase, "EUR", "65000.5")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/elsewhere\r\n", other.base);
        let server = Server::does(Does::Answer(status, location, String::new())).await;
        let refused = server.source(Coinbase).prices(currency("EUR")).await;
        assert_eq!(refused, Err(SourceError::Status { status }));
    }
    assert!(other.paths().is_empty());
}

#[tokio::test]
async fn any_status_but_success_is_an_error() {
    for status in [204, 206, 400, 403, 404, 429, 451, 500, 503] {
        let body = answer(Coinbase, "EUR", "65000.5");
        let server = Server::does(Does::Answer(status, String::new(), body)).await;
        let refused = server.source(Coinbase).prices(currency("EUR")).await;
        assert_eq!(refused, Err(SourceError::Status { status }));
    }
}

#[tokio::test]
async fn a_server_that_never_ends_its_answer_is_cut_off() {
    for (does, error) in [(Does::Flood, SourceError::TooLong), (Does::Boast, SourceError::TooLong)]
    {
        let server = Server::does(does).await;
        assert_eq!(server.source(Coinbase).prices(currency("EUR")).await, Err(error));
    }
    let server = Server::does(Does::Break).await;
    let refused = server.source(Coinbase).prices(currency("EUR")).await;
    assert_eq!(refused, Err(SourceError::Unreachable));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let server = Server::does(Does::Hang).await;
    let source = server.impatient(Coinbase, Duration::from_millis(50));
    assert_eq!(source.prices(currency("EUR")).await, Err(SourceError::Timeout));
    let gone = Server::says("").await;
    let source = gone.source(Coinbase);
    drop(gone);
    let refused = source.prices(currency("EUR")).await;
    assert!(matches!(refused, Err(SourceError::Unreachable | SourceError::Status { .. })));
}

#[test]
fn an_address_is_one_of_a_web_server() {
    let at = |base: &str| HttpSource::at(Kraken, base, Arc::default()).map(|source| source.base);
    for (base, used) in [
        ("https://rates.example", "https://rates.example/"),
        ("http://127.0.0.1:8080/kraken/", "http://127.0.0.1:8080/kraken/"),
        ("http://[::1]:80/a/b", "http://[::1]/a/b/"),
    ] {
        assert_eq!(at(base).as_deref(), Ok(used));
    }
    for bad in [
        "",
        "rates.example",
        "ftp://rates.example",
        "file:///etc/passwd",
        "https://",
        "https://user@rates.example",
        "https://user:pass@rates.example",
        "https://rates.example?x=1",
        "https://rates.example#x",
    ] {
        assert_eq!(at(bad), Err(BaseError), "{bad}");
    }
    for source in PublicSource::ALL {
        let own = HttpSource::new(source, Arc::default());
        assert_eq!(
            HttpSource::at(source, source.home(), Arc::default()).map(|s| s.base),
            Ok(own.base)
        );
        assert_eq!(PublicSource::from_name(source.name()), Some(source));
    }
    assert_eq!(PublicSource::from_name("Kraken"), None);
}

#[test]
fn each_currency_has_one_order() {
    let desk = || {
        let (env, _) = mock::env(Timestamp::from_secs(1), 1);
        let fetcher: Arc<Fetcher> = Arc::default();
        let sources = PublicSource::ALL
            .into_iter()
            .map(|source| Arc::new(HttpSource::new(source, fetcher.clone())) as Arc<dyn RateSource>)
            .collect();
        RateDesk::new(env, sources, RateOptions::default())
    };
    for (code, order) in [
        ("EUR", &["kraken", "coinbase", "coingecko", "bitpay", "yadio"][..]),
        ("JPY", &["kraken", "coinbase", "coingecko", "bitpay", "yadio"]),
        ("KRW", &["coinbase", "coingecko", "bitpay", "yadio"]),
        ("KWD", &["coinbase", "coingecko", "bitpay", "yadio"]),
        ("RON", &["coinbase", "coingecko", "bitpay", "yadio"]),
        ("ARS", &["yadio", "bitso", "coingecko", "coinbase"]),
        ("IRR", &["nobitex", "exir", "yadio"]),
        ("MXN", &["bitso", "coinbase", "coingecko", "bitpay", "yadio"]),
        ("VES", &["yadio"]),
        ("BTC", &[]),
    ] {
        assert_eq!(desk().order(currency(code)), order, "{code}");
    }
}

/// Currency by currency through everything: sources on loopback, the order, the median.
#[tokio::test]
async fn currencies_with_few_sources_are_priced_too() {
    let (env, _) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
    for (code, hundredths, quoted, msat) in [
        ("JPY", 150_000, "15000000", 10_000_000),
        ("KRW", 1_000_000, "150000000.5", 6_666_666),
        ("KWD", 150, "30000", 5_000_000),
        ("RON", 5_000, "455123.45", 10_986_030),
        ("ARS", 1_000_000, "150000000.75", 6_666_666),
        ("IRR", 500_000_000, "110000000005", 4_545_454),
    ] {
        let mut servers = Vec::new();
        let mut sources: Vec<Arc<dyn RateSource>> = Vec::new();
        for source in PublicSource::ALL {
            let price = if source == Exir { "11000000000.5" } else { quoted };
            let server = Server::says(&answer(source, code, price)).await;
            sources.push(Arc::new(server.source(source)));
            servers.push(server);
        }
        // All three are waited for, however busy the machine is.
        let long = Duration::from_secs(20);
        let options = RateOptions { grace: long, patience: long, ..RateOptions::default() };
        let desk = RateDesk::new(env.clone(), sources, options);
        let quote = desk.quote_wire(hundredths, code).await.expect(code);
        assert_eq!(quote.millisats.as_u64(), msat, "{code}");
        let three: Vec<_> = desk.order(currency(code)).into_iter().take(3).collect();
        assert_eq!(quote.rate.source, three.join(","), "{code}");
        let asked: usize = servers.iter().map(|server| server.paths().len()).sum();
        assert_eq!(asked, 3, "{code}: nobody else hears of it");
    }
    let unknown = RateDesk::new(env, Vec::new(), RateOptions::default());
    let refused = unknown.quote_wire(100, "EUR").await;
    assert!(matches!(refused, Err(RateError::NotQuoted { .. })), "{refused:?}");
}

proptest! {
    /// Answers with a piece replaced, and anything else: prices or an error, never a panic.
    #[test]
    fn a_mangled_answer_is_prices_or_an_error(
        source in proptest::sample::select(PublicSource::ALL.to_vec()),
        irr: bool,
        price in "-?[0-9]{1,20}(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        from in 0..300usize,
        length in 0..8usize,
        piece in proptest::collection::vec(any::<u8>(), 0..8),
        alone: bool,
    ) {
        let code = if irr { "IRR" } else { "EUR" };
        let mut body = answer(source, code, &price).into_bytes();
        let from = from.min(body.len());
        let to = (from + length).min(body.len());
        if alone {
            body = piece;
        } else {
            body.splice(from..to, piece);
        }
        if let Ok(found) = source.read(&body, currency(code)) {
            for (currency, price) in found.prices {
                prop_assert!(currency.is_listed());
                prop_assert_eq!(Price::parse(&price.to_string()), Ok(price));
                prop_assert_eq!(Price::from_wire(price.to_wire()), Ok(price));
            }
        }
    }
}
