//! One conformance suite for every wallet: `wallet_suite!(make_rig)` turns it into tests.
//!
//! It asks what [`crate::payments`] relies on, and no more: whatever a wallet does beyond the port
//! is tested beside that wallet. Amounts are whole satoshi, since not every wallet knows less.
//!
//! | asked | tests |
//! |---|---|
//! | settle | `paid_invoice_is_settled_on_both_sides`, `paying_again_moves_nothing` |
//! | pending | `held_payment_is_pending_until_it_arrives` |
//! | fail | `payment_that_fails_gives_the_money_back` |
//! | time-out, then settled | `lost_answer_is_not_a_failure`, `payment_that_timed_out_may_settle_later` |
//! | unknown error | `an_error_that_nobody_knows_is_not_a_failure` |
//! | restart in between | `payments_survive_a_restart_in_between` |
//! | notifications | `missing_event_does_not_hide_a_payment`, `doubled_event_does_not_make_it_two` |
//! | clock skew | `a_wallet_with_another_clock_is_understood` |
//! | expiry | `expired_invoice_is_not_paid`, `payment_that_left_in_time_settles_after_the_end` |
//!
//! A wallet whose other side cannot do something (move its clock, say) names the tests it runs:
//! `wallet_suite!(make_rig; only paid_invoice_is_settled_on_both_sides, …)`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use nostr::hashes::{Hash, sha256};

use super::bolt11::Bolt11;
use super::simulated::{Call, Fault, SimulatedNetwork, SimulatedWallet, Trouble};
use super::{
    Direction, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, PaymentKey, PaymentState, WalletError, WalletEvent,
};
use crate::env::Env;
use crate::env::mock::{self, MockClock};
use crate::primitives::{Millisats, Timestamp};

/// Two wallets that can pay each other, and a hand on what lies between them.
///
/// The payer may be a fake that is told what to do, as long as the payee's wallet is the one under
/// test, or the other way round. Orders are for the next payment, each once.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The wallet that is paid. Empty at first.
    fn payee(&self) -> Arc<dyn LightningWallet>;
    /// The wallet that pays. It has 1,000,000 msat at first.
    fn payer(&self) -> Arc<dyn LightningWallet>;
    /// An invoice of the payee without an amount.
    fn amountless_invoice(&self) -> Invoice;
    /// Lets time pass, for both wallets.
    fn pass(&self, time: Duration);
    /// Moves the clocks of the wallets against the clock of their user, by this many seconds.
    fn skew(&self, seconds: i64) {
        cannot(&format!("move a clock by {seconds} s"))
    }
    /// Keeps the next payment under way until [`Rig::release`] or [`Rig::fail`].
    fn hold_next_payment(&self);
    /// Lets a held payment arrive.
    fn release(&self, hash: PaymentHash);
    /// Lets a held payment come back.
    fn fail(&self, hash: PaymentHash) {
        cannot(&format!("fail payment {hash}"))
    }
    /// Does the next payment, but loses the answer.
    fn lose_next_answer(&self);
    /// Does the next payment, but answers with something that nobody knows.
    fn garble_next_answer(&self) {
        cannot("garble an answer")
    }
    /// Does not tell the payee of the next payment.
    fn lose_next_event(&self);
    /// Tells the payee of the next payment twice.
    fn double_next_event(&self);
    /// Ends both wallets as a crash would, and opens them again from what they have kept.
    async fn restart(&mut self) {
        cannot("restart its wallets")
    }
    /// Ends whatever stands between the wallets.
    async fn end(&self);
}

/// A rig that cannot do something must not be asked for it, and never pretends.
fn cannot(what: &str) -> ! {
    panic!("this rig cannot {what}: name the tests that it can run with `only`")
}

/// What the payer has at first.
pub const FUNDS: Millisats = Millisats::new(1_000_000);

/// A [`Rig`] on the simulated ledger; its wallets may be wrapped in something else.
pub struct SimulatedRig {
    /// Time and randomness of everything in it.
    pub env: Env,
    /// Moves the time.
    pub clock: Arc<MockClock>,
    /// Time and randomness of those who use the wallets.
    pub user_env: Env,
    /// Moves the time of those who use the wallets.
    pub user_clock: Arc<MockClock>,
    /// The ledger, for faults and as the oracle.
    pub network: SimulatedNetwork,
    /// The payee's wallet at the ledger.
    pub merchant: Arc<SimulatedWallet>,
    /// The payer's wallet at the ledger.
    pub person: Arc<SimulatedWallet>,
    /// What the suite sees of the payee.
    pub payee: Arc<dyn LightningWallet>,
    /// What the suite sees of the payer.
    pub payer: Arc<dyn LightningWallet>,
}

impl SimulatedRig {
    /// A rig whose wallets are the simulated ones themselves.
    #[must_use]
    pub fn direct() -> Self {
        let (env, clock) = mock::env(Timestamp::from_secs(1_700_000_000), 11);
        let (user_env, user_clock) = mock::env(Timestamp::from_secs(1_700_000_000), 12);
        let network = SimulatedNetwork::new(env.clone());
        let merchant = network.wallet("merchant", Millisats::new(0)).expect("in memory");
        let person = network.wallet("person", FUNDS).expect("in memory");
        let (payee, payer) = (merchant.clone(), person.clone());
        Self { env, clock, user_env, user_clock, network, merchant, person, payee, payer }
    }

    /// Ends the wallets of the ledger and opens them again. What is wrapped around them is the
    /// caller's to renew.
    pub async fn reopen(&mut self) {
        self.merchant.shutdown().await;
        self.person.shutdown().await;
        self.merchant =
            self.network.wallet("merchant", Millisats::new(0)).expect("it is in the ledger");
        self.person = self.network.wallet("person", FUNDS).expect("it is in the ledger");
    }
}

#[async_trait]
impl OnLedger for SimulatedRig {
    fn ledger(&self) -> &SimulatedRig {
        self
    }

    async fn restart(&mut self) {
        self.reopen().await;
        self.payee = self.merchant.clone();
        self.payer = self.person.clone();
    }
}

/// A rig whose wallets stand before the wallets of a [`SimulatedRig`].
#[async_trait]
pub trait OnLedger: Send + Sync {
    /// What is behind it.
    fn ledger(&self) -> &SimulatedRig;
    /// As [`Rig::restart`].
    async fn restart(&mut self);
    /// As [`Rig::end`], after the wallets themselves were shut down.
    async fn end(&self) {}
}

#[async_trait]
impl<T: OnLedger> Rig for T {
    fn payee(&self) -> Arc<dyn LightningWallet> {
        self.ledger().payee.clone()
    }

    fn payer(&self) -> Arc<dyn LightningWallet> {
        self.ledger().payer.clone()
    }

    fn amountless_invoice(&self) -> Invoice {
        let expiry = Duration::from_secs(600);
        let made = self.ledger().merchant.make_amountless_invoice(None, expiry);
        made.expect("the ledger is in memory")
    }

    fn pass(&self, time: Duration) {
        self.ledger().clock.advance(time);
        self.ledger().user_clock.advance(time);
    }

    fn skew(&self, seconds: i64) {
        let by = Duration::from_secs(seconds.unsigned_abs());
        let SimulatedRig { clock, user_clock, .. } = self.ledger();
        if seconds >= 0 { clock.advance(by) } else { user_clock.advance(by) }
    }

    fn hold_next_payment(&self) {
        self.ledger().person.order(Fault::PayLater);
    }

    fn release(&self, hash: PaymentHash) {
        self.ledger().network.settle(hash).expect("the payment is under way");
    }

    fn fail(&self, hash: PaymentHash) {
        self.ledger().network.fail(hash).expect("the payment is under way");
    }

    fn lose_next_answer(&self) {
        self.ledger().person.order(Fault::OnCall(Some(Call::Pay), Trouble::LostAnswer));
    }

    fn garble_next_answer(&self) {
        self.ledger().person.order(Fault::OnCall(Some(Call::Pay), Trouble::Garbled));
    }

    fn lose_next_event(&self) {
        self.ledger().merchant.order(Fault::LostNotification);
    }

    fn double_next_event(&self) {
        self.ledger().merchant.order(Fault::DuplicateNotification);
    }

    async fn restart(&mut self) {
        OnLedger::restart(self).await;
    }

    async fn end(&self) {
        self.ledger().payee.shutdown().await;
        self.ledger().payer.shutdown().await;
        OnLedger::end(self).await;
    }
}

/// Turns the suite into tests of a wallet. `$make` is an async function that returns a [`Rig`].
#[macro_export]
macro_rules! wallet_suite {
    ($make:path; only $($name:ident),+ $(,)?) => {
        $crate::wallet_suite!(@each $make; $($name,)+);
    };
    ($make:path) => {
        $crate::wallet_suite!(@each $make;
            tells_what_it_is,
            invoice_says_what_was_asked_and_waits,
            paid_invoice_is_settled_on_both_sides,
            paying_again_moves_nothing,
            unknown_hash_is_not_found,
            expired_invoice_is_not_paid,
            insufficient_funds_have_their_code,
            lost_answer_is_not_a_failure,
            payment_that_timed_out_may_settle_later,
            an_error_that_nobody_knows_is_not_a_failure,
            held_payment_is_pending_until_it_arrives,
            payment_that_fails_gives_the_money_back,
            payment_that_left_in_time_settles_after_the_end,
            payments_survive_a_restart_in_between,
            a_wallet_with_another_clock_is_understood,
            lists_come_in_pages_newest_first,
            what_settled_is_listed_by_settlement_or_not_at_all,
            missing_event_does_not_hide_a_payment,
            doubled_event_does_not_make_it_two,
            payments_are_found_by_their_invoice,
            balance_is_remembered_with_its_age,
            amountless_invoice_needs_an_amount,
            nonsense_is_refused_before_it_is_sent,
            shutdown_ends_calls_and_events,
        );
    };
    (@each $make:path; $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let mut rig = $make().await;
                let limit = ::std::time::Duration::from_secs(60);
                tokio::time::timeout(limit, async {
                    $crate::wallet::suite::$name(&mut rig).await;
                    $crate::wallet::suite::Rig::end(&rig).await;
                })
                .await
                .expect("a wallet that waits for ever");
            }
        )+
    };
}

/// Information names the calls that are used here.
pub async fn tells_what_it_is(rig: &mut impl Rig) {
    let info = rig.payee().info().await.expect("answers");
    assert!(!info.kind.is_empty());
    assert!(info.notifies);
    for method in ["make_invoice", "lookup_invoice", "get_balance", "list_transactions"] {
        assert!(info.methods.iter().any(|name| name == method), "{method}");
    }
    assert_eq!(balance(&rig.payee()).await, Millisats::new(0));
    assert_eq!(balance(&rig.payer()).await, FUNDS);
}

/// The text of an invoice agrees with what was asked and with what is said about it.
pub async fn invoice_says_what_was_asked_and_waits(rig: &mut impl Rig) {
    let invoice = make(rig, 12_000).await;
    let read = Bolt11::parse(&invoice.bolt11).expect("an invoice");
    assert_eq!(read.payment_hash, invoice.payment_hash);
    assert_eq!(read.amount, Some(Millisats::new(12_000)));
    assert_eq!(read.description.as_deref(), Some("a cup"));
    assert_eq!((read.created_at, read.expires_at), (invoice.created_at, invoice.expires_at));
    assert_eq!(invoice.expires_at.saturating_since(invoice.created_at), EXPIRY);
    let seen = look(&rig.payee(), invoice.payment_hash).await.expect("known to who made it");
    assert_eq!(seen.direction, Direction::Incoming);
    assert_eq!(seen.state, PaymentState::Pending);
    assert_eq!(seen.amount, Millisats::new(12_000));
    let other = make(rig, 12_000).await;
    assert_ne!(other.payment_hash, invoice.payment_hash);
}

/// After a payment both wallets say settled, with the preimage, and the money has moved.
pub async fn paid_invoice_is_settled_on_both_sides(rig: &mut impl Rig) {
    let invoice = make(rig, 40_000).await;
    let mut events = rig.payee().events();
    let outcome = rig.payer().pay(payment(&invoice)).await.expect("paid");
    let PayOutcome::Settled { preimage, fee } = outcome else { panic!("{outcome:?}") };
    assert_eq!(sha256::Hash::hash(&preimage).to_byte_array(), invoice.payment_hash.0);
    heard(&mut events, invoice.payment_hash).await;
    for (wallet, direction) in
        [(rig.payee(), Direction::Incoming), (rig.payer(), Direction::Outgoing)]
    {
        let seen = look(&wallet, invoice.payment_hash).await.expect("known");
        assert_eq!((seen.direction, seen.amount), (direction, Millisats::new(40_000)));
        let PaymentState::Settled { preimage: told, .. } = seen.state else { panic!("{seen:?}") };
        assert_eq!(told, Some(preimage));
    }
    assert_eq!(balance(&rig.payee()).await, Millisats::new(40_000));
    let left = FUNDS.as_u64() - 40_000 - fee.as_u64();
    assert_eq!(balance(&rig.payer()).await, Millisats::new(left));
}

/// A second payment of the same invoice gives the first one's outcome.
pub async fn paying_again_moves_nothing(rig: &mut impl Rig) {
    let invoice = make(rig, 1_000).await;
    let first = rig.payer().pay(payment(&invoice)).await.expect("paid");
    let left = balance(&rig.payer()).await;
    match rig.payer().pay(payment(&invoice)).await {
        Ok(PayOutcome::Failed { reason }) => panic!("a paid invoice failed: {reason}"),
        Ok(PayOutcome::Settled { preimage, .. }) => {
            assert!(
                matches!(first, PayOutcome::Settled { preimage: before, .. } if before == preimage)
            );
        }
        Ok(PayOutcome::Pending) => {}
        Err(error) => assert!(error.outcome_unknown(), "{error}"),
    }
    assert_eq!(balance(&rig.payer()).await, left);
    assert_eq!(balance(&rig.payee()).await, Millisats::new(1_000));
}

/// "Not known" is an answer, not an error.
pub async fn unknown_hash_is_not_found(rig: &mut impl Rig) {
    assert_eq!(look(&rig.payee(), PaymentHash([7; 32])).await, None);
    let invoice = make(rig, 1_000).await;
    assert_eq!(look(&rig.payer(), invoice.payment_hash).await, None);
}

/// Nothing moves for an invoice that has ended.
pub async fn expired_invoice_is_not_paid(rig: &mut impl Rig) {
    let invoice = make(rig, 1_000).await;
    rig.pass(EXPIRY + Duration::from_secs(1));
    let outcome = rig.payer().pay(payment(&invoice)).await.expect("answers");
    assert!(matches!(outcome, PayOutcome::Failed { .. }), "{outcome:?}");
    assert_eq!(balance(&rig.payer()).await, FUNDS);
    let seen = look(&rig.payee(), invoice.payment_hash).await.expect("still known");
    assert!(!matches!(seen.state, PaymentState::Settled { .. }));
}

/// A refusal that is certain says so, with the wallet's own code.
pub async fn insufficient_funds_have_their_code(rig: &mut impl Rig) {
    let invoice = make(rig, FUNDS.as_u64() + 1).await;
    let error = rig.payer().pay(payment(&invoice)).await.expect_err("too much");
    assert!(!error.outcome_unknown());
    let WalletError::Refused { code, .. } = error else { panic!("{error}") };
    assert_eq!(code, "INSUFFICIENT_BALANCE");
    assert_eq!(balance(&rig.payer()).await, FUNDS);
}

/// A payment whose answer was lost is unknown, and a look-up finds it.
pub async fn lost_answer_is_not_a_failure(rig: &mut impl Rig) {
    let invoice = make(rig, 5_000).await;
    rig.lose_next_answer();
    match rig.payer().pay(payment(&invoice)).await {
        // A wallet may find out by itself.
        Ok(PayOutcome::Pending | PayOutcome::Settled { .. }) => {}
        Ok(outcome @ PayOutcome::Failed { .. }) => panic!("{outcome:?}"),
        Err(error) => assert!(error.outcome_unknown(), "{error}"),
    }
    let seen = look(&rig.payer(), invoice.payment_hash).await.expect("it left");
    assert!(matches!(seen.state, PaymentState::Settled { .. }));
    assert_eq!(balance(&rig.payee()).await, Millisats::new(5_000));
}

/// A payment whose answer never came and that was still under way may settle afterwards.
pub async fn payment_that_timed_out_may_settle_later(rig: &mut impl Rig) {
    let invoice = make(rig, 5_000).await;
    rig.hold_next_payment();
    rig.lose_next_answer();
    match rig.payer().pay(payment(&invoice)).await {
        Ok(PayOutcome::Pending) => {}
        Ok(outcome) => panic!("{outcome:?}"),
        Err(error) => assert!(error.outcome_unknown(), "{error}"),
    }
    assert_eq!(state(&rig.payer(), &invoice).await, Some(PaymentState::Pending));
    rig.release(invoice.payment_hash);
    assert!(settled(&rig.payer(), &invoice).await && settled(&rig.payee(), &invoice).await);
    assert_eq!(balance(&rig.payee()).await, Millisats::new(5_000));
}

/// Whatever the wallet says that nobody knows is no proof that the money stayed.
pub async fn an_error_that_nobody_knows_is_not_a_failure(rig: &mut impl Rig) {
    let invoice = make(rig, 5_000).await;
    rig.garble_next_answer();
    match rig.payer().pay(payment(&invoice)).await {
        // A wallet may find out by itself.
        Ok(PayOutcome::Pending | PayOutcome::Settled { .. }) => {}
        Ok(outcome @ PayOutcome::Failed { .. }) => panic!("{outcome:?}"),
        Err(error) => assert!(error.outcome_unknown(), "{error}"),
    }
    assert!(settled(&rig.payer(), &invoice).await && settled(&rig.payee(), &invoice).await);
}

/// A payment under way is pending on both sides until it arrives.
pub async fn held_payment_is_pending_until_it_arrives(rig: &mut impl Rig) {
    let invoice = make(rig, 5_000).await;
    let mut events = rig.payee().events();
    rig.hold_next_payment();
    let outcome = rig.payer().pay(payment(&invoice)).await.expect("left");
    assert_eq!(outcome, PayOutcome::Pending);
    for wallet in [rig.payee(), rig.payer()] {
        assert_eq!(state(&wallet, &invoice).await, Some(PaymentState::Pending));
    }
    assert_eq!(balance(&rig.payee()).await, Millisats::new(0));
    rig.release(invoice.payment_hash);
    heard(&mut events, invoice.payment_hash).await;
    for wallet in [rig.payee(), rig.payer()] {
        let seen = state(&wallet, &invoice).await.expect("known");
        assert!(matches!(seen, PaymentState::Settled { preimage: Some(_), .. }), "{seen:?}");
    }
}

/// A payment that comes back is failed for the payer, unpaid for the payee, and costs nothing.
pub async fn payment_that_fails_gives_the_money_back(rig: &mut impl Rig) {
    let invoice = make(rig, 5_000).await;
    rig.hold_next_payment();
    let outcome = rig.payer().pay(payment(&invoice)).await.expect("left");
    assert_eq!(outcome, PayOutcome::Pending);
    rig.fail(invoice.payment_hash);
    assert_eq!(state(&rig.payer(), &invoice).await, Some(PaymentState::Failed));
    assert!(!settled(&rig.payee(), &invoice).await);
    assert_eq!(balance(&rig.payer()).await, FUNDS);
    assert_eq!(balance(&rig.payee()).await, Millisats::new(0));
}

/// The end of an invoice ends only what has not left: money that is on its way still arrives.
pub async fn payment_that_left_in_time_settles_after_the_end(rig: &mut impl Rig) {
    let invoice = make(rig, 5_000).await;
    rig.hold_next_payment();
    let outcome = rig.payer().pay(payment(&invoice)).await.expect("left");
    assert_eq!(outcome, PayOutcome::Pending);
    rig.pass(EXPIRY + Duration::from_secs(1));
    for wallet in [rig.payee(), rig.payer()] {
        assert_eq!(state(&wallet, &invoice).await, Some(PaymentState::Pending));
    }
    rig.release(invoice.payment_hash);
    assert!(settled(&rig.payer(), &invoice).await && settled(&rig.payee(), &invoice).await);
    assert_eq!(balance(&rig.payee()).await, Millisats::new(5_000));
}

/// Everything a wallet has said holds after a restart: what is under way, what is settled, what
/// was never paid. Paying again moves nothing.
pub async fn payments_survive_a_restart_in_between(rig: &mut impl Rig) {
    let (paid, moving, open) =
        (make(rig, 1_000).await, make(rig, 2_000).await, make(rig, 4_000).await);
    rig.payer().pay(payment(&paid)).await.expect("paid");
    rig.hold_next_payment();
    let outcome = rig.payer().pay(payment(&moving)).await.expect("left");
    assert_eq!(outcome, PayOutcome::Pending);
    Rig::restart(rig).await;
    assert!(settled(&rig.payer(), &paid).await && settled(&rig.payee(), &paid).await);
    for wallet in [rig.payee(), rig.payer()] {
        assert_eq!(state(&wallet, &moving).await, Some(PaymentState::Pending));
    }
    assert_eq!(state(&rig.payee(), &open).await, Some(PaymentState::Pending));
    assert_eq!(state(&rig.payer(), &open).await, None);
    let mut events = rig.payee().events();
    rig.release(moving.payment_hash);
    heard(&mut events, moving.payment_hash).await;
    assert!(settled(&rig.payer(), &moving).await && settled(&rig.payee(), &moving).await);
    for again in [&paid, &moving] {
        match rig.payer().pay(payment(again)).await {
            Ok(PayOutcome::Failed { reason }) => panic!("a paid invoice failed: {reason}"),
            Ok(PayOutcome::Settled { .. } | PayOutcome::Pending) => {}
            Err(error) => assert!(error.outcome_unknown(), "{error}"),
        }
    }
    rig.payer().pay(payment(&open)).await.expect("paid");
    assert_eq!(balance(&rig.payee()).await, Millisats::new(7_000));
}

/// The times of an invoice are the wallet's; a clock that is off in either direction hides no
/// payment and makes none late.
pub async fn a_wallet_with_another_clock_is_understood(rig: &mut impl Rig) {
    for seconds in [90, -180] {
        rig.skew(seconds);
        let invoice = make(rig, 1_000).await;
        let read = Bolt11::parse(&invoice.bolt11).expect("an invoice");
        assert_eq!((read.created_at, read.expires_at), (invoice.created_at, invoice.expires_at));
        assert_eq!(state(&rig.payee(), &invoice).await, Some(PaymentState::Pending));
        let mut events = rig.payee().events();
        let outcome = rig.payer().pay(payment(&invoice)).await.expect("paid");
        assert!(matches!(outcome, PayOutcome::Settled { .. }), "{outcome:?}");
        heard(&mut events, invoice.payment_hash).await;
        let seen = look(&rig.payee(), invoice.payment_hash).await.expect("known");
        let PaymentState::Settled { at, .. } = seen.state else { panic!("{seen:?}") };
        assert!(at >= invoice.created_at && at < invoice.expires_at, "by the wallet's clock");
        // Who lists asks by the wallet's time, which is that of the invoice.
        let since = invoice.created_at;
        let query = ListPayments { since, direction: None, offset: 0, limit: 20 };
        let listed = rig.payee().list(query).await.expect("listed");
        assert!(listed.iter().any(|payment| payment.payment_hash == invoice.payment_hash));
    }
    assert_eq!(balance(&rig.payee()).await, Millisats::new(2_000));
}

/// More than one page can be listed, newest first, with offset, limit, time and direction.
pub async fn lists_come_in_pages_newest_first(rig: &mut impl Rig) {
    let mut hashes = Vec::new();
    for _ in 0..25 {
        rig.pass(Duration::from_secs(10));
        let invoice = make(rig, 1_000).await;
        rig.payer().pay(payment(&invoice)).await.expect("paid");
        hashes.push((invoice.payment_hash, invoice.created_at));
    }
    hashes.reverse();
    let all =
        ListPayments { since: Timestamp::from_secs(0), direction: None, offset: 0, limit: 100 };
    let listed = async |query: ListPayments| -> Vec<PaymentHash> {
        let list = rig.payee().list(query).await.expect("listed");
        list.iter().map(|payment| payment.payment_hash).collect()
    };
    let expected: Vec<PaymentHash> = hashes.iter().map(|(hash, _)| *hash).collect();
    assert_eq!(listed(all).await, expected);
    assert_eq!(listed(ListPayments { offset: 20, limit: 20, ..all }).await, expected[20..]);
    assert_eq!(listed(ListPayments { limit: 7, ..all }).await, expected[..7]);
    assert_eq!(listed(ListPayments { limit: 0, ..all }).await, []);
    assert_eq!(listed(ListPayments { since: hashes[4].1, ..all }).await, expected[..5]);
    let outgoing = ListPayments { direction: Some(Direction::Outgoing), ..all };
    assert_eq!(listed(outgoing).await, []);
    let paid = rig.payer().list(outgoing).await.expect("listed");
    assert_eq!(paid.len(), 25);
    assert!(paid.iter().all(|payment| matches!(payment.state, PaymentState::Settled { .. })));
}

/// A wallet that lists by settlement does so whenever the invoices were made.
pub async fn what_settled_is_listed_by_settlement_or_not_at_all(rig: &mut impl Rig) {
    let (early, late) = (make(rig, 1_000).await, make(rig, 2_000).await);
    rig.payer().pay(payment(&late)).await.expect("paid");
    rig.pass(Duration::from_secs(100));
    rig.payer().pay(payment(&early)).await.expect("paid");
    let seen = look(&rig.payee(), early.payment_hash).await.expect("known");
    let PaymentState::Settled { at, .. } = seen.state else { panic!("{seen:?}") };
    let all = ListPayments {
        since: Timestamp::from_secs(0),
        direction: Some(Direction::Incoming),
        offset: 0,
        limit: 100,
    };
    let listed = async |query: ListPayments| -> Option<Vec<PaymentHash>> {
        match rig.payee().list_settled(query).await {
            Ok(list) => Some(list.iter().map(|payment| payment.payment_hash).collect()),
            Err(WalletError::Unsupported { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    };
    let Some(everything) = listed(all).await else { return };
    assert_eq!(everything, [early.payment_hash, late.payment_hash]);
    let since = ListPayments { since: at, ..all };
    assert_eq!(listed(since).await, Some(vec![early.payment_hash]));
    let second = ListPayments { offset: 1, limit: 1, ..all };
    assert_eq!(listed(second).await, Some(vec![late.payment_hash]));
}

/// Who hears nothing finds the payment when it asks.
pub async fn missing_event_does_not_hide_a_payment(rig: &mut impl Rig) {
    let mut events = rig.payee().events();
    rig.lose_next_event();
    let silent = make(rig, 1_000).await;
    rig.payer().pay(payment(&silent)).await.expect("paid");
    assert!(settled(&rig.payee(), &silent).await);
    // The one after it is told, so the first was not merely slow.
    let loud = make(rig, 1_000).await;
    rig.payer().pay(payment(&loud)).await.expect("paid");
    loop {
        match events.next().await.expect("the wallet goes on") {
            WalletEvent::Settled(told) if told.payment_hash == silent.payment_hash => {
                panic!("it was not to be told")
            }
            WalletEvent::Settled(told) if told.payment_hash == loud.payment_hash => break,
            WalletEvent::Settled(_) | WalletEvent::Reconnected | WalletEvent::Disconnected => {}
        }
    }
}

/// Two notes of one payment name the same payment, and it is one in the books.
pub async fn doubled_event_does_not_make_it_two(rig: &mut impl Rig) {
    let mut events = rig.payee().events();
    rig.double_next_event();
    let loud = make(rig, 1_000).await;
    rig.payer().pay(payment(&loud)).await.expect("paid");
    heard(&mut events, loud.payment_hash).await;
    assert_eq!(balance(&rig.payee()).await, Millisats::new(1_000));
    let all =
        ListPayments { since: Timestamp::from_secs(0), direction: None, offset: 0, limit: 20 };
    let listed = rig.payee().list(all).await.expect("listed");
    assert_eq!(listed.len(), 1, "{listed:?}");
}

/// A look-up by the invoice is one by its hash; a text that is none is refused.
pub async fn payments_are_found_by_their_invoice(rig: &mut impl Rig) {
    let invoice = make(rig, 1_000).await;
    let key = PaymentKey::Invoice(invoice.bolt11.clone());
    assert_eq!(rig.payer().find(&key).await.expect("answers"), None);
    rig.payer().pay(payment(&invoice)).await.expect("paid");
    for key in [key, PaymentKey::Hash(invoice.payment_hash)] {
        for wallet in [rig.payee(), rig.payer()] {
            let seen = wallet.find(&key).await.expect("answers").expect("known");
            assert_eq!(seen.payment_hash, invoice.payment_hash);
            assert!(matches!(seen.state, PaymentState::Settled { .. }));
        }
    }
    let nonsense = rig.payee().find(&PaymentKey::Invoice("lnbcrt1".to_owned())).await;
    assert!(matches!(nonsense, Err(WalletError::BadRequest { .. })), "{nonsense:?}");
}

/// What the wallet said last is known, with its time, and is not taken for what is true now.
pub async fn balance_is_remembered_with_its_age(rig: &mut impl Rig) {
    let wallet = rig.payer();
    let asked = wallet.balance().await.expect("answers");
    assert_eq!(asked.amount, FUNDS);
    rig.pass(Duration::from_secs(60));
    let known = wallet.known_balance().await.expect("answers");
    assert!(!known.stale && known.balance.at >= asked.at.saturating_add(Duration::from_secs(60)));
    if let Some(last) = wallet.last_balance() {
        assert_eq!(last, known.balance);
    }
    wallet.shutdown().await;
    // A wallet that was shut down is not one that is away: no old figure in its place.
    assert!(wallet.known_balance().await.is_err());
}

/// The payer's amount is what moves.
pub async fn amountless_invoice_needs_an_amount(rig: &mut impl Rig) {
    let invoice = rig.amountless_invoice();
    let without = rig.payer().pay(payment(&invoice)).await;
    assert!(matches!(without, Err(WalletError::BadRequest { .. })), "{without:?}");
    let mut with = payment(&invoice);
    with.amount = Some(Millisats::new(3_000));
    let outcome = rig.payer().pay(with).await.expect("paid");
    assert!(matches!(outcome, PayOutcome::Settled { .. }), "{outcome:?}");
    assert_eq!(balance(&rig.payee()).await, Millisats::new(3_000));
}

/// A request that cannot be right moves nothing and says so.
pub async fn nonsense_is_refused_before_it_is_sent(rig: &mut impl Rig) {
    let invoice = make(rig, 1_000).await;
    let right = payment(&invoice);
    for wrong in [
        PayInvoice { payment_hash: PaymentHash([1; 32]), ..right.clone() },
        PayInvoice { amount: Some(Millisats::new(999)), ..right.clone() },
        PayInvoice { bolt11: "lnbcrt1".to_owned(), ..right.clone() },
    ] {
        let refused = rig.payer().pay(wrong).await;
        assert!(matches!(refused, Err(WalletError::BadRequest { .. })), "{refused:?}");
    }
    let nothing = NewInvoice { amount: Millisats::new(0), ..order(0) };
    let refused = rig.payee().make_invoice(nothing).await;
    assert!(matches!(refused, Err(WalletError::BadRequest { .. })), "{refused:?}");
    assert_eq!(balance(&rig.payer()).await, FUNDS);
}

/// Nothing hangs and nothing goes on after the end, which may be asked for twice.
pub async fn shutdown_ends_calls_and_events(rig: &mut impl Rig) {
    let mut events = rig.payee().events();
    rig.payee().shutdown().await;
    rig.payee().shutdown().await;
    while events.next().await.is_some() {}
    assert!(matches!(rig.payee().info().await, Err(WalletError::ShutDown)));
    assert!(matches!(rig.payee().make_invoice(order(1)).await, Err(WalletError::ShutDown)));
    assert!(rig.payee().events().next().await.is_none());
    assert!(rig.payer().info().await.is_ok());
}

const EXPIRY: Duration = Duration::from_secs(600);

fn order(msat: u64) -> NewInvoice {
    NewInvoice {
        amount: Millisats::new(msat),
        description: Some("a cup".to_owned()),
        expiry: EXPIRY,
    }
}

fn payment(invoice: &Invoice) -> PayInvoice {
    PayInvoice {
        bolt11: invoice.bolt11.clone(),
        payment_hash: invoice.payment_hash,
        amount: None,
        max_fee: None,
        timeout: Duration::from_secs(30),
    }
}

async fn make(rig: &impl Rig, msat: u64) -> Invoice {
    rig.payee().make_invoice(order(msat)).await.expect("an invoice")
}

async fn balance(wallet: &Arc<dyn LightningWallet>) -> Millisats {
    wallet.balance().await.expect("a balance").amount
}

async fn look(
    wallet: &Arc<dyn LightningWallet>,
    hash: PaymentHash,
) -> Option<super::WalletPayment> {
    wallet.lookup(hash).await.expect("an answer")
}

async fn state(wallet: &Arc<dyn LightningWallet>, invoice: &Invoice) -> Option<PaymentState> {
    look(wallet, invoice.payment_hash).await.map(|payment| payment.state)
}

async fn settled(wallet: &Arc<dyn LightningWallet>, invoice: &Invoice) -> bool {
    matches!(state(wallet, invoice).await, Some(PaymentState::Settled { .. }))
}

/// Waits for the event of this payment; others may come before it.
async fn heard(events: &mut BoxStream<'static, WalletEvent>, hash: PaymentHash) {
    loop {
        match events.next().await.expect("the wallet goes on") {
            WalletEvent::Settled(payment) if payment.payment_hash == hash => return,
            WalletEvent::Settled(_) | WalletEvent::Reconnected | WalletEvent::Disconnected => {}
        }
    }
}
