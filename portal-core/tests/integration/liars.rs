//! Wallets that answer with something else than they were asked for, and money that comes late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use portal_core::env::{Env, mock};
use portal_core::event::PaymentUpdate;
use portal_core::primitives::{ErrorCode, Millisats, RequestId};
use portal_core::protocol::Currency;
use portal_core::protocol::payment::{PaymentStatus, SinglePaymentRequest};
use portal_core::service::{Call, Recipient};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{Fault, SimulatedWallet};
use portal_core::wallet::{
    Balance, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
};

use crate::harness::{World, coffee, heard, invoice_of, next, until, update};

/// A wallet whose answers can be replaced, and that tells nothing by itself.
struct Liar {
    inner: Arc<SimulatedWallet>,
    invoice: Mutex<Option<Invoice>>,
    status: Mutex<Option<WalletPayment>>,
    looked: std::sync::atomic::AtomicUsize,
}

impl Liar {
    fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            inner: world.merchant_wallet.clone(),
            invoice: Mutex::default(),
            status: Mutex::default(),
            looked: std::sync::atomic::AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl LightningWallet for Liar {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.inner.info().await
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.inner.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        let lie = self.invoice.lock().expect("not poisoned").take();
        match lie {
            Some(lie) => Ok(lie),
            None => self.inner.make_invoice(request).await,
        }
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        self.looked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let lie = self.status.lock().expect("not poisoned").clone();
        match lie {
            Some(lie) => Ok(Some(lie)),
            None => self.inner.lookup(hash).await,
        }
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.inner.pay(request).await
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.inner.list(query).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        futures_util::stream::pending().boxed()
    }

    async fn shutdown(&self) {}
}

async fn made(world: &World, msat: u64) -> Invoice {
    let expiry = Duration::from_secs(300);
    let order = NewInvoice { amount: Millisats::new(msat), description: None, expiry };
    world.merchant_wallet.make_invoice(order).await.expect("made")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_was_not_ordered_is_not_sent_to_anyone() {
    let world = World::new().await;
    let wallet = Liar::new(&world);
    let shared: Arc<dyn LightningWallet> = wallet.clone();
    let service = world.service_with(|builder| builder.wallet(shared)).await;
    let person = Recipient::new(world.client_key.public_key());
    let right = made(&world, 2_000).await;
    let open = world.merchant_wallet.make_amountless_invoice(None, Duration::from_secs(300));
    let lies = [
        made(&world, 1_999).await,
        made(&world, 20_000).await,
        open.expect("made"),
        Invoice { bolt11: "lnbc1".to_owned(), ..right.clone() },
        Invoice { payment_hash: PaymentHash([7; 32]), ..right },
    ];
    let before = service.node().open_conversations().await;
    for lie in lies {
        *wallet.invoice.lock().expect("not poisoned") = Some(lie);
        let asked =
            service.payments().request_single(person.clone(), coffee(), Call::default()).await;
        assert_eq!(asked.expect_err("another request's answer").code(), ErrorCode::WalletRefused);
    }
    assert_eq!(service.node().open_conversations().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_money_of_another_payment_is_not_ours() {
    let world = World::new().await;
    let wallet = Liar::new(&world);
    let shared: Arc<dyn LightningWallet> = wallet.clone();
    let service = world.service_with(|builder| builder.wallet(shared)).await;
    let client = world.client().await;
    let other = made(&world, 2_000).await;
    world.pay(&other.bolt11).await;
    let settled = world.merchant_wallet.lookup(other.payment_hash).await.expect("answers");
    *wallet.status.lock().expect("not poisoned") = settled;
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    let claim = PaymentStatus::Success { preimage: None };
    client.replies().payment(&request, claim).await.expect("open");
    assert!(matches!(update(ear.body().await), PaymentUpdate::UserSuccess { .. }));
    let looked = wallet.clone();
    until("it was looked up", || looked.looked.load(std::sync::atomic::Ordering::SeqCst) > 2).await;
    assert!(ear.is_silent(), "the wallet spoke of something else");
    *wallet.status.lock().expect("not poisoned") = None;
    world.pay(&invoice_of(&request)).await;
    assert!(matches!(update(ear.body().await), PaymentUpdate::Paid { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_was_held_on_its_way_is_found_long_after_the_invoice_has_ended() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let theirs = Env::new(clock.clone(), Arc::new(mock::SeededRng::new(2)));
    let world = World::with_env(env.clone()).await;
    let wallet: Arc<dyn LightningWallet> = Liar::new(&world);
    let service = world.service_with(|builder| builder.env(env).wallet(wallet)).await;
    let client = world.client_with(|builder| builder.env(theirs)).await;
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let text = invoice_of(&next(&client).await);
    let payment_hash = Bolt11::parse(&text).expect("real").payment_hash;
    world.person_wallet.order(Fault::PayLater);
    let timeout = Duration::from_secs(5);
    let held = PayInvoice { bolt11: text, payment_hash, amount: None, max_fee: None, timeout };
    let outcome = world.person_wallet.pay(held).await.expect("left");
    assert_eq!(outcome, PayOutcome::Pending);
    clock.advance(Duration::from_secs(301));
    assert_eq!(update(ear.body().await), PaymentUpdate::Timeout);
    // Neither told by the wallet nor claimed by the phone: found by looking.
    clock.advance(Duration::from_secs(50 * 60));
    world.network.settle(payment_hash).expect("under way");
    assert!(matches!(update(ear.body().await), PaymentUpdate::Paid { late: true, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brought_invoice_that_cannot_be_paid_as_asked_is_not_sent_to_anyone() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| builder.env(env)).await;
    let short = Duration::from_secs(60);
    let order = NewInvoice { amount: Millisats::new(2_000), description: None, expiry: short };
    let over = world.merchant_wallet.make_invoice(order).await.expect("made");
    clock.advance(short);
    let open = world.merchant_wallet.make_amountless_invoice(None, Duration::from_secs(300));
    let cases = [
        ("it leaves the amount to whoever pays", open.expect("made").bolt11),
        ("more than is asked for", made(&world, 3_000).await.bolt11),
        ("less than is asked for", made(&world, 1_000).await.bolt11),
        ("it is over", over.bolt11),
        ("it is none", "lnbc1".to_owned()),
    ];
    let before = service.node().open_conversations().await;
    for (what, invoice) in cases {
        for currency in [Currency::Millisats, Currency::Fiat("EUR".into())] {
            if currency != Currency::Millisats && what.ends_with("asked for") {
                // What euros are worth is for the person's app to judge.
                continue;
            }
            let asked = SinglePaymentRequest {
                amount: 2_000,
                currency,
                current_exchange_rate: None,
                invoice: invoice.clone(),
                auth_token: None,
                expires_at: service.now().saturating_add(Duration::from_secs(120)),
                subscription_id: None,
                description: None,
                request_id: RequestId::new("brought"),
            };
            let person = Recipient::new(world.client_key.public_key());
            let sent = service.payments().request_raw(person, asked, Call::default()).await;
            assert_eq!(sent.expect_err(what).code(), ErrorCode::InvalidInvoice, "{what}");
        }
    }
    assert_eq!(service.node().open_conversations().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_is_over_already_is_not_sent_to_anyone() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let world = World::with_env(env.clone()).await;
    let wallet = Liar::new(&world);
    let shared: Arc<dyn LightningWallet> = wallet.clone();
    let service = world.service_with(|builder| builder.env(env).wallet(shared)).await;
    let person = Recipient::new(world.client_key.public_key());
    let old = made(&world, 2_000).await;
    clock.advance(Duration::from_secs(300));
    *wallet.invoice.lock().expect("not poisoned") = Some(old);
    let before = service.node().open_conversations().await;
    let asked = service.payments().request_single(person, coffee(), Call::default()).await;
    assert_eq!(asked.expect_err("nobody could pay it").code(), ErrorCode::WalletRefused);
    assert_eq!(service.node().open_conversations().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_with_an_invoice_that_is_shorter_than_was_asked_for() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let theirs = Env::new(clock.clone(), Arc::new(mock::SeededRng::new(2)));
    let world = World::with_env(env.clone()).await;
    let wallet = Liar::new(&world);
    let shared: Arc<dyn LightningWallet> = wallet.clone();
    let service = world.service_with(|builder| builder.env(env).wallet(shared)).await;
    let client = world.client_with(|builder| builder.env(theirs)).await;
    let short = Duration::from_secs(60);
    let order = NewInvoice { amount: Millisats::new(2_000), description: None, expiry: short };
    let made = world.merchant_wallet.make_invoice(order).await.expect("made");
    *wallet.invoice.lock().expect("not poisoned") = Some(made.clone());
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    assert_eq!(request.expires_at, made.expires_at);
    clock.advance(short);
    assert_eq!(update(ear.body().await), PaymentUpdate::Timeout);
}
