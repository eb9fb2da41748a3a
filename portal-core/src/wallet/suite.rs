//! One conformance suite for every wallet: `wallet_suite!(make_rig)` turns it into tests.
//!
//! It asks what [`crate::payments`] relies on, and no more: whatever a wallet does beyond the port
//! is tested beside that wallet.

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
    PaymentHash, PaymentState, WalletError, WalletEvent,
};
use crate::env::Env;
use crate::env::mock::{self, MockClock};
use crate::primitives::{Millisats, Timestamp};

/// Two wallets that can pay each other, and a hand on what lies between them.
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
    /// Keeps the next payment under way until [`Rig::release`].
    fn hold_next_payment(&self);
    /// Lets a held payment arrive.
    fn release(&self, hash: PaymentHash);
    /// Does the next payment, but loses the answer.
    fn lose_next_answer(&self);
    /// Does not tell the payee of the next payment.
    fn lose_next_event(&self);
    /// Tells the payee of the next payment twice.
    fn double_next_event(&self);
    /// Ends whatever stands between the wallets.
    async fn end(&self);
}

/// What the payer has at first.
pub const FUNDS: Millisats = Millisats::new(1_000_000);

/// A [`Rig`] on the simulated ledger; its wallets may be wrapped in something else.
pub struct SimulatedRig {
    /// Time and randomness of everything in it.
    pub env: Env,
    /// Moves the time.
    pub clock: Arc<MockClock>,
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
        let network = SimulatedNetwork::new(env.clone());
        let merchant = network.wallet("merchant", Millisats::new(0)).expect("in memory");
        let person = network.wallet("person", FUNDS).expect("in memory");
        let (payee, payer) = (merchant.clone(), person.clone());
        Self { env, clock, network, merchant, person, payee, payer }
    }
}

#[async_trait]
impl Rig for SimulatedRig {
    fn payee(&self) -> Arc<dyn LightningWallet> {
        self.payee.clone()
    }

    fn payer(&self) -> Arc<dyn LightningWallet> {
        self.payer.clone()
    }

    fn amountless_invoice(&self) -> Invoice {
        let made = self.merchant.make_amountless_invoice(None, Duration::from_secs(600));
        made.expect("the ledger is in memory")
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn hold_next_payment(&self) {
        self.person.order(Fault::PayLater);
    }

    fn release(&self, hash: PaymentHash) {
        self.network.settle(hash).expect("the payment is under way");
    }

    fn lose_next_answer(&self) {
        self.person.order(Fault::OnCall(Some(Call::Pay), Trouble::LostAnswer));
    }

    fn lose_next_event(&self) {
        self.merchant.order(Fault::LostNotification);
    }

    fn double_next_event(&self) {
        self.merchant.order(Fault::DuplicateNotification);
    }

    async fn end(&self) {
        self.payee.shutdown().await;
        self.payer.shutdown().await;
    }
}

/// Turns the suite into tests of a wallet. `$make` is an async function that returns a [`Rig`].
#[macro_export]
macro_rules! wallet_suite {
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
            held_payment_is_pending_until_it_arrives,
            lists_come_in_pages_newest_first,
            events_are_hints_that_may_be_missing_or_doubled,
            amountless_invoice_needs_an_amount,
            nonsense_is_refused_before_it_is_sent,
            shutdown_ends_calls_and_events,
        );
    };
    (@each $make:path; $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let rig = $make().await;
                let limit = ::std::time::Duration::from_secs(60);
                tokio::time::timeout(limit, async {
                    $crate::wallet::suite::$name(&rig).await;
                    $crate::wallet::suite::Rig::end(&rig).await;
                })
                .await
                .expect("a wallet that waits for ever");
            }
        )+
    };
}

/// Information names the calls that are used here.
pub async fn tells_what_it_is(rig: &impl Rig) {
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
pub async fn invoice_says_what_was_asked_and_waits(rig: &impl Rig) {
    let invoice = make(rig, 12_345).await;
    let read = Bolt11::parse(&invoice.bolt11).expect("an invoice");
    assert_eq!(read.payment_hash, invoice.payment_hash);
    assert_eq!(read.amount, Some(Millisats::new(12_345)));
    assert_eq!(read.description.as_deref(), Some("a cup"));
    assert_eq!((read.created_at, read.expires_at), (invoice.created_at, invoice.expires_at));
    assert_eq!(invoice.expires_at.saturating_since(invoice.created_at), EXPIRY);
    let seen = look(&rig.payee(), invoice.payment_hash).await.expect("known to who made it");
    assert_eq!(seen.direction, Direction::Incoming);
    assert_eq!(seen.state, PaymentState::Pending);
    assert_eq!(seen.amount, Millisats::new(12_345));
    let other = make(rig, 12_345).await;
    assert_ne!(other.payment_hash, invoice.payment_hash);
}

/// After a payment both wallets say settled, with the preimage, and the money has moved.
pub async fn paid_invoice_is_settled_on_both_sides(rig: &impl Rig) {
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
pub async fn paying_again_moves_nothing(rig: &impl Rig) {
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
pub async fn unknown_hash_is_not_found(rig: &impl Rig) {
    assert_eq!(look(&rig.payee(), PaymentHash([7; 32])).await, None);
    let invoice = make(rig, 1_000).await;
    assert_eq!(look(&rig.payer(), invoice.payment_hash).await, None);
}

/// Nothing moves for an invoice that has ended.
pub async fn expired_invoice_is_not_paid(rig: &impl Rig) {
    let invoice = make(rig, 1_000).await;
    rig.pass(EXPIRY + Duration::from_secs(1));
    let outcome = rig.payer().pay(payment(&invoice)).await.expect("answers");
    assert!(matches!(outcome, PayOutcome::Failed { .. }), "{outcome:?}");
    assert_eq!(balance(&rig.payer()).await, FUNDS);
    let seen = look(&rig.payee(), invoice.payment_hash).await.expect("still known");
    assert!(!matches!(seen.state, PaymentState::Settled { .. }));
}

/// A refusal that is certain says so, with the wallet's own code.
pub async fn insufficient_funds_have_their_code(rig: &impl Rig) {
    let invoice = make(rig, FUNDS.as_u64() + 1).await;
    let error = rig.payer().pay(payment(&invoice)).await.expect_err("too much");
    assert!(!error.outcome_unknown());
    let WalletError::Refused { code, .. } = error else { panic!("{error}") };
    assert_eq!(code, "INSUFFICIENT_BALANCE");
    assert_eq!(balance(&rig.payer()).await, FUNDS);
}

/// A payment whose answer was lost is unknown, and a look-up finds it.
pub async fn lost_answer_is_not_a_failure(rig: &impl Rig) {
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

/// A payment under way is pending on both sides, also after the invoice's end, until it arrives.
pub async fn held_payment_is_pending_until_it_arrives(rig: &impl Rig) {
    let invoice = make(rig, 5_000).await;
    let mut events = rig.payee().events();
    rig.hold_next_payment();
    let outcome = rig.payer().pay(payment(&invoice)).await.expect("left");
    assert_eq!(outcome, PayOutcome::Pending);
    rig.pass(EXPIRY + Duration::from_secs(1));
    for wallet in [rig.payee(), rig.payer()] {
        let seen = look(&wallet, invoice.payment_hash).await.expect("known");
        assert_eq!(seen.state, PaymentState::Pending);
    }
    rig.release(invoice.payment_hash);
    heard(&mut events, invoice.payment_hash).await;
    for wallet in [rig.payee(), rig.payer()] {
        let seen = look(&wallet, invoice.payment_hash).await.expect("known");
        assert!(matches!(seen.state, PaymentState::Settled { preimage: Some(_), .. }));
    }
}

/// More than one page can be listed, newest first, with offset, limit, time and direction.
pub async fn lists_come_in_pages_newest_first(rig: &impl Rig) {
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

/// A lost event does not hide a payment, a doubled one does not make it two.
pub async fn events_are_hints_that_may_be_missing_or_doubled(rig: &impl Rig) {
    let mut events = rig.payee().events();
    rig.lose_next_event();
    let silent = make(rig, 1_000).await;
    rig.payer().pay(payment(&silent)).await.expect("paid");
    let seen = look(&rig.payee(), silent.payment_hash).await.expect("known");
    assert!(matches!(seen.state, PaymentState::Settled { .. }));
    rig.double_next_event();
    let loud = make(rig, 1_000).await;
    rig.payer().pay(payment(&loud)).await.expect("paid");
    heard(&mut events, loud.payment_hash).await;
    assert_eq!(balance(&rig.payee()).await, Millisats::new(2_000));
}

/// The payer's amount is what moves.
pub async fn amountless_invoice_needs_an_amount(rig: &impl Rig) {
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
pub async fn nonsense_is_refused_before_it_is_sent(rig: &impl Rig) {
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
pub async fn shutdown_ends_calls_and_events(rig: &impl Rig) {
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

/// Waits for the event of this payment; others may come before it.
async fn heard(events: &mut BoxStream<'static, WalletEvent>, hash: PaymentHash) {
    loop {
        match events.next().await.expect("the wallet goes on") {
            WalletEvent::Settled(payment) if payment.payment_hash == hash => return,
            WalletEvent::Settled(_) | WalletEvent::Reconnected | WalletEvent::Disconnected => {}
        }
    }
}
