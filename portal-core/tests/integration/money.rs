//! The wallet's word, whatever else happens.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use portal_core::env::{Env, mock};
use portal_core::event::{PaymentUpdate, PortalEvent};
use portal_core::primitives::ErrorCode;
use portal_core::protocol::payment::PaymentStatus;
use portal_core::service::{Call, Recipient};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{Call as WalletCall, Fault, SimulatedWallet, Trouble};
use portal_core::wallet::{
    Balance, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
};

use crate::harness::{World, coffee, heard, invoice_of, log, next, soon, update};

/// Two environments on one clock that the test moves.
fn clock() -> (Env, Env, Arc<mock::MockClock>) {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let other = Env::new(clock.clone(), Arc::new(mock::SeededRng::new(2)));
    (env, other, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_after_the_timeout_is_late() {
    let (ours, theirs, clock) = clock();
    let world = World::with_env(ours.clone()).await;
    world.network.accept_late(Duration::from_secs(3600));
    let service = world.service_with(|builder| builder.env(ours)).await;
    let client = world.client_with(|builder| builder.env(theirs)).await;
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let invoice = invoice_of(&next(&client).await);
    clock.advance(Duration::from_secs(301));
    assert_eq!(update(ear.body().await), PaymentUpdate::Timeout);
    world.pay(&invoice).await;
    assert!(matches!(update(ear.body().await), PaymentUpdate::Paid { late: true, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_answers_ends_at_its_deadline_without_traffic() {
    let (ours, _, clock) = clock();
    let world = World::new().await;
    let service = world.service_with(|builder| builder.env(ours)).await;
    world.relay.stop().await;
    let (mut ear, call) = heard();
    let person = Recipient::new(world.client_key.public_key());
    let opened = service.logins().authenticate(person, call).await.expect("durable");
    clock.advance(Duration::from_secs(300));
    assert!(matches!(ear.body().await, PortalEvent::Error { code: ErrorCode::Timeout, .. }));
    assert_eq!(log(&service, opened.stream).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_came_while_the_service_was_down_is_told_after_the_restart() {
    let mut world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let opened = service.payments().request_single(person, coffee(), Call::default()).await;
    let opened = opened.expect("asked");
    let invoice = invoice_of(&next(&client).await);
    drop(service);
    world.service_store.kill();
    world.pay(&invoice).await;
    world.service_store = Arc::new(world.service_store.reopen());
    let service = world.service().await;
    let paid = soon("paid", service.streams().wait(opened.stream)).await.expect("paid");
    assert!(matches!(update(paid), PaymentUpdate::Paid { late: false, .. }));
    assert_eq!(log(&service, opened.stream).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_the_phone_never_mentions_is_paid() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let invoice = invoice_of(&next(&client).await);
    assert!(client.shutdown().await);
    world.pay(&invoice).await;
    assert!(matches!(update(ear.body().await), PaymentUpdate::Paid { late: false, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_was_away_is_asked_again() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    world.merchant_wallet.order(Fault::LostNotification);
    for trouble in [Trouble::Unreachable, Trouble::Timeout] {
        world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Lookup), trouble));
    }
    world.pay(&invoice_of(&request)).await;
    let claim = PaymentStatus::Success { preimage: None };
    client.replies().payment(&request, claim).await.expect("open");
    assert!(matches!(update(ear.body().await), PaymentUpdate::UserSuccess { .. }));
    assert!(matches!(update(ear.body().await), PaymentUpdate::Paid { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preimage_that_does_not_fit_is_not_told() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    world.merchant_wallet.order(Fault::LostNotification);
    world.merchant_wallet.order(Fault::LiarPreimage);
    world.pay(&invoice_of(&request)).await;
    let claim = PaymentStatus::Success { preimage: None };
    client.replies().payment(&request, claim).await.expect("open");
    assert!(matches!(update(ear.body().await), PaymentUpdate::UserSuccess { .. }));
    assert_eq!(update(ear.body().await), PaymentUpdate::Paid { preimage: None, late: false });
}

/// A wallet that tells nothing by itself and cannot look up some payments.
struct Moody {
    inner: Arc<SimulatedWallet>,
    cannot: Mutex<HashSet<PaymentHash>>,
}

#[async_trait]
impl LightningWallet for Moody {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.inner.info().await.map(|info| WalletInfo { notifies: false, ..info })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.inner.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.inner.make_invoice(request).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        if self.cannot.lock().expect("not poisoned").contains(&hash) {
            let (code, message) = ("INTERNAL".to_owned(), "broken".to_owned());
            return Err(WalletError::Refused { code, message });
        }
        self.inner.lookup(hash).await
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.inner.pay(request).await
    }

    async fn list(&self, _query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        Err(WalletError::Unsupported { what: "list_transactions" })
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        futures_util::stream::pending().boxed()
    }

    async fn shutdown(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_the_wallet_errs_about_do_not_hide_the_others() {
    for count in [2, 12] {
        let world = World::new().await;
        let inner = world.merchant_wallet.clone();
        let moody = Arc::new(Moody { inner, cannot: Mutex::default() });
        let wallet: Arc<dyn LightningWallet> = moody.clone();
        let service = world.service_with(|builder| builder.wallet(wallet)).await;
        let client = world.client().await;
        let person = Recipient::new(client.main_key());
        let mut ears = Vec::new();
        let mut invoices = Vec::new();
        for _ in 0..count {
            let (ear, call) = heard();
            service.payments().request_single(person.clone(), coffee(), call).await.expect("asked");
            let request = next(&client).await;
            client.requests().handled(request.id).await.expect("saved");
            invoices.push(invoice_of(&request));
            ears.push(ear);
        }
        let broken =
            invoices[1..].iter().map(|text| Bolt11::parse(text).expect("real").payment_hash);
        *moody.cannot.lock().expect("not poisoned") = broken.collect();
        world.pay(&invoices[0]).await;
        assert!(matches!(update(ears[0].body().await), PaymentUpdate::Paid { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_keep_their_order_and_survive_when_the_disk_fails_in_between() {
    let mut world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    let opened = service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    world.service_store.hold();
    client.replies().payment(&request, PaymentStatus::Approved).await.expect("open");
    let store = world.service_store.clone();
    crate::harness::until("the first status is being saved", || store.held() == 1).await;
    let claim = PaymentStatus::Success { preimage: None };
    client.replies().payment(&request, claim).await.expect("open");
    crate::harness::until("the second too", || store.held() == 2).await;
    world.service_store.fail_next(1);
    world.service_store.release();
    assert_eq!(update(ear.body().await), PaymentUpdate::UserApproved);
    assert!(matches!(update(ear.body().await), PaymentUpdate::UserSuccess { .. }));
    // The late batch has not undone the newer one.
    drop(service);
    world.service_store.kill();
    world.service_store = Arc::new(world.service_store.reopen());
    let service = world.service().await;
    world.pay(&invoice_of(&request)).await;
    let paid = soon("paid", service.streams().wait(opened.stream)).await.expect("paid");
    assert!(matches!(update(paid), PaymentUpdate::Paid { late: false, .. }));
    assert_eq!(log(&service, opened.stream).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_shut_down_first_does_not_stop_the_service() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    client.requests().handled(request.id).await.expect("saved");
    // Its events end; whoever watches goes on with everything else that it is told.
    world.merchant_wallet.shutdown().await;
    let claim = PaymentStatus::Success { preimage: None };
    client.replies().payment(&request, claim).await.expect("open");
    assert!(matches!(update(ear.body().await), PaymentUpdate::UserSuccess { .. }));
    for _ in 0..3 {
        crate::harness::login(&service, &client).await;
    }
    assert!(service.node().is_alive().await);
    assert!(service.shutdown().await, "nothing has died");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_wallet_is_away_its_last_balance_is_told_as_an_old_one() {
    let (env, _, clock) = clock();
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| builder.env(env)).await;
    let payments = service.payments();
    let away = |call| {
        world.merchant_wallet.order(Fault::OnCall(Some(call), Trouble::Unreachable));
    };
    away(WalletCall::Info);
    let unknown = payments.wallet_info().await.expect_err("it never answered");
    assert_eq!(unknown.code(), ErrorCode::WalletUnavailable);
    let asked_at = service.now();
    let (info, known) = payments.wallet_info().await.expect("answers");
    assert_eq!((known.stale, known.balance.at), (false, asked_at));
    clock.advance(Duration::from_secs(60));
    for call in [WalletCall::Info, WalletCall::Balance] {
        away(call);
        let (again, old) = payments.wallet_info().await.expect("from before");
        assert_eq!(again, info, "{call:?}");
        assert!(old.stale, "{call:?}");
        assert_eq!(old.balance, known.balance, "with its own time");
    }
    let refused = Trouble::Refuse { code: "UNAUTHORIZED".to_owned(), message: "no".to_owned() };
    world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Info), refused));
    let refused = payments.wallet_info().await.expect_err("it answers, and says no");
    assert_eq!(refused.code(), ErrorCode::WalletRefused);
    let (_, fresh) = payments.wallet_info().await.expect("answers");
    assert!(!fresh.stale && fresh.balance.at > known.balance.at);
}
