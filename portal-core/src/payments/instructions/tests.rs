use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::env::mock;
use crate::primitives::Timestamp;
use crate::wallet::simulated::SimulatedNetwork;
use crate::wallet::{LightningWallet, NewInvoice};
use sha2::{Digest as _, Sha256};

const METADATA: &str = r#"[["text/plain","Coffee"],["text/identifier","anna@shop.example"]]"#;

/// Answers by the beginning of the address, and remembers what was asked.
#[derive(Default)]
struct Pages {
    pages: Mutex<HashMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

impl Pages {
    fn with(pages: &[(&str, &str)]) -> Self {
        let pages = pages.iter().map(|(url, body)| ((*url).to_owned(), (*body).to_owned()));
        Self { pages: Mutex::new(pages.collect()), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl Web for Pages {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, WebError> {
        self.asked.lock().expect("not poisoned").push(url.to_string());
        let pages = self.pages.lock().expect("not poisoned");
        pages
            .iter()
            .find(|(start, _)| url.as_str().starts_with(start.as_str()))
            .map(|(_, body)| body.clone().into_bytes())
            .ok_or(WebError::Unreachable)
    }

    fn allows_plain(&self, host: &str) -> bool {
        host.ends_with(".onion")
    }
}

fn pay_document() -> String {
    serde_json::json!({
        "tag": "payRequest", "callback": "https://shop.example/cb?id=7",
        "minSendable": 1000, "maxSendable": 5_000_000, "metadata": METADATA,
        "commentAllowed": 5,
    })
    .to_string()
}

/// An invoice as a wallet of the recipient makes it: for the metadata, and this amount.
async fn invoice(msat: u64, metadata: &str) -> String {
    // Ahead of every real clock: the parser looks at that one.
    let (env, _clock) = mock::env(Timestamp::from_secs(4_000_000_000), msat);
    let network = SimulatedNetwork::new(env);
    let wallet = network.wallet("shop", Millisats::new(0)).expect("opens");
    let order = NewInvoice {
        amount: Millisats::new(msat),
        description: None,
        expiry: Duration::from_secs(600),
    };
    let hash = Sha256::digest(metadata.as_bytes()).into();
    wallet.make_invoice_for(order, hash).await.expect("makes it").bolt11
}

async fn at_shop(pages: &Pages) -> LnurlPay {
    match read("anna@shop.example", None, pages).await.expect("reads") {
        Instruction::LnurlPay(pay) => *pay,
        other => panic!("not a place to pay to: {other:?}"),
    }
}

#[tokio::test]
async fn an_invoice_is_read_bare_with_a_prefix_and_inside_a_uri() {
    let bolt11 = invoice(2000, METADATA).await;
    let pages = Pages::default();
    for text in [
        bolt11.clone(),
        format!("  lightning:{bolt11} "),
        format!("LIGHTNING:{}", bolt11.to_uppercase()),
        format!("bitcoin:?lightning={bolt11}"),
    ] {
        match read(&text, Some(Network::Regtest), &pages).await {
            Ok(Instruction::Invoice(read)) => {
                assert_eq!(read.text, bolt11);
                assert_eq!(read.amount, Some(Millisats::new(2000)));
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(
        read(&bolt11, Some(Network::Bitcoin), &pages).await,
        Err(InstructionError::WrongNetwork)
    );
    assert!(pages.asked().is_empty(), "nobody has to be asked");
}

#[tokio::test]
async fn what_cannot_be_paid_says_what_it_is() {
    let pages = Pages::default();
    // The smallest offer of BOLT 12's own test vectors.
    let offer = "lno1zcss9mk8y3wkklfvevcrszlmu23kfrxh49px20665dqwmn4p72pksese";
    let address = "bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4?amount=0.001";
    for (text, said, amount) in [
        (offer, "a BOLT12 offer", None),
        (address, "an on-chain address", Some(Millisats::new(100_000_000))),
    ] {
        assert_eq!(
            read(text, Some(Network::Bitcoin), &pages).await,
            Ok(Instruction::CannotPay { what: said, amount }),
        );
    }
    assert_eq!(
        read("keyauth://a.example/x?k1=1", None, &pages).await,
        Err(InstructionError::CannotPay { what: "a login request (LUD-04)" })
    );
}

#[tokio::test]
async fn a_lightning_address_leads_to_an_invoice_over_the_amount() {
    let bolt11 = invoice(21_000, METADATA).await;
    let callback = serde_json::json!({
        "pr": bolt11, "routes": [], "verify": "https://shop.example/verify/1",
    });
    let pages = Pages::with(&[
        ("https://shop.example/.well-known/lnurlp/anna", &pay_document()),
        ("https://shop.example/cb", &callback.to_string()),
    ]);
    let pay = at_shop(&pages).await;
    assert_eq!((pay.least.as_u64(), pay.most.as_u64()), (1000, 5_000_000));
    assert_eq!(pay.description, "Coffee");
    let made = pay.invoice(Millisats::new(21_000), Some("merci"), &pages).await.expect("makes it");
    assert_eq!(made.invoice.text, bolt11);
    assert_eq!(made.verify.expect("given").as_str(), "https://shop.example/verify/1");
    assert_eq!(
        pages.asked().last().expect("asked"),
        "https://shop.example/cb?id=7&amount=21000&comment=merci"
    );
}

#[tokio::test]
async fn the_forms_of_lnurl_lead_to_the_same_place() {
    let url = "https://shop.example/pay";
    let hrp = bech32_of(url);
    let pages = Pages::with(&[(url, &pay_document())]);
    for text in [
        hrp.clone(),
        hrp.to_uppercase(),
        format!("lightning:{hrp}"),
        format!("https://service.example/?lightning={hrp}"),
        "lnurlp://shop.example/pay".to_owned(),
        "lnurlp:shop.example/pay".to_owned(),
    ] {
        let found = read(&text, None, &pages).await;
        assert!(matches!(found, Ok(Instruction::LnurlPay(_))), "{text}: {found:?}");
    }
    assert!(pages.asked().iter().all(|asked| asked == url));
}

#[tokio::test]
async fn amounts_and_comments_out_of_bounds_are_refused_before_anything_is_asked() {
    let pages = Pages::with(&[("https://shop.example/.well-known/lnurlp/anna", &pay_document())]);
    let pay = at_shop(&pages).await;
    let asked = pages.asked().len();
    for msat in [0, 999, 5_000_001, u64::MAX] {
        assert!(matches!(
            pay.invoice(Millisats::new(msat), None, &pages).await,
            Err(InstructionError::Amount { .. })
        ));
    }
    assert_eq!(
        pay.invoice(Millisats::new(1000), Some("too long"), &pages).await,
        Err(InstructionError::Comment { most: 5 })
    );
    assert_eq!(pages.asked().len(), asked);
}

#[tokio::test]
async fn an_invoice_that_was_not_asked_for_is_refused() {
    let another_amount = invoice(22_000, METADATA).await;
    let another_purpose = invoice(21_000, "[[\"text/plain\",\"Tea\"]]").await;
    for (body, why) in [
        (serde_json::json!({ "pr": another_amount }), "the invoice is over another amount"),
        (serde_json::json!({ "pr": another_purpose }), "the invoice is for something else"),
        (serde_json::json!({ "pr": "lnbc1" }), "it is not a BOLT11 invoice"),
        (serde_json::json!({ "routes": [] }), "a member is missing or of another type"),
    ] {
        let pages = Pages::with(&[
            ("https://shop.example/.well-known/lnurlp/anna", &pay_document()),
            ("https://shop.example/cb", &body.to_string()),
        ]);
        let made = at_shop(&pages).await.invoice(Millisats::new(21_000), None, &pages).await;
        assert_eq!(made, Err(InstructionError::BadAnswer { reason: why }));
    }
}

#[tokio::test]
async fn hostile_documents_are_refused() {
    let url = "https://shop.example/.well-known/lnurlp/anna";
    let document = |change: (&str, serde_json::Value)| {
        let mut all: serde_json::Value = serde_json::from_str(&pay_document()).expect("it is ours");
        all[change.0] = change.1;
        all.to_string()
    };
    for body in [
        document(("minSendable", 0.into())),
        document(("minSendable", 6_000_000.into())),
        document(("maxSendable", u64::MAX.into())),
        document(("maxSendable", "5000".into())),
        document(("metadata", "[]".into())),
        document(("metadata", "nothing".into())),
        document(("callback", "http://shop.example/cb".into())),
        document(("callback", "https://anna:pw@shop.example/cb".into())),
        document(("callback", "file:///etc/passwd".into())),
        document(("tag", "somethingElse".into())),
        "<html>".to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        let pages = Pages::with(&[(url, &body)]);
        let found = read("anna@shop.example", None, &pages).await;
        assert!(
            matches!(found, Err(InstructionError::BadAnswer { .. } | InstructionError::BadAddress)),
            "{body}: {found:?}"
        );
    }
    let refusal = r#"{"status":"ERROR","reason":"no such\nperson"}"#;
    assert_eq!(
        read("anna@shop.example", None, &Pages::with(&[(url, refusal)])).await,
        Err(InstructionError::Refused { reason: "no suchperson".to_owned() })
    );
    assert_eq!(
        read("anna@shop.example", None, &Pages::default()).await,
        Err(InstructionError::Web(WebError::Unreachable))
    );
}

#[tokio::test]
async fn plain_http_is_for_onion_services_only() {
    let onion = "http://vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd.onion/pay";
    let pages = Pages::with(&[(onion, &pay_document())]);
    let found = read(&bech32_of(onion), None, &pages).await;
    assert!(matches!(found, Ok(Instruction::LnurlPay(_))), "{found:?}");
    let plain = bech32_of("http://shop.example/pay");
    assert_eq!(read(&plain, None, &pages).await, Err(InstructionError::BadAddress));
}

#[tokio::test]
async fn an_offer_of_money_is_taken_with_an_invoice_within_it() {
    let offer = serde_json::json!({
        "tag": "withdrawRequest", "callback": "https://shop.example/w", "k1": "secret",
        "defaultDescription": "Refund", "minWithdrawable": 1000, "maxWithdrawable": 30_000,
    });
    let pages = Pages::with(&[
        ("https://shop.example/offer", &offer.to_string()),
        ("https://shop.example/w", r#"{"status":"OK"}"#),
    ]);
    let Ok(Instruction::Withdraw(offer)) = read("lnurlw://shop.example/offer", None, &pages).await
    else {
        panic!("not an offer")
    };
    assert_eq!(offer.description, "Refund");
    assert!(!format!("{offer:?}").contains("secret"));
    let invoice_within = invoice(21_000, METADATA).await;
    offer.claim(&invoice_within, &pages).await.expect("taken");
    assert!(pages.asked().last().expect("asked").contains("k1=secret&pr=lnbcrt"));
    let asked = pages.asked().len();
    let invoice_beyond = invoice(30_001, METADATA).await;
    assert!(matches!(
        offer.claim(&invoice_beyond, &pages).await,
        Err(InstructionError::Amount { .. })
    ));
    assert_eq!(pages.asked().len(), asked, "nothing was handed over");
}

#[tokio::test]
async fn a_server_is_believed_about_its_own_invoice_and_proves_with_the_preimage() {
    let bolt11 = invoice(21_000, METADATA).await;
    let hash = Bolt11::parse(&bolt11).expect("parses").payment_hash;
    let url = Url::parse("https://shop.example/verify/1").expect("parses");
    let says = |body: serde_json::Value| Pages::with(&[(url.as_str(), &body.to_string())]);
    let open = says(serde_json::json!({"status":"OK","settled":false,"preimage":null,"pr":bolt11}));
    assert_eq!(verify(&url, hash, &open).await, Ok(Verified { settled: false, preimage: None }));
    let wrong = "00".repeat(32);
    let lie = says(serde_json::json!({"settled":true,"preimage":wrong,"pr":bolt11}));
    assert!(matches!(verify(&url, hash, &lie).await, Err(InstructionError::BadAnswer { .. })));
    let another = invoice(22_000, METADATA).await;
    let about_another = says(serde_json::json!({"settled":true,"pr":another}));
    assert_eq!(
        verify(&url, hash, &about_another).await,
        Err(InstructionError::BadAnswer { reason: "it is about another invoice" })
    );
}

#[tokio::test]
async fn nonsense_is_refused_whatever_its_length() {
    let pages = Pages::default();
    let long = "a".repeat(MAX_LENGTH + 1);
    for text in ["", " ", "hello", "lnbc", "lnurl1", "a@b", "lightning:", "bitcoin:", &long, "a\nb"]
    {
        let found = read(text, None, &pages).await;
        assert!(found.is_err(), "{text:.20}: {found:?}");
    }
}

fn bech32_of(url: &str) -> String {
    use bitcoin::bech32::{Bech32, Hrp, encode};
    encode::<Bech32>(Hrp::parse("lnurl").expect("valid"), url.as_bytes()).expect("encodes")
}
