//! Money that goes back, and the invoices that people give for it.

use std::sync::Arc;
use std::time::Duration;

use portal_core::client::{Client, IncomingRequest, RequestBody};
use portal_core::conversation::refund::RefundState;
use portal_core::env::{Env, mock};
use portal_core::event::{PaymentUpdate, PortalEvent};
use portal_core::payments::pay::reconcile;
use portal_core::primitives::{ErrorCode, Millisats, RequestId, StreamId, Timestamp};
use portal_core::protocol::Currency;
use portal_core::protocol::payment::SinglePaymentRequest;
use portal_core::service::{Call, Idempotency, NewInvoiceRequest, NewRefund, Recipient, Service};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{Call as WalletCall, Fault, Trouble};
use portal_core::wallet::{LightningWallet as _, NewInvoice};

use crate::harness::{World, coffee, heard, invoice_of, next, soon, update};

/// A coffee that was paid: its stream.
async fn paid(world: &World, service: &Service, client: &Client) -> StreamId {
    let person = Recipient::new(client.main_key());
    let opened = service.payments().request_single(person, coffee(), Call::default()).await;
    let opened = opened.expect("asked");
    let request = next(client).await;
    client.requests().handled(request.id).await.expect("saved");
    world.pay(&invoice_of(&request)).await;
    let paid = soon("paid", service.streams().wait(opened.stream)).await.expect("paid");
    assert!(matches!(update(paid), PaymentUpdate::Paid { .. }));
    opened.stream
}

fn all(payment: StreamId) -> NewRefund {
    NewRefund { payment, amount: None, description: None, expires_at: None }
}

fn some(payment: StreamId, msat: u64) -> NewRefund {
    NewRefund { amount: Some(Millisats::new(msat)), ..all(payment) }
}

async fn client_with_wallet(world: &World) -> Client {
    let wallet = world.person_wallet.clone();
    world.client_with(|builder| builder.wallet(wallet)).await
}

/// The person gives what they are asked for.
async fn give(client: &Client) -> IncomingRequest {
    let request = next(client).await;
    client.invoices().give(&request).await.expect("made");
    client.requests().handled(request.id).await.expect("saved");
    request
}

async fn balances(world: &World) -> (u64, u64) {
    let of = |name| world.network.balance(name).expect("known").as_u64();
    (of("merchant"), of("person"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_goes_back_once_and_never_more() {
    let world = World::new().await;
    let (service, client) = (world.service().await, client_with_wallet(&world).await);
    let before = balances(&world).await;
    let payment = paid(&world, &service, &client).await;
    let code = async |new| {
        let refused = service.payments().refund(new, Call::default()).await;
        refused.expect_err("refused").code()
    };
    assert_eq!(code(some(payment, 2_001)).await, ErrorCode::NotRefundable, "more than was paid");
    assert_eq!(code(some(payment, 0)).await, ErrorCode::InvalidAmount);
    let unknown = StreamId::from_uuid(uuid::Uuid::nil());
    assert_eq!(code(all(unknown)).await, ErrorCode::NotRefundable);

    let (mut ear, call) = heard();
    let part = service.payments().refund(some(payment, 1_200), call).await.expect("asked");
    assert_eq!(
        code(some(payment, 801)).await,
        ErrorCode::NotRefundable,
        "counted before it is paid"
    );
    let request = give(&client).await;
    let RequestBody::Invoice(asked) = &request.body else { panic!("an invoice: {request:?}") };
    assert_eq!(asked.amount, 1_200);
    assert!(asked.refund_invoice.is_some(), "the person sees what it is for");
    match ear.body().await {
        PortalEvent::Refunded { payment: of, amount_msat, preimage, .. } => {
            assert_eq!((of, amount_msat), (payment, Millisats::new(1_200)));
            assert_eq!(preimage.len(), 64);
        }
        other => panic!("refunded, not {other:?}"),
    }
    let rest = service.payments().refund(all(payment), Call::default()).await.expect("the rest");
    give(&client).await;
    let end = soon("the rest", service.streams().wait(rest.stream)).await.expect("refunded");
    assert!(
        matches!(end, PortalEvent::Refunded { amount_msat, .. } if amount_msat == Millisats::new(800))
    );
    assert_eq!(code(all(payment)).await, ErrorCode::NotRefundable, "nothing is left");
    assert_eq!(balances(&world).await, before);
    let refunds = service.payments().refunds(payment).await.expect("reads");
    let states: Vec<_> = refunds.iter().map(|refund| (refund.stream, refund.state)).collect();
    assert_eq!(states, [(part.stream, RefundState::Paid), (rest.stream, RefundState::Paid)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_refunds_at_once_are_one() {
    let world = World::new().await;
    let (service, client) = (world.service().await, client_with_wallet(&world).await);
    let payment = paid(&world, &service, &client).await;
    let keyed = || {
        let idempotency = Idempotency { key: "refund".to_owned(), command_hash: [1; 32] };
        Call { idempotency: Some(idempotency), attach: None }
    };
    let mut streams = std::collections::HashSet::new();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (service, call) = (service.clone(), keyed());
            tokio::spawn(async move { service.payments().refund(all(payment), call).await })
        })
        .collect();
    for call in calls {
        streams.insert(soon("a call", call).await.expect("no panic").expect("opened").stream);
    }
    assert_eq!(streams.len(), 1);
    // Without a key the second one finds nothing left.
    let second = service.payments().refund(all(payment), Call::default()).await;
    assert_eq!(second.expect_err("one is under way").code(), ErrorCode::NotRefundable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_being_paid_survives_the_process() {
    let mut world = World::new().await;
    let (service, client) = (world.service().await, client_with_wallet(&world).await);
    let before = balances(&world).await;
    let payment = paid(&world, &service, &client).await;
    let opened = service.payments().refund(all(payment), Call::default()).await.expect("asked");
    // The answer to the payment is lost, and the process dies before it can ask again.
    world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Pay), Trouble::LostAnswer));
    for _ in 0..3 {
        world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Lookup), Trouble::Unreachable));
    }
    give(&client).await;
    let (network, settled) = (world.network.clone(), 2);
    crate::harness::until("it is paid", || network.settled().len() == settled).await;
    drop(service);
    world.service_store.kill();
    world.service_store = Arc::new(world.service_store.reopen());
    let service = world.service().await;
    let end = soon("refunded", service.streams().wait(opened.stream)).await.expect("refunded");
    assert!(matches!(end, PortalEvent::Refunded { .. }), "{end:?}");
    assert_eq!(world.network.settled().len(), settled, "once");
    assert_eq!(balances(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_paid_ends_and_may_be_tried_again() {
    let world = World::new().await;
    let (service, client) = (world.service().await, client_with_wallet(&world).await);
    let payment = paid(&world, &service, &client).await;
    let empty =
        Trouble::Refuse { code: "INSUFFICIENT_BALANCE".to_owned(), message: "no".to_owned() };
    world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Pay), empty));
    let opened = service.payments().refund(all(payment), Call::default()).await.expect("asked");
    give(&client).await;
    let end = soon("the end", service.streams().wait(opened.stream)).await.expect_err("not paid");
    assert_eq!(end.code(), ErrorCode::InsufficientFunds);
    let again = service.payments().refund(all(payment), Call::default()).await.expect("asked");
    give(&client).await;
    let end = soon("refunded", service.streams().wait(again.stream)).await.expect("refunded");
    assert!(matches!(end, PortalEvent::Refunded { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_was_paid_before_gives_nothing_back() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let theirs = Env::new(clock.clone(), Arc::new(mock::SeededRng::new(2)));
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| builder.env(env)).await;
    let wallet = world.person_wallet.clone();
    let client = world.client_with(|builder| builder.env(theirs).wallet(wallet)).await;
    let payment = paid(&world, &service, &client).await;
    let expiry = Duration::from_secs(600);
    let order = NewInvoice { amount: Millisats::new(2_000), description: None, expiry };
    let old = world.person_wallet.make_invoice(order).await.expect("made").bolt11;
    service.payments().pay_invoice(&old).await.expect("paid for something else");
    clock.advance(Duration::from_secs(5));
    let opened = service.payments().refund(all(payment), Call::default()).await.expect("asked");
    let request = next(&client).await;
    client.replies().invoice(&request, old, None).await.expect("replied");
    let end = soon("the end", service.streams().wait(opened.stream)).await.expect_err("not paid");
    assert_eq!(end.code(), ErrorCode::InvalidInvoice);
    let refunds = service.payments().refunds(payment).await.expect("reads");
    assert_eq!(refunds[0].state, RefundState::Void);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_known_as_ours_though_the_clock_went_back_and_the_process_died() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let theirs = Env::new(clock.clone(), Arc::new(mock::SeededRng::new(2)));
    let mut world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| builder.env(env.clone())).await;
    let wallet = world.person_wallet.clone();
    let client = world.client_with(|builder| builder.env(theirs).wallet(wallet)).await;
    let payment = paid(&world, &service, &client).await;
    let begun = env.now();
    clock.advance(Duration::from_secs(60));
    let opened = service.payments().refund(all(payment), Call::default()).await.expect("asked");
    let request = next(&client).await;
    clock.set(begun);
    // The answer to the payment is lost, and the process dies before it can ask again.
    world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Pay), Trouble::LostAnswer));
    for _ in 0..3 {
        world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Lookup), Trouble::Unreachable));
    }
    client.invoices().give(&request).await.expect("made");
    let network = world.network.clone();
    crate::harness::until("it is paid", || network.settled().len() == 2).await;
    drop(service);
    world.service_store.kill();
    world.service_store = Arc::new(world.service_store.reopen());
    // The journal knows how it ended before the refund does, and from an earlier time than the
    // request is of.
    let left = async || {
        reconcile(&env, &*world.service_store, &*world.merchant_wallet).await.expect("reads")
    };
    while left().await > 0 {}
    let service = world.service_with(|builder| builder.env(env.clone())).await;
    let end = soon("refunded", service.streams().wait(opened.stream)).await.expect("refunded");
    assert!(matches!(end, PortalEvent::Refunded { .. }), "{end:?}");
    let again = service.payments().refund(all(payment), Call::default()).await;
    assert_eq!(again.expect_err("all went back").code(), ErrorCode::NotRefundable);
    assert_eq!(world.network.settled().len(), 2, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_invoice_does_not_do_for_two_refunds() {
    let world = World::new().await;
    let (service, client) = (world.service().await, client_with_wallet(&world).await);
    let payment = paid(&world, &service, &client).await;
    let expiry = Duration::from_secs(600);
    let order = NewInvoice { amount: Millisats::new(1_000), description: None, expiry };
    let made = world.person_wallet.make_invoice(order).await.expect("made").bolt11;
    for refunded in [true, false] {
        let asked = service.payments().refund(some(payment, 1_000), Call::default()).await;
        let opened = asked.expect("asked");
        let request = next(&client).await;
        client.requests().handled(request.id).await.expect("saved");
        client.replies().invoice(&request, made.clone(), None).await.expect("replied");
        let end = soon("the end", service.streams().wait(opened.stream)).await;
        match end {
            Ok(PortalEvent::Refunded { .. }) if refunded => {}
            Err(error) if !refunded => assert_eq!(error.code(), ErrorCode::InvalidInvoice),
            other => panic!("refunded: {refunded}, not {other:?}"),
        }
    }
    assert_eq!(world.network.settled().len(), 2, "the coffee and one refund");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_made_once_for_each_request() {
    let mut world = World::new().await;
    let (service, client) = (world.service().await, client_with_wallet(&world).await);
    let new = NewInvoiceRequest {
        amount: 5_000,
        currency: Currency::Millisats,
        expires_at: service.now().saturating_add(Duration::from_secs(120)),
        description: Some("a prize".to_owned()),
        refund_invoice: None,
        request_id: None,
    };
    let person = Recipient::new(client.main_key());
    let (mut ear, call) = heard();
    service.invoices().request(person, new, call).await.expect("asked");
    let request = next(&client).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (client, request) = (client.clone(), request.clone());
            tokio::spawn(async move { client.invoices().give(&request).await })
        })
        .collect();
    let mut given = std::collections::HashSet::new();
    for call in calls {
        given.insert(soon("a call", call).await.expect("no panic").expect("given").bolt11);
    }
    assert_eq!(given.len(), 1);
    match ear.body().await {
        PortalEvent::InvoiceResponse { invoice, .. } => {
            assert!(given.contains(&invoice));
            let read = Bolt11::parse(&invoice).expect("an invoice");
            assert_eq!(read.amount, Some(Millisats::new(5_000)));
            assert_eq!(read.description.as_deref(), Some("a prize"));
        }
        other => panic!("an invoice, not {other:?}"),
    }
    assert!(ear.is_silent());
    assert!(client.shutdown().await);
    world.client_store = Arc::new(world.client_store.reopen());
    let client = client_with_wallet(&world).await;
    let again = client.invoices().give(&request).await.expect("given before");
    assert!(given.contains(&again.bolt11), "also after a restart");
    let bare = world.person_wallet.info().await.expect("answers");
    assert_eq!(bare.kind, "simulated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_went_back_takes_no_refund_for_one_that_was_paid_before() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let theirs = Env::new(clock.clone(), Arc::new(mock::SeededRng::new(2)));
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| builder.env(env)).await;
    let wallet = world.person_wallet.clone();
    let client = world.client_with(|builder| builder.env(theirs).wallet(wallet)).await;
    let payment = paid(&world, &service, &client).await;
    let before = service.now();
    let opened = service.payments().refund(all(payment), Call::default()).await.expect("asked");
    let request = next(&client).await;
    // The row of the payment is older than the request for it, and its outcome is asked for twice.
    clock.set(Timestamp::from_secs(before.as_secs() - 30));
    world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Pay), Trouble::LostAnswer));
    world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::Lookup), Trouble::Unreachable));
    client.invoices().give(&request).await.expect("made");
    let end = soon("refunded", service.streams().wait(opened.stream)).await.expect("refunded");
    assert!(matches!(end, PortalEvent::Refunded { .. }), "{end:?}");
    assert_eq!(world.network.settled().len(), 2, "the payment, and its refund");
    let refunds = service.payments().refunds(payment).await.expect("reads");
    assert_eq!(refunds[0].state, RefundState::Paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_ended_two_requests_goes_back_by_way_of_one() {
    let world = World::new().await;
    let (service, client) = (world.service().await, client_with_wallet(&world).await);
    let expiry = Duration::from_secs(600);
    let order = NewInvoice { amount: Millisats::new(2_000), description: None, expiry };
    let invoice = world.merchant_wallet.make_invoice(order).await.expect("made").bolt11;
    let mut streams = Vec::new();
    for name in ["first", "second"] {
        let asked = SinglePaymentRequest {
            amount: 2_000,
            currency: Currency::Millisats,
            current_exchange_rate: None,
            invoice: invoice.clone(),
            auth_token: None,
            expires_at: service.now().saturating_add(Duration::from_secs(300)),
            subscription_id: None,
            description: None,
            request_id: RequestId::new(name),
        };
        let person = Recipient::new(client.main_key());
        let opened = service.payments().request_raw(person, asked, Call::default()).await;
        streams.push(opened.expect("asked").stream);
        let request = next(&client).await;
        client.requests().handled(request.id).await.expect("saved");
    }
    world.pay(&invoice).await;
    for stream in &streams {
        let end = soon("paid", service.streams().wait(*stream)).await.expect("paid");
        assert!(matches!(update(end), PaymentUpdate::Paid { .. }));
    }
    let opened = service.payments().refund(some(streams[0], 1_200), Call::default()).await;
    let opened = opened.expect("the first way");
    let other = async |stream| {
        let refused = service.payments().refund(some(stream, 800), Call::default()).await;
        refused.expect_err("the other way").code()
    };
    assert_eq!(other(streams[1]).await, ErrorCode::NotRefundable);
    give(&client).await;
    soon("refunded", service.streams().wait(opened.stream)).await.expect("refunded");
    assert_eq!(other(streams[1]).await, ErrorCode::NotRefundable, "nor when it has ended");
    let rest = service.payments().refund(all(streams[0]), Call::default()).await.expect("the rest");
    give(&client).await;
    let end = soon("refunded", service.streams().wait(rest.stream)).await.expect("refunded");
    assert!(matches!(end, PortalEvent::Refunded { amount_msat, .. }
        if amount_msat == Millisats::new(800)));
}
