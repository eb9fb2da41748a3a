//! Subscriptions that are charged by the schedule, between a service and a person.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use portal_core::client::{Allowance, Client, ClientBuilder, RequestBody};
use portal_core::conversation::Conversation;
use portal_core::env::mock;
use portal_core::event::{PortalEvent, SubscriptionEnd, SubscriptionUpdate};
use portal_core::identity::LocalKey;
use portal_core::payments::pay::reconcile;
use portal_core::primitives::{Millisats, StreamId, Timestamp};
use portal_core::protocol::Currency;
use portal_core::protocol::subscription::{Recurrence, RecurringStatus};
use portal_core::service::{
    Call, ChargeOptions, NewRecurringPayment, Recipient, SchedulePlan, Service, ServiceBuilder,
};
use portal_core::storage::memory::MemoryStore;
use portal_core::storage::schedule::{AuthorizationStore as _, ScheduleFilter};
use portal_core::storage::{
    ConversationRecord, ConversationStore as _, OutgoingStore as _, Write, commit,
};
use portal_core::subscriptions::authorized::Authorization;
use portal_core::wallet::simulated::{Fault, SimulatedWallet};
use portal_core::wallet::{
    Balance, Direction, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, PaymentState, WalletError, WalletEvent, WalletInfo, WalletPayment,
};

use crate::harness::{World, invoice_of, log, next, soon, until};

/// 2025-01-01 00:00:00 UTC.
const START: u64 = 1_735_689_600;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Charges by a clock that tests move.
pub fn charging(builder: ServiceBuilder) -> ServiceBuilder {
    let options = ChargeOptions { settle: Duration::ZERO, ..ChargeOptions::default() };
    builder.charge_subscriptions(options)
}

/// Every day, 5,000 msat, from now on.
pub fn plan() -> NewRecurringPayment {
    NewRecurringPayment {
        amount: 5_000,
        currency: Currency::Millisats,
        recurrence: Recurrence {
            until: None,
            calendar: "daily".parse().expect("legal"),
            max_payments: None,
            first_payment_due: Timestamp::from_secs(START),
        },
        expires_at: Timestamp::from_secs(START + 600),
        description: Some("Daily".to_owned()),
        auth_token: None,
        request_id: None,
    }
}

/// The person agrees to the request that waits for them.
async fn agree(client: &Client) {
    let request = next(client).await;
    let RequestBody::Recurring(asked) = &request.body else { panic!("{request:?}") };
    let status = RecurringStatus::Confirmed {
        subscription_id: "sub-1".to_owned(),
        authorized_amount: asked.amount,
        authorized_currency: asked.currency.clone(),
        authorized_recurrence: asked.recurrence.clone(),
    };
    client.replies().recurring(&request, status).await.expect("open");
    client.requests().handled(request.id).await.expect("saved");
}

/// Waits until the log of a subscription has so many steps, and returns them.
pub async fn steps(service: &Service, stream: StreamId, count: usize) -> Vec<SubscriptionUpdate> {
    let wait = async {
        loop {
            let log = log(service, stream).await;
            if log.len() >= count {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let steps =
        soon("a step of the subscription", wait).await.into_iter().map(|event| match event {
            PortalEvent::SubscriptionUpdate { status } => status,
            other => panic!("a step of a subscription, not {other:?}"),
        });
    steps.collect()
}

/// The person's wallet pays the request that waits for them.
async fn pay_next(world: &World, client: &Client) {
    let request = next(client).await;
    let RequestBody::Payment(asked) = &request.body else { panic!("{request:?}") };
    assert_eq!(asked.subscription_id.as_deref(), Some("sub-1"));
    assert_eq!((asked.amount, asked.description.as_deref()), (5_000, Some("Daily")));
    world.pay(&invoice_of(&request)).await;
    client.requests().handled(request.id).await.expect("saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_period_is_charged_once_across_restarts_until_the_person_closes_it() {
    let (env, clock) = mock::env(Timestamp::from_secs(START), 1);
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| charging(builder.env(env.clone()))).await;
    let client = world.client_with(|builder| builder.env(env.clone())).await;
    let person = Recipient::new(client.main_key());
    let (_, stream) = service
        .subscriptions()
        .request_scheduled(person.clone(), plan(), SchedulePlan::default(), Call::default())
        .await
        .expect("asked");
    agree(&client).await;
    pay_next(&world, &client).await;
    let log = steps(&service, stream, 3).await;
    assert!(matches!(
        log.as_slice(),
        [
            SubscriptionUpdate::Scheduled { .. },
            SubscriptionUpdate::ChargeCreated { period: 0, attempt: 0, amount: 5_000, .. },
            SubscriptionUpdate::ChargePaid { period: 0, paid: 1, .. },
        ]
    ));
    // A day later it is asked for again; the process ends before it is paid.
    clock.advance(DAY);
    let request = next(&client).await;
    assert!(service.shutdown().await);
    let store = Arc::new(world.service_store.reopen());
    let again = store.clone();
    let service =
        world.service_with(|builder| charging(builder.env(env.clone()).store(again))).await;
    world.pay(&invoice_of(&request)).await;
    client.requests().handled(request.id).await.expect("saved");
    assert!(matches!(
        steps(&service, stream, 5).await.as_slice(),
        [
            ..,
            SubscriptionUpdate::ChargeCreated { period: 1, attempt: 0, .. },
            SubscriptionUpdate::ChargePaid { period: 1, paid: 2, .. }
        ]
    ));
    // A clock that goes back, and comes again, charges nothing again.
    clock.set(Timestamp::from_secs(START + 3600));
    service.subscriptions().pause(stream).await.expect("it runs");
    service.subscriptions().resume(stream).await.expect("it runs");
    clock.set(Timestamp::from_secs(START + DAY.as_secs() + 60));
    let charges = service.subscriptions().charges(stream, None, 10).await.expect("reads");
    assert_eq!(charges.len(), 2);
    assert!(charges.iter().all(|charge| charge.paid));
    client
        .subscriptions()
        .close(service.main_key(), "sub-1".to_owned(), Some("enough".to_owned()))
        .await
        .expect("sent");
    let log = steps(&service, stream, 9).await;
    let why = SubscriptionEnd::ByPerson;
    assert!(matches!(&log[7], SubscriptionUpdate::Cancelled { why: it, .. } if *it == why));
    assert_eq!(log[8], SubscriptionUpdate::Closed { why });
    assert_eq!(world.network.settled().len(), 2, "each day was paid once");
    let open = ScheduleFilter { open: true, ..ScheduleFilter::default() };
    assert_eq!(service.subscriptions().list(open, None, 10).await.expect("reads"), []);
    client.shutdown().await;
    service.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_merchant_pauses_changes_and_cancels_and_the_person_is_told() {
    let (env, clock) = mock::env(Timestamp::from_secs(START), 2);
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| charging(builder.env(env.clone()))).await;
    let client = world.client_with(|builder| builder.env(env.clone())).await;
    let person = Recipient::new(client.main_key());
    let trial = Timestamp::from_secs(START + 2 * DAY.as_secs());
    let trial = SchedulePlan { trial_until: Some(trial), ..SchedulePlan::default() };
    let subscriptions = service.subscriptions();
    let (_, stream) = subscriptions
        .request_scheduled(person, plan(), trial, Call::default())
        .await
        .expect("asked");
    assert_eq!(subscriptions.get(stream).await.expect("there").status, "proposed");
    agree(&client).await;
    let begun = steps(&service, stream, 1).await;
    assert!(matches!(&begun[0], SubscriptionUpdate::Scheduled { next_due: Some(due), .. }
        if due.as_secs() == START + 2 * DAY.as_secs()));
    subscriptions.pause(stream).await.expect("it runs");
    clock.advance(DAY * 5 + Duration::from_secs(60));
    let resumed = subscriptions.resume(stream).await.expect("it runs");
    assert_eq!((resumed.status, resumed.paid), ("active", 0));
    assert_eq!(resumed.next_due, Some(Timestamp::from_secs(START + 6 * DAY.as_secs())));
    subscriptions.change_amount(stream, 7_000, true).await.expect("it runs");
    let ended = subscriptions.cancel(stream, Some("sold out".to_owned())).await.expect("it runs");
    assert_eq!(ended.map(|it| it.status), Some("closed"));
    let told = next(&client).await;
    assert!(matches!(&told.body, RequestBody::SubscriptionClosed(close)
        if close.subscription_id == "sub-1" && close.by_service));
    assert!(subscriptions.pause(stream).await.is_err(), "it has ended");
    client.shutdown().await;
    service.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_charged_unless_it_is_turned_on() {
    let world = World::new().await;
    let service = world.service().await;
    let person = Recipient::new(world.client_key.main_key());
    let mut plan = plan();
    plan.expires_at = Timestamp::from_secs(service.now().as_secs() + 60);
    let error = service
        .subscriptions()
        .request_scheduled(person, plan, SchedulePlan::default(), Call::default())
        .await
        .expect_err("off");
    assert_eq!(error.code(), portal_core::primitives::ErrorCode::NotConfigured);
    service.shutdown().await;
}

/// A client that pays by itself.
fn paying(world: &World, builder: ClientBuilder) -> ClientBuilder {
    builder.pay_subscriptions(world.person_wallet.clone())
}

/// Waits until the person's wallet has paid so often.
async fn paid(world: &World, count: usize) {
    until("the charges are paid", || world.network.settled().len() >= count).await;
    assert_eq!(world.network.settled().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_person_authorised_is_paid_without_asking_and_everything_else_asks() {
    let (env, clock) = mock::env(Timestamp::from_secs(START), 3);
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| charging(builder.env(env.clone()))).await;
    let client = world.client_with(|builder| paying(&world, builder.env(env.clone()))).await;
    let person = Recipient::new(client.main_key());
    let subscriptions = service.subscriptions();
    let (_, stream) = subscriptions
        .request_scheduled(person.clone(), plan(), SchedulePlan::default(), Call::default())
        .await
        .expect("asked");
    let request = next(&client).await;
    let agreed = client.subscriptions().confirm(&request, Allowance::default()).await;
    let agreed = agreed.expect("open");
    let again = client.subscriptions().confirm(&request, Allowance::default()).await;
    assert_eq!(again.expect("open").subscription_id, agreed.subscription_id, "agreed once");
    client.requests().handled(request.id).await.expect("saved");
    paid(&world, 1).await;
    steps(&service, stream, 3).await;
    // The same after a restart of the person's app.
    assert!(client.shutdown().await);
    let store = Arc::new(world.client_store.reopen());
    let again = store.clone();
    let client =
        world.client_with(|builder| paying(&world, builder.env(env.clone()).store(again))).await;
    clock.advance(DAY);
    paid(&world, 2).await;
    steps(&service, stream, 5).await;
    assert_eq!(client.requests().all(), [], "the person saw nothing of it");
    // A second charge on the same day is more than was authorised.
    let early = portal_core::service::NewSinglePayment {
        amount: 5_000,
        subscription_id: Some(agreed.subscription_id.clone()),
        ..crate::harness::coffee()
    };
    service.payments().request_single(person.clone(), early, Call::default()).await.expect("asked");
    let asked = next(&client).await;
    assert!(matches!(&asked.body, RequestBody::Payment(_)));
    client.requests().handled(asked.id).await.expect("saved");
    // So is a higher amount.
    subscriptions.change_amount(stream, 6_000, false).await.expect("it runs");
    clock.advance(DAY);
    let asked = next(&client).await;
    assert!(matches!(&asked.body, RequestBody::Payment(payment) if payment.amount == 6_000));
    paid(&world, 2).await;
    client.requests().handled(asked.id).await.expect("saved");
    // Whoever else closes it closes nothing.
    let stranger_world = World { service_key: LocalKey::generate(&env), ..world };
    let stranger = stranger_world
        .service_with(|builder| builder.env(env.clone()).store(Arc::new(MemoryStore::new())))
        .await;
    stranger
        .subscriptions()
        .close(person, agreed.subscription_id.clone(), Call::default())
        .await
        .expect("sent");
    subscriptions.cancel(stream, None).await.expect("it runs");
    let told = next(&client).await;
    assert_eq!(told.service, service.main_key(), "the stranger's was ignored");
    assert!(matches!(&told.body, RequestBody::SubscriptionClosed(_)));
    let known = client.subscriptions().get(&agreed.subscription_id).await.expect("reads");
    assert!(known.expect("kept").closed.expect("over").by_service);
    stranger.shutdown().await;
    client.shutdown().await;
    service.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_booked_before_the_app_died_takes_no_other_period() {
    let (env, _) = mock::env(Timestamp::from_secs(START), 5);
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| charging(builder.env(env.clone()))).await;
    let client = world.client_with(|builder| paying(&world, builder.env(env.clone()))).await;
    let person = Recipient::new(client.main_key());
    service
        .subscriptions()
        .request_scheduled(person, plan(), SchedulePlan::default(), Call::default())
        .await
        .expect("asked");
    world.person_wallet.order(Fault::PayLater);
    let request = next(&client).await;
    let agreed = client.subscriptions().confirm(&request, Allowance::default()).await;
    let name = agreed.expect("open").subscription_id;
    client.requests().handled(request.id).await.expect("saved");
    let under_way = async {
        loop {
            if let Some(payment) = world.client_store.pending_outgoing().await.expect("reads").pop()
            {
                return payment.payment_hash;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let hash = soon("it is being paid", under_way).await;
    assert!(client.shutdown().await);
    // It died when the payment had settled and was in the books, and the answer was not sent.
    let store = std::sync::Arc::new(world.client_store.reopen());
    world.network.settle(PaymentHash(hash)).expect("under way");
    assert_eq!(reconcile(&env, &*store, &*world.person_wallet).await.expect("reads"), 0);
    let load = async || {
        let record = store.authorization(&name).await.expect("reads").expect("agreed");
        Authorization::read(&record).expect("ours")
    };
    let mut books = load().await;
    books.settle(&hash);
    commit(&*store, vec![Write::PutAuthorization(books.record())]).await.expect("saved");

    let again = store.clone();
    let client =
        world.client_with(|builder| paying(&world, builder.env(env.clone()).store(again))).await;
    let answered = async {
        let is_held = |record: &ConversationRecord| {
            let read = serde_json::from_slice(&record.state).expect("ours");
            matches!(read, Conversation::Answer(answer) if !answer.handled)
        };
        while store.conversations().await.expect("reads").iter().any(is_held) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("it is answered", answered).await;
    assert_eq!(load().await, books, "one payment takes one period");
    assert_eq!(client.requests().all(), [], "the person saw nothing of it");
    assert_eq!(world.network.settled().len(), 1);
    client.shutdown().await;
    service.shutdown().await;
}

/// A wallet that never says how a payment ended, and counts how often it is asked.
struct Undecided {
    inner: Arc<SimulatedWallet>,
    looks: AtomicUsize,
    sends: AtomicUsize,
}

#[async_trait]
impl LightningWallet for Undecided {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.inner.info().await
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.inner.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.inner.make_invoice(request).await
    }

    async fn lookup(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<Option<WalletPayment>, WalletError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(Some(WalletPayment {
            payment_hash,
            direction: Direction::Outgoing,
            state: PaymentState::Pending,
            amount: Millisats::new(5_000),
            fee: Millisats::new(0),
            created_at: Timestamp::from_secs(START),
        }))
    }

    async fn pay(&self, _request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.sends.fetch_add(1, Ordering::SeqCst);
        Ok(PayOutcome::Pending)
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.inner.list(query).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        futures_util::stream::pending().boxed()
    }

    async fn shutdown(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_whose_outcome_is_not_known_rests_before_it_is_looked_at_again() {
    let (env, _clock) = mock::env(Timestamp::from_secs(START), 4);
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| charging(builder.env(env.clone()))).await;
    let wallet = Arc::new(Undecided {
        inner: world.person_wallet.clone(),
        looks: AtomicUsize::new(0),
        sends: AtomicUsize::new(0),
    });
    let own: Arc<dyn LightningWallet> = wallet.clone();
    let client = world.client_with(|builder| builder.env(env.clone()).pay_subscriptions(own)).await;
    let person = Recipient::new(client.main_key());
    service
        .subscriptions()
        .request_scheduled(person, plan(), SchedulePlan::default(), Call::default())
        .await
        .expect("asked");
    let request = next(&client).await;
    client.subscriptions().confirm(&request, Allowance::default()).await.expect("open");
    client.requests().handled(request.id).await.expect("saved");
    until("it was handed over", || wallet.sends.load(Ordering::SeqCst) == 1).await;
    // Looking without a rest comes to far more than this in no time.
    let restless = async {
        while wallet.looks.load(Ordering::SeqCst) < 40 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let restless = tokio::time::timeout(Duration::from_millis(1500), restless).await;
    assert!(restless.is_err(), "the wallet was asked without end");
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 1, "handed over once");
    assert!(client.shutdown().await);
    service.shutdown().await;
}
