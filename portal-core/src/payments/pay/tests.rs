use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::stream::BoxStream;

use super::*;
use crate::env::mock::{self, MockClock};
use crate::payments::Payer;
use crate::storage::OutgoingStore as _;
use crate::storage::memory::MemoryStore;
use crate::wallet::simulated::{Call, Fault, FeeModel, SimulatedNetwork, SimulatedWallet, Trouble};
use crate::wallet::{
    Balance, FeeQuote, Invoice, ListPayments, NewInvoice, WalletEvent, WalletPayment,
};

/// A wallet that can be told to answer what it likes.
struct Odd {
    inner: Arc<SimulatedWallet>,
    caps_fees: bool,
    quotes: bool,
    network: Option<&'static str>,
    /// Said instead of paying.
    says: StdMutex<VecDeque<Result<PayOutcome, WalletError>>>,
    /// Said instead of looking.
    books: StdMutex<VecDeque<Result<Option<WalletPayment>, WalletError>>>,
    /// How often it was handed a payment.
    sends: AtomicUsize,
}

impl Odd {
    fn new(inner: Arc<SimulatedWallet>) -> Self {
        Self {
            inner,
            caps_fees: true,
            quotes: true,
            network: Some("regtest"),
            says: StdMutex::default(),
            books: StdMutex::default(),
            sends: AtomicUsize::new(0),
        }
    }

    fn say(&self, outcome: Result<PayOutcome, WalletError>) {
        self.says.lock().expect("not poisoned").push_back(outcome);
    }

    fn write(&self, entry: Result<Option<WalletPayment>, WalletError>) {
        self.books.lock().expect("not poisoned").push_back(entry);
    }
}

#[async_trait]
impl LightningWallet for Odd {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        tokio::task::yield_now().await;
        let info = self.inner.info().await?;
        let network = self.network.map(str::to_owned);
        Ok(WalletInfo { network, caps_fees: self.caps_fees, ..info })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.inner.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.inner.make_invoice(request).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        tokio::task::yield_now().await;
        let entry = self.books.lock().expect("not poisoned").pop_front();
        match entry {
            Some(entry) => entry,
            None => self.inner.lookup(hash).await,
        }
    }

    async fn quote(&self, request: &PayInvoice) -> Result<FeeQuote, WalletError> {
        tokio::task::yield_now().await;
        match self.quotes {
            true => self.inner.quote(request).await,
            false => Err(WalletError::Unsupported { what: "estimate_fee" }),
        }
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.sends.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let said = self.says.lock().expect("not poisoned").pop_front();
        let outcome = match said {
            Some(said) => said,
            // One that does not keep fees within a bound.
            None if !self.caps_fees => {
                self.inner.pay(PayInvoice { max_fee: None, ..request }).await
            }
            None => self.inner.pay(request).await,
        };
        tokio::task::yield_now().await;
        outcome
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.inner.list(query).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.inner.events()
    }

    async fn shutdown(&self) {}
}

struct World {
    env: Env,
    clock: Arc<MockClock>,
    store: Arc<MemoryStore>,
    network: SimulatedNetwork,
    payee: Arc<SimulatedWallet>,
    payer: Arc<SimulatedWallet>,
    invoice: String,
}

async fn world(balance: u64) -> World {
    let (env, clock) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
    let network = SimulatedNetwork::new(env.clone());
    let payer = network.wallet("payer", Millisats::new(balance)).expect("new");
    let payee = network.wallet("payee", Millisats::new(0)).expect("new");
    let invoice = invoice(&payee, 1000).await;
    World { env, clock, store: Arc::new(MemoryStore::new()), network, payee, payer, invoice }
}

async fn invoice(payee: &SimulatedWallet, msat: u64) -> String {
    let expiry = Duration::from_secs(300);
    let new = NewInvoice { amount: Millisats::new(msat), description: None, expiry };
    payee.make_invoice(new).await.expect("made").bolt11
}

fn hash_of(text: &str) -> [u8; 32] {
    Bolt11::parse(text).expect("an invoice").payment_hash.0
}

impl World {
    async fn pay(&self) -> Result<PaidInvoice, PayError> {
        pay(&self.env, &*self.store, &*self.payer, &self.invoice).await
    }

    fn odd(&self) -> Odd {
        Odd::new(self.payer.clone())
    }

    fn desk(&self, wallet: Odd, policy: PayPolicy) -> (Payer, Arc<Odd>) {
        let wallet = Arc::new(wallet);
        let payer = Payer::new(self.env.clone(), self.store.clone(), wallet.clone(), policy);
        (payer, wallet)
    }

    async fn status(&self) -> OutgoingStatus {
        self.status_of(&self.invoice).await.expect("journalled")
    }

    async fn status_of(&self, invoice: &str) -> Option<OutgoingStatus> {
        let record = self.store.outgoing(hash_of(invoice)).await.expect("reads");
        record.map(|record| record.status)
    }

    fn entry(&self, state: PaymentState) -> WalletPayment {
        WalletPayment {
            payment_hash: PaymentHash(hash_of(&self.invoice)),
            direction: Direction::Outgoing,
            state,
            amount: Millisats::new(1000),
            fee: Millisats::new(0),
            created_at: self.env.now(),
        }
    }
}

fn failed() -> PayOutcome {
    PayOutcome::Failed { reason: "no route".to_owned() }
}

fn refused(code: &str) -> WalletError {
    WalletError::Refused { code: code.to_owned(), message: "no".to_owned() }
}

fn request(invoice: &str) -> PayRequest {
    PayRequest::new(invoice)
}

#[tokio::test]
async fn paid_once_however_often_it_is_asked_for() {
    let world = world(5000).await;
    let first = world.pay().await.expect("paid");
    assert_eq!(world.pay().await.expect("known"), first);
    assert_eq!(world.network.settled().len(), 1);
}

#[tokio::test]
async fn a_hundred_callers_at_once_pay_once() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    let request = request(&world.invoice);
    let calls = (0..100).map(|_| payer.pay(&request));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_ok()), "{outcomes:?}");
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refusal_may_be_followed_by_another_try() {
    let world = world(500).await;
    assert!(matches!(world.pay().await, Err(PayError::Wallet(_))), "too little in it");
    assert!(matches!(world.status().await, OutgoingStatus::Refused { .. }));
    let refused = world.payer.balance().await.expect("known").amount;
    assert_eq!(refused, Millisats::new(500));
    let rich = world.network.wallet("rich", Millisats::new(5000)).expect("new");
    let paid = pay(&world.env, &*world.store, &*rich, &world.invoice).await;
    assert!(paid.is_ok(), "nothing was sent before");
}

#[tokio::test]
async fn an_unknown_outcome_is_pending_and_never_sent_again() {
    let world = world(5000).await;
    world.payer.order(Fault::OnCall(Some(Call::Pay), Trouble::LostAnswer));
    assert!(matches!(world.pay().await, Err(PayError::Pending)));
    assert_eq!(world.status().await, OutgoingStatus::Pending);
    assert!(world.pay().await.is_ok(), "the wallet had paid, and says so when asked");
    assert_eq!(world.network.settled().len(), 1);
}

#[tokio::test]
async fn what_was_never_handed_over_fails_once_it_can_no_longer_leave() {
    let world = world(5000).await;
    world.payer.order(Fault::OnCall(Some(Call::Pay), Trouble::Timeout));
    assert!(matches!(world.pay().await, Err(PayError::Pending)));
    assert_eq!(reconcile(&world.env, &*world.store, &*world.payer).await.expect("reads"), 1);
    assert_eq!(world.status().await, OutgoingStatus::Pending, "it may be on its way");
    world.clock.advance(Duration::from_secs(300 + 3601));
    assert_eq!(reconcile(&world.env, &*world.store, &*world.payer).await.expect("reads"), 0);
    assert!(matches!(world.status().await, OutgoingStatus::Failed { .. }));
    assert!(world.network.settled().is_empty());
}

#[tokio::test]
async fn an_error_that_nobody_knows_is_pending() {
    for error in [refused("INTERNAL"), refused("SOMETHING_NEW"), WalletError::ShutDown] {
        let world = world(5000).await;
        let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
        wallet.say(Err(error));
        let outcome = payer.pay(&request(&world.invoice)).await;
        assert!(matches!(outcome, Err(PayError::Pending)), "{outcome:?}");
        let again = payer.pay(&request(&world.invoice)).await;
        assert!(matches!(again, Err(PayError::Pending)), "not in the books is not a no: {again:?}");
        assert_eq!(wallet.sends.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_wallet_that_certainly_sent_nothing_may_be_asked_again() {
    let codes = [
        "INSUFFICIENT_BALANCE",
        "QUOTA_EXCEEDED",
        "RESTRICTED",
        "UNAUTHORIZED",
        "RATE_LIMITED",
        "NOT_IMPLEMENTED",
        "NOT_SENT",
        "NO_MATCHING_LEAVES",
        crate::wallet::FEE_TOO_HIGH,
    ];
    for code in codes {
        let world = world(5000).await;
        let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
        wallet.say(Err(refused(code)));
        let outcome = payer.pay(&request(&world.invoice)).await;
        assert!(matches!(outcome, Err(PayError::Wallet(_))), "{code}: {outcome:?}");
        assert!(matches!(world.status().await, OutgoingStatus::Refused { .. }), "{code}");
        assert!(payer.pay(&request(&world.invoice)).await.is_ok(), "{code}");
        assert_eq!(wallet.sends.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_failure_is_believed_when_the_books_agree() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    // The wallet calls it failed, and its books call it pending.
    wallet.say(Ok(failed()));
    wallet.write(Ok(Some(world.entry(PaymentState::Pending))));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Pending)));
    wallet.write(Err(WalletError::Timeout));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Pending)));
    wallet.write(Ok(Some(world.entry(PaymentState::Failed))));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Failed { .. })));
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failure_that_the_books_deny_is_paid() {
    let world = world(5000).await;
    let paid = world.network.wallet("payer", Millisats::new(0)).expect("known");
    let (payer, wallet) = world.desk(Odd::new(paid.clone()), PayPolicy::default());
    let order = PayInvoice {
        bolt11: world.invoice.clone(),
        payment_hash: PaymentHash(hash_of(&world.invoice)),
        amount: None,
        max_fee: None,
        timeout: PATIENCE,
    };
    paid.pay(order).await.expect("paid by an attempt before");
    for says in [Ok(failed()), Err(refused("INSUFFICIENT_BALANCE"))] {
        let store = Arc::new(MemoryStore::new());
        let payer = Payer::new(world.env.clone(), store, wallet.clone(), *payer.policy());
        wallet.say(says);
        assert!(payer.pay(&request(&world.invoice)).await.is_ok());
    }
}

#[tokio::test]
async fn what_failed_is_tried_again_only_when_that_is_asked_for() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    wallet.say(Ok(failed()));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Failed { .. })));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Failed { .. })));
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 1);
    let retry = PayRequest { retry: true, ..request(&world.invoice) };
    // Not while its books are open about it, nor while they cannot be read.
    wallet.write(Err(WalletError::Unreachable));
    assert!(matches!(payer.pay(&retry).await, Err(PayError::Wallet(_))));
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 1);
    assert!(payer.pay(&retry).await.is_ok());
    assert_eq!(
        payer.record(hash_of(&world.invoice)).await.expect("reads").expect("row").attempt,
        2
    );
    assert!(payer.pay(&retry).await.is_ok(), "paid is paid");
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_failed_payment_that_moves_after_all_is_pending_again() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    wallet.say(Ok(failed()));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Failed { .. })));
    wallet.write(Ok(Some(world.entry(PaymentState::Pending))));
    let retry = PayRequest { retry: true, ..request(&world.invoice) };
    assert!(matches!(payer.pay(&retry).await, Err(PayError::Pending)));
    assert_eq!(world.status().await, OutgoingStatus::Pending);
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_status_of_another_payment_says_nothing() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    wallet.say(Err(WalletError::Timeout));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Pending)));
    let other =
        WalletPayment { payment_hash: PaymentHash([9; 32]), ..world.entry(PaymentState::Failed) };
    wallet.write(Ok(Some(other)));
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Pending)));
    assert_eq!(world.status().await, OutgoingStatus::Pending);
}

#[tokio::test]
async fn a_wrong_preimage_is_not_a_payment() {
    let world = world(5000).await;
    world.payer.order(Fault::LiarPreimage);
    assert!(matches!(world.pay().await, Err(PayError::Pending)));
    assert_eq!(world.status().await, OutgoingStatus::Pending);
    assert!(world.pay().await.is_ok(), "the right one, when asked again");
}

#[tokio::test]
async fn a_fee_above_its_bound_is_refused_before_anything_is_sent() {
    let world = world(100_000).await;
    world.network.charge(FeeModel { base: Millisats::new(20_000), ppm: 0 });
    let (payer, _) = world.desk(world.odd(), PayPolicy::default());
    let error = payer.pay(&request(&world.invoice)).await.expect_err("20 satoshi on one");
    assert_eq!(error.code(), ErrorCode::FeeTooHigh);
    assert!(matches!(world.status().await, OutgoingStatus::Refused { .. }));
    let allowed = PayRequest { max_fee: Some(Millisats::new(20_000)), ..request(&world.invoice) };
    assert_eq!(payer.pay(&allowed).await.expect("paid").fee, Millisats::new(20_000));
    assert_eq!(world.network.balance("payer"), Some(Millisats::new(79_000)));
    assert_eq!(world.network.total(), 100_000);
}

#[tokio::test]
async fn a_wallet_that_keeps_no_bound_is_asked_for_its_estimate() {
    let world = world(100_000).await;
    world.network.charge(FeeModel { base: Millisats::new(20_000), ppm: 0 });
    let odd = Odd { caps_fees: false, ..world.odd() };
    let (payer, wallet) = world.desk(odd, PayPolicy::default());
    let error = payer.pay(&request(&world.invoice)).await.expect_err("estimated");
    assert!(matches!(error, PayError::FeeTooHigh { fee, .. } if fee == Millisats::new(20_000)));
    assert_eq!(world.status_of(&world.invoice).await, None, "nothing was begun");
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 0);
    let allowed = PayRequest { max_fee: Some(Millisats::new(20_000)), ..request(&world.invoice) };
    assert!(payer.pay(&allowed).await.is_ok());
}

#[tokio::test]
async fn a_wallet_without_bounds_and_estimates_is_used_unless_that_is_forbidden() {
    let world = world(100_000).await;
    let odd = || Odd { caps_fees: false, quotes: false, ..world.odd() };
    let strict = PayPolicy { strict_fees: true, ..PayPolicy::default() };
    let (payer, wallet) = world.desk(odd(), strict);
    let error = payer.pay(&request(&world.invoice)).await.expect_err("strict");
    assert!(matches!(error, PayError::FeesUnbounded));
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 0);
    let (payer, _) = world.desk(odd(), PayPolicy::default());
    assert!(payer.pay(&request(&world.invoice)).await.is_ok());
}

#[tokio::test]
async fn invoices_of_other_networks_and_nonsense_are_refused() {
    let world = world(5000).await;
    let (payer, wallet) =
        world.desk(Odd { network: Some("mainnet"), ..world.odd() }, PayPolicy::default());
    let foreign = payer.pay(&request(&world.invoice)).await.expect_err("regtest");
    assert!(matches!(foreign, PayError::InvalidInvoice { reason } if reason.contains("network")));
    for text in ["", "lnbc1", "lightning:", &"l".repeat(100_000)] {
        let error = payer.pay(&request(text)).await.expect_err("no invoice");
        assert_eq!(error.code(), ErrorCode::InvalidInvoice);
    }
    world.clock.advance(Duration::from_secs(300));
    let (known, _) = world.desk(world.odd(), PayPolicy::default());
    let late = known.pay(&request(&world.invoice)).await.expect_err("expired");
    assert!(matches!(late, PayError::InvalidInvoice { reason } if reason.contains("expired")));
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 0);
    assert_eq!(world.status_of(&world.invoice).await, None);
}

#[tokio::test]
async fn an_invoice_without_an_amount_needs_one_and_others_take_no_other() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    let open = world.payee.make_amountless_invoice(None, Duration::from_secs(300)).expect("made");
    let with = |invoice: &str, amount: Option<u64>| PayRequest {
        amount: amount.map(Millisats::new),
        ..request(invoice)
    };
    for wrong in [
        with(&open.bolt11, None),
        with(&open.bolt11, Some(0)),
        with(&open.bolt11, Some(u64::MAX)),
        with(&world.invoice, Some(999)),
    ] {
        let error = payer.pay(&wrong).await.expect_err("not an amount");
        assert_eq!(error.code(), ErrorCode::InvalidAmount, "{error}");
    }
    assert_eq!(wallet.sends.load(Ordering::SeqCst), 0);
    assert!(payer.pay(&with(&open.bolt11, Some(1234))).await.is_ok());
    assert!(payer.pay(&with(&world.invoice, Some(1000))).await.is_ok());
    assert_eq!(world.network.balance("payee"), Some(Millisats::new(2234)));
    let other = payer.pay(&with(&open.bolt11, Some(1))).await.expect("what was paid, was paid");
    assert_eq!(payer.pay(&with(&open.bolt11, Some(1234))).await.expect("the same"), other);
}

#[tokio::test]
async fn spending_ends_at_its_limits_and_begins_again_a_day_later() {
    let world = world(1_000_000).await;
    let fee = Millisats::new(10_000);
    let day = PayPolicy { per_day: Some(Millisats::new(32_000)), ..PayPolicy::default() };
    let recipient =
        PayPolicy { per_recipient: Some(Millisats::new(32_000)), ..PayPolicy::default() };
    for policy in [day, recipient] {
        world.clock.advance(DAY + Duration::from_secs(1));
        // What is under way counts with the fee that it may cost.
        let (payer, wallet) = world.desk(world.odd(), policy);
        let held = invoice(&world.payee, 2000).await;
        wallet.say(Err(WalletError::Timeout));
        assert!(matches!(payer.pay(&request(&held)).await, Err(PayError::Pending)));
        let free = invoice(&world.payee, 5000).await;
        assert!(payer.pay(&request(&free)).await.is_ok(), "12,000 and 15,000");
        let more = invoice(&world.payee, 5001).await;
        let error = payer.pay(&request(&more)).await.expect_err("17,000 and 15,001");
        assert_eq!((error.code(), error.code().retryable()), (ErrorCode::SpendingLimit, true));
        assert_eq!(world.status_of(&more).await, None, "nothing was begun");
        // A restart forgets nothing.
        let (payer, _) = world.desk(world.odd(), policy);
        assert!(matches!(payer.pay(&request(&more)).await, Err(PayError::SpendingLimit { .. })));
        let less = invoice(&world.payee, 5000).await;
        assert!(payer.pay(&request(&less)).await.is_ok(), "17,000 and 15,000");
        assert_eq!(payer.policy().fee_cap(Millisats::new(5000)), fee);
        world.clock.advance(DAY + Duration::from_secs(1));
        let tomorrow = invoice(&world.payee, 22_000).await;
        assert!(payer.pay(&request(&tomorrow)).await.is_ok());
    }
}

#[tokio::test]
async fn many_at_once_do_not_pass_a_limit_together() {
    let world = world(1_000_000).await;
    let policy = PayPolicy { per_day: Some(Millisats::new(35_000)), ..PayPolicy::default() };
    let (payer, wallet) = world.desk(world.odd(), policy);
    // With what it may cost each counts 11,000 until it is settled, and then 1,000.
    let mut requests = Vec::new();
    for _ in 0..50 {
        wallet.say(Ok(PayOutcome::Pending));
        requests.push(request(&invoice(&world.payee, 1000).await));
    }
    let calls = requests.iter().map(|request| payer.pay(request));
    let outcomes = futures_util::future::join_all(calls).await;
    let begun = outcomes.iter().filter(|it| matches!(it, Err(PayError::Pending))).count();
    assert_eq!((begun, wallet.sends.load(Ordering::SeqCst)), (3, 3));
}

/// Drops the payment at each place where it waits, as a crash does, and goes on with another payer
/// over the same journal: the wallet is handed it at most once, and in the end the journal says
/// what the ledger says.
#[tokio::test]
async fn a_crash_at_any_await_pays_once_and_loses_nothing() {
    for odd in [true, false] {
        let mut polls = 0;
        loop {
            let world = world(5000).await;
            let policy =
                PayPolicy { per_day: Some(Millisats::new(100_000)), ..PayPolicy::default() };
            let (payer, wallet) = world.desk(Odd { caps_fees: odd, ..world.odd() }, policy);
            let request = request(&world.invoice);
            let ended = {
                let mut call = Box::pin(payer.pay(&request));
                let mut ended = None;
                for _ in 0..polls {
                    ended = call.as_mut().now_or_never();
                    if ended.is_some() {
                        break;
                    }
                }
                ended
            };
            let reopened = Arc::new(world.store.reopen());
            let after = Payer::new(world.env.clone(), reopened.clone(), wallet.clone(), policy);
            after.reconcile().await.expect("reads");
            let outcome = after.pay(&request).await;
            let sends = wallet.sends.load(Ordering::SeqCst);
            assert!(sends <= 1, "handed over {sends} times after {polls} polls");
            match outcome {
                Ok(_) => assert_eq!(world.network.settled().len(), 1),
                Err(PayError::Pending) => {
                    assert!(world.network.settled().is_empty(), "the books know of it");
                    world.clock.advance(Duration::from_secs(300 + 3601));
                    assert_eq!(after.reconcile().await.expect("reads"), 0);
                    let row = reopened.outgoing(hash_of(&world.invoice)).await.expect("reads");
                    let status = row.expect("journalled").status;
                    assert!(matches!(status, OutgoingStatus::Failed { .. }), "{status:?}");
                }
                Err(error) => panic!("{error}"),
            }
            if let Some(outcome) = ended {
                assert!(outcome.is_ok());
                break;
            }
            polls += 1;
            assert!(polls < 100, "it ends");
        }
        assert!(polls > 3, "there was something to interrupt");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_asked_about_until_it_is() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    let payer = Arc::new(payer);
    let keeping = {
        let (payer, events) = (payer.clone(), wallet.events());
        tokio::spawn(async move { payer.keep_accounts(events).await })
    };
    tokio::task::yield_now().await;
    world.payer.order(Fault::PayLater);
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Pending)));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.status().await, OutgoingStatus::Pending);
    // The wallet tells nobody that it settled.
    world.payer.order(Fault::LostNotification);
    world.network.settle(PaymentHash(hash_of(&world.invoice))).expect("under way");
    tokio::time::sleep(LONGEST).await;
    assert!(matches!(world.status().await, OutgoingStatus::Settled { .. }));
    keeping.abort();
}

/// The longest interval between two questions, and a little more.
const LONGEST: Duration = Duration::from_secs(61);

#[tokio::test(start_paused = true)]
async fn a_wallet_that_tells_is_heard_at_once() {
    let world = world(5000).await;
    let (payer, wallet) = world.desk(world.odd(), PayPolicy::default());
    let payer = Arc::new(payer);
    let keeping = {
        let (payer, events) = (payer.clone(), wallet.events());
        tokio::spawn(async move { payer.keep_accounts(events).await })
    };
    world.payer.order(Fault::PayLater);
    assert!(matches!(payer.pay(&request(&world.invoice)).await, Err(PayError::Pending)));
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.network.settle(PaymentHash(hash_of(&world.invoice))).expect("under way");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(matches!(world.status().await, OutgoingStatus::Settled { .. }));
    keeping.abort();
}
