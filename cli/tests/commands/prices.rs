//! Amounts in fiat, and a wallet that pays by itself.

use std::time::Duration;

use portal_core::event::PaymentUpdate;
use portal_core::primitives::{Millisats, RequestId, Timestamp};
use portal_core::protocol::payment::SinglePaymentRequest;
use portal_core::protocol::{Currency, ExchangeRate};
use portal_core::service::{Call, Recipient};
use portal_core::wallet::{LightningWallet as _, NewInvoice};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::handshake;
use crate::world::{Ear, World};

/// 65.00 EUR at 65,000 EUR for a bitcoin.
const FAIR_MSAT: u64 = 100_000_000;

/// A source on this machine that says 65,000 EUR, in the words of one that is known.
async fn source() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let body = r#"{"data":{"currency":"BTC","rates":{"EUR":"65000.00"}}}"#;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if socket.read(&mut request).await.is_ok() {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.expect("it listens");
            }
        }
    });
    format!("coinbase=http://{address}")
}

/// Asks for 65.00 EUR with an invoice over so much, at the rate that makes it so.
async fn ask(world: &World, person: &Recipient, msat: u64) -> Ear {
    let order = NewInvoice {
        amount: Millisats::new(msat),
        description: None,
        expiry: Duration::from_secs(300),
    };
    let merchant = world.network.wallet("merchant", Millisats::new(0)).expect("known");
    let invoice = merchant.make_invoice(order).await.expect("made").bolt11;
    let now = world.service.now();
    #[expect(clippy::cast_precision_loss, reason = "the amounts of these tests are small")]
    let rate = 65.0 / (msat as f64 / 1e11);
    let asked = SinglePaymentRequest {
        amount: 6_500,
        currency: Currency::Fiat("EUR".into()),
        current_exchange_rate: Some(ExchangeRate {
            rate,
            source: "shop".into(),
            time: Timestamp::from_secs(now.as_secs()),
        }),
        invoice,
        auth_token: None,
        expires_at: now.saturating_add(Duration::from_secs(120)),
        subscription_id: None,
        description: None,
        request_id: RequestId::new(msat.to_string()),
    };
    let opened = world.service.payments().request_raw(person.clone(), asked, Call::default()).await;
    Ear::on(&world.service, opened.expect("asked").stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fair_price_is_paid_without_asking_and_an_unfair_one_is_not() {
    let world = World::new().await;
    let source = source().await;
    let arguments = ["--auto", "--limit", "500000000", "--rates", source.as_str()];
    let mut wallet = world.wallet(&arguments);
    let person = handshake(&world, &mut wallet).await;
    // One percent off is within the usual tolerance.
    let mut fair = ask(&world, &person, FAIR_MSAT / 100 * 101).await;
    assert_eq!(wallet.record("paid").await["amount_msat"], FAIR_MSAT / 100 * 101);
    fair.until(|update| matches!(update, PaymentUpdate::Paid { .. })).await;

    let mut dear = ask(&world, &person, FAIR_MSAT * 2).await;
    let asked = wallet.record("price_unchecked").await;
    assert!(asked["message"].as_str().is_some_and(|text| text.contains("rate")), "{asked}");
    assert_eq!(wallet.record("request").await["amount_msat"], FAIR_MSAT * 2);
    assert_eq!(world.network.settled().len(), 1, "it waits for the person");
    wallet.types("n").await;
    dear.until(|update| matches!(update, PaymentUpdate::UserRejected { .. })).await;
    assert_eq!(world.network.settled().len(), 1);
    assert!(wallet.interrupt().await.success());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rate_the_person_is_asked_and_above_the_limit_nobody_is() {
    for rates in ["none", "coinbase=http://127.0.0.1:9"] {
        let world = World::new().await;
        let mut wallet = world.wallet(&["--auto", "--limit", "150000000", "--rates", rates]);
        let person = handshake(&world, &mut wallet).await;
        let mut asked = ask(&world, &person, FAIR_MSAT).await;
        wallet.record("price_unchecked").await;
        wallet.record("request").await;
        assert!(world.network.settled().is_empty(), "{rates}");
        wallet.types("y").await;
        assert_eq!(wallet.record("paid").await["amount_msat"], FAIR_MSAT);
        asked.until(|update| matches!(update, PaymentUpdate::Paid { .. })).await;
        let mut dear = ask(&world, &person, FAIR_MSAT * 2).await;
        dear.until(|update| matches!(update, PaymentUpdate::UserRejected { .. })).await;
        assert!(wallet.interrupt().await.success());
        world.end().await;
    }
}
