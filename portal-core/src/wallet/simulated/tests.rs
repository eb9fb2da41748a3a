use futures_util::FutureExt;

use super::*;
use crate::env::Env;
use crate::env::mock::{self, MockClock};
use crate::primitives::Timestamp;
use crate::wallet::{Direction, PaymentState};

const SAT: u64 = 1000;

fn start() -> (Env, Arc<MockClock>) {
    mock::env(Timestamp::from_secs(1_700_000_000), 1)
}

fn msat(amount: u64) -> Millisats {
    Millisats::new(amount)
}

fn order(amount: u64) -> NewInvoice {
    NewInvoice {
        amount: msat(amount),
        description: Some("a cup".to_owned()),
        expiry: Duration::from_secs(600),
    }
}

fn payment(invoice: &Invoice) -> PayInvoice {
    PayInvoice {
        bolt11: invoice.bolt11.clone(),
        payment_hash: invoice.payment_hash,
        amount: None,
        max_fee: None,
        timeout: Duration::from_secs(90),
    }
}

fn pair(network: &SimulatedNetwork) -> (Arc<SimulatedWallet>, Arc<SimulatedWallet>) {
    (
        network.wallet("merchant", msat(0)).expect("in memory"),
        network.wallet("person", msat(100 * SAT)).expect("in memory"),
    )
}

#[tokio::test]
async fn two_people_cannot_pay_one_invoice_and_no_money_appears() {
    let network = SimulatedNetwork::new(start().0);
    let (merchant, person) = pair(&network);
    let other = network.wallet("other", msat(100 * SAT)).expect("in memory");
    let invoice = merchant.make_invoice(order(7 * SAT)).await.expect("made");
    assert!(matches!(person.pay(payment(&invoice)).await, Ok(PayOutcome::Settled { .. })));
    assert!(matches!(other.pay(payment(&invoice)).await, Ok(PayOutcome::Failed { .. })));
    assert!(matches!(merchant.pay(payment(&invoice)).await, Ok(PayOutcome::Failed { .. })));
    assert_eq!(network.settled().len(), 1);
    assert_eq!(network.balance("merchant"), Some(msat(7 * SAT)));
    assert_eq!(network.balance("other"), Some(msat(100 * SAT)));
    assert_eq!(network.total(), u128::from(200 * SAT));
}

#[tokio::test]
async fn failed_payment_gives_the_money_back_and_may_be_tried_again() {
    let network = SimulatedNetwork::new(start().0);
    let (merchant, person) = pair(&network);
    let invoice = merchant.make_invoice(order(60 * SAT)).await.expect("made");
    person.order(Fault::PayLater);
    assert_eq!(person.pay(payment(&invoice)).await.expect("left"), PayOutcome::Pending);
    assert_eq!(person.pay(payment(&invoice)).await.expect("same"), PayOutcome::Pending);
    assert_eq!(network.balance("person"), Some(msat(40 * SAT)));
    network.fail(invoice.payment_hash).expect("under way");
    assert!(network.fail(invoice.payment_hash).is_err());
    assert_eq!(network.balance("person"), Some(msat(100 * SAT)));
    let seen = person.lookup(invoice.payment_hash).await.expect("answered").expect("known");
    assert_eq!((seen.direction, seen.state), (Direction::Outgoing, PaymentState::Failed));
    assert!(matches!(person.pay(payment(&invoice)).await, Ok(PayOutcome::Settled { .. })));
    assert_eq!(network.total(), u128::from(100 * SAT));
}

#[tokio::test]
async fn money_that_left_in_time_may_arrive_late() {
    let (env, clock) = start();
    let network = SimulatedNetwork::new(env);
    let (merchant, person) = pair(&network);
    let invoice = merchant.make_invoice(order(SAT)).await.expect("made");
    person.order(Fault::PayLater);
    assert_eq!(person.pay(payment(&invoice)).await.expect("left"), PayOutcome::Pending);
    clock.advance(Duration::from_secs(3600));
    network.settle(invoice.payment_hash).expect("under way");
    let seen = merchant.lookup(invoice.payment_hash).await.expect("answered").expect("known");
    assert!(matches!(seen.state, PaymentState::Settled { .. }));

    let expired = merchant.make_invoice(order(SAT)).await.expect("made");
    clock.advance(Duration::from_secs(601));
    assert!(matches!(person.pay(payment(&expired)).await, Ok(PayOutcome::Failed { .. })));
    network.accept_late(Duration::from_secs(60));
    assert!(matches!(person.pay(payment(&expired)).await, Ok(PayOutcome::Settled { .. })));
}

#[tokio::test]
async fn a_foreign_text_with_a_known_hash_is_not_paid() {
    let (env, _clock) = start();
    let network = SimulatedNetwork::new(env.clone());
    let (_merchant, person) = pair(&network);
    let elsewhere = SimulatedNetwork::new(env);
    let (stranger, _) = pair(&elsewhere);
    let invoice = stranger.make_invoice(order(SAT)).await.expect("made");
    assert!(matches!(person.pay(payment(&invoice)).await, Ok(PayOutcome::Failed { .. })));
    let mut wrong = payment(&invoice);
    wrong.payment_hash = PaymentHash([0; 32]);
    assert!(matches!(person.pay(wrong).await, Err(WalletError::BadRequest { .. })));
    let mut wrong = payment(&invoice);
    wrong.amount = Some(msat(1));
    assert!(matches!(person.pay(wrong).await, Err(WalletError::BadRequest { .. })));
}

#[tokio::test]
async fn ordered_faults_strike_once_and_only_where_they_fit() {
    let network = SimulatedNetwork::new(start().0);
    let (merchant, person) = pair(&network);
    merchant.order(Fault::OnCall(Some(Call::Balance), Trouble::Unreachable));
    merchant.order(Fault::OnCall(None, Trouble::Timeout));
    assert!(matches!(merchant.info().await, Err(WalletError::Timeout)));
    assert!(merchant.info().await.is_ok());
    assert!(matches!(merchant.balance().await, Err(WalletError::Unreachable)));
    assert!(merchant.balance().await.is_ok());

    let invoice = merchant.make_invoice(order(SAT)).await.expect("made");
    person.order(Fault::OnCall(Some(Call::Pay), Trouble::LostAnswer));
    let lost = person.pay(payment(&invoice)).await.expect_err("lost");
    assert!(lost.outcome_unknown());
    assert_eq!(network.settled().len(), 1);
    merchant.order(Fault::UnknownToLookup);
    assert_eq!(merchant.lookup(invoice.payment_hash).await.expect("answered"), None);
    assert!(merchant.lookup(invoice.payment_hash).await.expect("answered").is_some());

    let refusal = Trouble::Refuse { code: "ODD".to_owned(), message: "no".to_owned() };
    person.order(Fault::OnCall(Some(Call::Pay), refusal));
    let invoice = merchant.make_invoice(order(SAT)).await.expect("made");
    let refused = person.pay(payment(&invoice)).await;
    assert!(matches!(refused, Err(WalletError::Refused { code, .. }) if code == "ODD"));
    person.order(Fault::LiarPreimage);
    let Ok(PayOutcome::Settled { preimage, .. }) = person.pay(payment(&invoice)).await else {
        panic!("settles, with a wrong preimage");
    };
    let told = person.lookup(invoice.payment_hash).await.expect("answered").expect("known");
    let PaymentState::Settled { preimage: Some(right), .. } = told.state else {
        panic!("settled");
    };
    assert_ne!(preimage, right);
}

#[tokio::test]
async fn events_can_be_lost_or_doubled_and_end_with_the_handle() {
    let network = SimulatedNetwork::new(start().0);
    let (merchant, person) = pair(&network);
    let again = network.wallet("merchant", msat(0)).expect("in memory");
    let (mut heard, mut other) = (merchant.events(), again.events());
    merchant.order(Fault::LostNotification);
    merchant.order(Fault::DuplicateNotification);
    for _ in 0..2 {
        let invoice = merchant.make_invoice(order(SAT)).await.expect("made");
        person.pay(payment(&invoice)).await.expect("paid");
    }
    merchant.shutdown().await;
    merchant.shutdown().await;
    assert!(matches!(merchant.info().await, Err(WalletError::ShutDown)));
    // What was told before the end may be cut off by it; the other handle has all of it.
    assert!(heard.next().now_or_never().is_some_and(|event| event.is_none()));
    let first = other.next().now_or_never().flatten().expect("told");
    let second = other.next().now_or_never().flatten().expect("told twice");
    assert_eq!(first, second);
    assert!(other.next().now_or_never().is_none());
    assert!(again.info().await.is_ok());
}

#[tokio::test]
async fn ledger_file_survives_a_crash_and_a_torn_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.jsonl");
    let (env, _clock) = start();
    let (paid, open) = {
        let network = SimulatedNetwork::open(&path, env.clone()).expect("new");
        let (merchant, person) = pair(&network);
        let paid = merchant.make_invoice(order(5 * SAT)).await.expect("made");
        person.pay(payment(&paid)).await.expect("paid");
        let open = merchant.make_invoice(order(SAT)).await.expect("made");
        person.order(Fault::PayLater);
        assert_eq!(person.pay(payment(&open)).await.expect("left"), PayOutcome::Pending);
        (paid, open)
    };
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes.extend_from_slice(b"{\"record\":\"settled\",\"hash");
    std::fs::write(&path, &bytes).expect("written");
    for _ in 0..2 {
        let network = SimulatedNetwork::open(&path, env.clone()).expect("again");
        let (merchant, _) = pair(&network);
        assert_eq!(network.balance("merchant"), Some(msat(5 * SAT)));
        assert_eq!(network.balance("person"), Some(msat(94 * SAT)));
        let seen = merchant.lookup(paid.payment_hash).await.expect("answered").expect("known");
        assert!(matches!(seen.state, PaymentState::Settled { .. }));
    }
    let network = SimulatedNetwork::open(&path, env.clone()).expect("again");
    let (_, person) = pair(&network);
    network.settle(open.payment_hash).expect("still under way");
    assert!(matches!(person.pay(payment(&open)).await, Ok(PayOutcome::Settled { .. })));
    assert_eq!(network.settled().len(), 2);

    std::fs::write(&path, b"{\"record\":\"settled\",\"hash\":\"00\",\"at\":1}\n").expect("written");
    assert!(matches!(SimulatedNetwork::open(&path, env), Err(NetworkError::File(_))));
}

#[tokio::test]
async fn absurd_amounts_are_refused() {
    let network = SimulatedNetwork::new(start().0);
    let (merchant, _) = pair(&network);
    for amount in [0, u64::MAX] {
        let refused = merchant.make_invoice(order(amount)).await;
        assert!(matches!(refused, Err(WalletError::BadRequest { .. })), "{amount}");
    }
    let mut long = order(1);
    long.description = Some("x".repeat(1000));
    assert!(matches!(merchant.make_invoice(long).await, Err(WalletError::BadRequest { .. })));
    assert!(network.wallet("too much", msat(u64::MAX)).is_err());
}

mod suite {
    use crate::wallet::suite::SimulatedRig;

    async fn direct() -> SimulatedRig {
        SimulatedRig::direct()
    }

    crate::wallet_suite!(direct);
}
