//! Amounts in fiat: priced by the service, checked by the person's wallet.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portal_core::client::{RequestBody, TOLERANCE_PERMILLE};
use portal_core::env::{Env, mock};
use portal_core::primitives::{CurrencyCode, ErrorCode, Millisats, Timestamp};
use portal_core::protocol::Currency;
use portal_core::protocol::payment::SinglePaymentRequest;
use portal_core::rates::memory::MemorySource;
use portal_core::rates::{Price, RateDesk, RateOptions, SourceError};
use portal_core::service::{Call, Idempotency, NewSinglePayment, Recipient};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::SimulatedWallet;
use portal_core::wallet::{
    Balance, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
};

use crate::harness::{World, next};

fn source(euro: &str) -> Arc<MemorySource> {
    Arc::new(MemorySource::with("test", &[("EUR", euro), ("JPY", "15000000")]).expect("prices"))
}

fn desk(env: &Env, source: &Arc<MemorySource>) -> Arc<RateDesk> {
    Arc::new(RateDesk::new(env.clone(), vec![source.clone()], RateOptions::default()))
}

fn coffee(amount: u64, currency: &str) -> NewSinglePayment {
    NewSinglePayment {
        amount,
        currency: Currency::from(currency),
        description: Some("Coffee".to_owned()),
        auth_token: None,
        subscription_id: None,
        request_id: None,
    }
}

fn payment(body: RequestBody) -> SinglePaymentRequest {
    match body {
        RequestBody::Payment(payment) => payment,
        other => panic!("a payment, not {other:?}"),
    }
}

fn amount(request: &SinglePaymentRequest) -> u64 {
    let invoice = Bolt11::parse(&request.invoice).expect("a real invoice");
    invoice.amount.expect("with an amount").as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fair_price_in_fiat_passes_the_check_of_the_payer() {
    let (world, env) = (World::new().await, Env::system());
    let (market, ours) = (source("65000.5"), source("66000"));
    let service = world.service_with(|builder| builder.rates(desk(&env, &market))).await;
    let client = world.client_with(|builder| builder.rates(desk(&env, &ours))).await;
    let person = Recipient::new(client.main_key());
    let asked = coffee(1_999, "EUR");
    service.payments().request_single(person, asked, Call::default()).await.expect("asked");
    let request = payment(next(&client).await.body);
    assert_eq!(amount(&request), 30_753_609);
    let rate = request.current_exchange_rate.clone().expect("the rate it was priced with");
    assert_eq!(rate.source, "test");
    assert!(rate.time <= env.now());
    let invoice = Bolt11::parse(&request.invoice).expect("a real invoice");
    assert!(request.expires_at <= invoice.expires_at, "it can be paid as long as it is open");

    let checked = client.prices().check(&request, TOLERANCE_PERMILLE).await.expect("1.5 % apart");
    assert_eq!(checked, Millisats::new(30_753_609));
    let strict = client.prices().check(&request, 5).await.expect_err("1.5 % apart");
    assert_eq!(strict.code(), ErrorCode::InvalidAmount);
    let cheaper = SinglePaymentRequest { amount: 1_000, ..request.clone() };
    let more = client.prices().check(&cheaper, TOLERANCE_PERMILLE).await.expect_err("more");
    assert_eq!(more.code(), ErrorCode::InvalidInvoice);
    let silent = SinglePaymentRequest { current_exchange_rate: None, ..request };
    client.prices().check(&silent, TOLERANCE_PERMILLE).await.expect("by our own rate");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rate_of_ours_the_person_is_asked() {
    let (world, env) = (World::new().await, Env::system());
    let service = world.service_with(|builder| builder.rates(desk(&env, &source("65000")))).await;
    let client = world.client().await;
    let person = Recipient::new(client.main_key());
    let asked = coffee(1_999, "EUR");
    service.payments().request_single(person, asked, Call::default()).await.expect("asked");
    let request = payment(next(&client).await.body);
    let refused = client.prices().check(&request, TOLERANCE_PERMILLE).await;
    assert_eq!(refused.expect_err("no rates").code(), ErrorCode::NotConfigured);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_call_found_no_rate_can_be_used_again() {
    let (world, env) = (World::new().await, Env::system());
    let market = source("65000");
    market.fail(Some(SourceError::Timeout));
    let (env, clock) = mock::env(env.now(), 1);
    let service = world.service_with(|builder| builder.rates(desk(&env, &market))).await;
    let client = world.client().await;
    let ask = || {
        let key = Idempotency { key: "order-1".into(), command_hash: [1; 32] };
        let call = Call { idempotency: Some(key), attach: None };
        let person = Recipient::new(client.main_key());
        let payments = service.payments();
        async move { payments.request_single(person, coffee(1_999, "EUR"), call).await }
    };
    assert_eq!(ask().await.expect_err("no rate").code(), ErrorCode::RateUnavailable);
    market.fail(None);
    clock.advance(Duration::from_secs(16));
    let opened = ask().await.expect("asked");
    assert!(!opened.repeated);
    // The market moves, the order does not.
    market.set(CurrencyCode::parse("EUR").expect("a code"), Price::parse("1").expect("a price"));
    clock.advance(Duration::from_secs(61));
    let again = ask().await.expect("known");
    assert!(again.repeated && again.stream == opened.stream);
    assert_eq!(market.asked(), 2);
    assert_eq!(amount(&payment(next(&client).await.body)), 30_753_846);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lock_ends_invoice_and_request() {
    let (world, env) = (World::new().await, Env::system());
    let sources = vec![source("65000") as Arc<dyn portal_core::rates::RateSource>];
    let options = RateOptions { lock: Duration::from_secs(60), ..RateOptions::default() };
    let rates = Arc::new(RateDesk::new(env.clone(), sources, options));
    let service = world.service_with(|builder| builder.rates(rates)).await;
    let client = world.client().await;
    let person = Recipient::new(client.main_key());
    let asked = coffee(1_999, "EUR");
    let before = env.now();
    service.payments().request_single(person, asked, Call::default()).await.expect("asked");
    let request = payment(next(&client).await.body);
    let latest: Timestamp = env.now().saturating_add(Duration::from_secs(60));
    let invoice = Bolt11::parse(&request.invoice).expect("a real invoice");
    assert!(request.expires_at >= before && request.expires_at <= latest);
    assert!(invoice.expires_at >= before && invoice.expires_at <= latest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_of_whole_satoshi_is_asked_for_the_next_one() {
    let (world, env) = (World::new().await, Env::system());
    let wallet = Arc::new(WholeSats(world.merchant_wallet.clone()));
    let service = world
        .service_with(|builder| builder.rates(desk(&env, &source("65000.5"))).wallet(wallet))
        .await;
    let client = world.client_with(|builder| builder.rates(desk(&env, &source("65000.5")))).await;
    for (price, currency, msat) in [(1_999, "EUR", 30_754_000), (1_500, "Millisats", 2_000)] {
        let person = Recipient::new(client.main_key());
        let asked = coffee(price, currency);
        service.payments().request_single(person, asked, Call::default()).await.expect("asked");
        let request = next(&client).await;
        client.requests().handled(request.id).await.expect("saved");
        let request = payment(request.body);
        assert_eq!(amount(&request), msat, "{currency}");
        client.prices().check(&request, 0).await.expect("rounding is no fraud");
    }
}

/// A wallet that knows nothing smaller than a satoshi, and refuses what is.
struct WholeSats(Arc<SimulatedWallet>);

#[async_trait]
impl LightningWallet for WholeSats {
    fn whole_sats(&self) -> bool {
        true
    }

    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.0.info().await
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.0.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        if !request.amount.as_u64().is_multiple_of(1000) {
            return Err(WalletError::BadRequest { what: "whole satoshi only".to_owned() });
        }
        self.0.make_invoice(request).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        self.0.lookup(hash).await
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.0.pay(request).await
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.0.list(query).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.0.events()
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_no_bitcoin_could_pay_are_refused_before_anybody_is_asked() {
    let world = World::new().await;
    let service = world.service().await;
    let person = Recipient::new(world.client_key.public_key());
    let before = service.node().open_conversations().await;
    for amount in [2_100_000_000_000_000_001, u64::MAX] {
        let new = portal_core::service::NewSinglePayment { amount, ..crate::harness::coffee() };
        let refused = service.payments().request_single(person.clone(), new, Call::default()).await;
        assert_eq!(refused.expect_err("too much").code(), ErrorCode::InvalidAmount);
        let new = portal_core::service::NewInvoiceRequest {
            amount,
            currency: Currency::Millisats,
            expires_at: service.now().saturating_add(Duration::from_secs(60)),
            description: None,
            refund_invoice: None,
            request_id: None,
        };
        let refused = service.invoices().request(person.clone(), new, Call::default()).await;
        assert_eq!(refused.expect_err("too much").code(), ErrorCode::InvalidAmount);
    }
    assert_eq!(service.node().open_conversations().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_in_millisatoshi_is_compared_without_any_rate() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let asked = crate::harness::coffee();
    service.payments().request_single(person, asked, Call::default()).await.expect("asked");
    let request = payment(next(&client).await.body);
    let checked = client.prices().check(&request, 0).await;
    assert_eq!(checked.expect("it fits"), Millisats::new(2_000));
    let less = SinglePaymentRequest { amount: 900, ..request };
    let refused = client.prices().check(&less, 0).await.expect_err("the invoice asks for more");
    assert_eq!(refused.code(), ErrorCode::InvalidInvoice);
}
