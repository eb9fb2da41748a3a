//! Asking for money.

use super::bench::{Bench, MSATS, Seen, at, derived, key, payment, public, stream};
use crate::conversation::payment::GRACE_SECS;
use crate::conversation::{Conversation, Effect};
use crate::event::{PaymentUpdate, PortalEvent};
use crate::primitives::RequestId;
use crate::protocol::envelope::Refusal;
use crate::protocol::kinds::{PAYMENT_CONFIRMATION, PAYMENT_RESPONSE};
use crate::protocol::payment::{PaymentResponse, PaymentStatus};
use crate::protocol::subkey::SubkeyPermission;

const HASH: [u8; 32] = [9; 32];

fn says(status: PaymentStatus) -> PaymentResponse {
    PaymentResponse { request_id: RequestId::new("p"), status }
}

fn success() -> PaymentStatus {
    PaymentStatus::Success { preimage: None }
}

fn rejected() -> PaymentStatus {
    PaymentStatus::Rejected { reason: Some("no".to_owned()) }
}

fn failed() -> PaymentStatus {
    PaymentStatus::Failed { reason: None }
}

fn asked() -> Bench {
    let mut bench = Bench::service();
    bench.open(stream(1), payment(public(2), "p", Some(9)));
    bench
}

fn payer(bench: &mut Bench, status: PaymentStatus, second: u64) -> Seen {
    bench.message(&key(2), PAYMENT_RESPONSE, &says(status), at(second))
}

fn settle(bench: &mut Bench) -> Seen {
    let step = bench.engine.settled(HASH, Some("ab"), MSATS);
    bench.apply(step)
}

fn unsettled(bench: &mut Bench, second: u64) -> Seen {
    let step = bench.engine.unsettled(HASH, at(second));
    bench.apply(step)
}

fn words(bench: &Bench) -> Vec<&'static str> {
    let word = |event: &PortalEvent| match event {
        PortalEvent::PaymentStatusUpdate { status } => match status {
            PaymentUpdate::UserApproved => "approved",
            PaymentUpdate::UserSuccess { .. } => "success",
            PaymentUpdate::UserFailed { .. } => "failed",
            PaymentUpdate::UserRejected { .. } => "rejected",
            PaymentUpdate::Paid { late: false, .. } => "paid",
            PaymentUpdate::Paid { late: true, .. } => "late",
            PaymentUpdate::Timeout => "timeout",
            PaymentUpdate::Error { .. } => "error",
        },
        other => panic!("a payment's status, not {other:?}"),
    };
    bench.log.get(&stream(1)).into_iter().flatten().map(word).collect()
}

#[test]
fn opening_publishes_and_watches() {
    let mut bench = Bench::service();
    let seen = bench.open(stream(1), payment(public(2), "p", Some(9)));
    assert_eq!(seen.published.len(), 1);
    let watch = Effect::Watch { payment_hash: HASH, since: at(0), now: false };
    assert!(seen.effects.contains(&watch));
    assert!(bench.restart().effects.contains(&watch), "also after a restart");
}

#[test]
fn approved_success_paid_each_once_and_nothing_after() {
    let mut bench = asked();
    payer(&mut bench, PaymentStatus::Approved, 1);
    assert_eq!(payer(&mut bench, PaymentStatus::Approved, 2).refused(), Refusal::Duplicate);
    let claim = payer(&mut bench, success(), 3);
    let watch = Effect::Watch { payment_hash: HASH, since: at(0), now: true };
    assert!(claim.effects.contains(&watch), "a claim makes us look");
    for status in [success(), failed(), rejected(), PaymentStatus::Approved] {
        assert_eq!(payer(&mut bench, status, 4).refused(), Refusal::Duplicate);
    }
    let paid = settle(&mut bench);
    assert!(paid.effects.contains(&Effect::Unwatch { payment_hash: HASH }));
    assert_eq!(words(&bench), ["approved", "success", "paid"]);
    assert_eq!(payer(&mut bench, success(), 5).refused(), Refusal::Unexpected);
    assert!(settle(&mut bench).is_nothing(), "nothing follows paid");
    assert!(bench.tick(at(10_000)).is_nothing());
}

#[test]
fn paid_without_a_word_of_the_phone() {
    let mut bench = asked();
    settle(&mut bench);
    assert_eq!(words(&bench), ["paid"]);
}

#[test]
fn a_claim_alone_is_never_paid() {
    let mut bench = asked();
    payer(&mut bench, success(), 1);
    bench.tick(at(300));
    unsettled(&mut bench, 300 + GRACE_SECS);
    assert_eq!(words(&bench), ["success", "timeout"]);
    assert!(bench.engine.is_empty());
}

#[test]
fn approved_after_expiry_is_ignored() {
    let mut bench = asked();
    assert_eq!(payer(&mut bench, PaymentStatus::Approved, 300).refused(), Refusal::Expired);
    bench.tick(at(300));
    assert_eq!(payer(&mut bench, success(), 301).refused(), Refusal::Expired);
    assert_eq!(words(&bench), ["timeout"]);
}

#[test]
fn paid_after_rejected_and_after_failed() {
    for status in [rejected(), failed()] {
        let mut bench = asked();
        payer(&mut bench, status, 1);
        bench.tick(at(300));
        assert_eq!(words(&bench).len(), 1, "a person who said no does not time out");
        settle(&mut bench);
        assert_eq!(words(&bench)[1], "paid");
    }
}

#[test]
fn paid_after_timeout_is_late() {
    let mut bench = asked();
    let timeout = bench.tick(at(300));
    let watch = Effect::Watch { payment_hash: HASH, since: at(0), now: true };
    assert!(timeout.effects.contains(&watch), "the end makes us look");
    assert!(unsettled(&mut bench, 301).is_nothing(), "an hour is granted");
    bench.restart();
    settle(&mut bench);
    assert_eq!(words(&bench), ["timeout", "late"]);
}

#[test]
fn the_end_of_grace_needs_the_wallets_word() {
    let mut bench = asked();
    bench.tick(at(300));
    let end = 300 + GRACE_SECS;
    assert!(bench.engine.next_deadline() == Some(at(end)));
    for round in 0..5 {
        // The wallet errs: it is asked again and again.
        let seen = bench.tick(at(end + round * 30));
        let watch = Effect::Watch { payment_hash: HASH, since: at(0), now: true };
        assert_eq!(seen.effects, [watch]);
    }
    assert!(unsettled(&mut bench, end - 1).is_nothing(), "an answer from before does not count");
    let seen = unsettled(&mut bench, end);
    assert!(seen.effects.contains(&Effect::Ended(stream(1))));
    assert!(bench.engine.is_empty());
}

#[test]
fn an_invoice_that_outlives_its_request_is_watched_to_its_own_end() {
    let mut bench = Bench::service();
    let mut conversation = payment(public(2), "p", Some(9));
    if let Conversation::Payment(payment) = &mut conversation {
        payment.watched.as_mut().expect("watched").payable_until = at(86_400);
    }
    bench.open(stream(1), conversation);
    bench.tick(at(300));
    assert!(unsettled(&mut bench, 300 + GRACE_SECS).is_nothing(), "it can still be paid");
    settle(&mut bench);
    assert_eq!(words(&bench), ["timeout", "late"]);
}

#[test]
fn two_requests_for_one_invoice_are_both_paid() {
    let mut bench = asked();
    bench.open(stream(2), payment(public(3), "q", Some(9)));
    let step = bench.engine.close(stream(1));
    let closed = bench.apply(step);
    assert_eq!(closed.effects, [Effect::Ended(stream(1))], "the other one is still watched");
    bench.open(stream(3), payment(public(2), "p", Some(9)));
    let paid = settle(&mut bench);
    assert_eq!(
        paid.events.iter().map(|(stream, _)| *stream).collect::<Vec<_>>(),
        [stream(2), stream(3)]
    );
    assert!(paid.effects.contains(&Effect::Unwatch { payment_hash: HASH }));
}

#[test]
fn without_a_wallet_that_knows_the_invoice_the_payers_last_word_ends_it() {
    for (status, ends) in
        [(PaymentStatus::Approved, false), (success(), true), (rejected(), true), (failed(), true)]
    {
        let mut bench = Bench::service();
        bench.open(stream(1), payment(public(2), "p", None));
        payer(&mut bench, status, 1);
        assert_eq!(bench.engine.is_empty(), ends);
    }
    let mut bench = Bench::service();
    bench.open(stream(1), payment(public(2), "p", None));
    bench.tick(at(300));
    assert_eq!(words(&bench), ["timeout"]);
    assert!(bench.engine.is_empty());
}

#[test]
fn a_stranger_or_another_request_id_moves_nothing() {
    let mut bench = asked();
    let stranger = bench.message(&key(3), PAYMENT_RESPONSE, &says(success()), at(1));
    assert_eq!(stranger.refused(), Refusal::WrongAuthor);
    let other = PaymentResponse { request_id: RequestId::new("P"), status: success() };
    let other = bench.message(&key(2), PAYMENT_RESPONSE, &other, at(1));
    assert_eq!(other.refused(), Refusal::Unexpected);
    assert!(words(&bench).is_empty());
    bench.message(&key(2), PAYMENT_CONFIRMATION, &says(PaymentStatus::Approved), at(1));
    assert_eq!(words(&bench), ["approved"], "kind 28002 reads like 28001");
}

#[test]
fn only_an_unanswered_request_is_sent_again_and_negotiates() {
    let mut bench = asked();
    assert_eq!(bench.owed().len(), 1);
    let sub = derived(&key(2), 1, &[SubkeyPermission::Payment]);
    let logs_in_only = derived(&key(2), 2, &[SubkeyPermission::Auth]);
    assert_eq!(bench.proof(stream(1), &logs_in_only, at(1)).refused(), Refusal::BadProof);
    assert_eq!(bench.proof(stream(1), &sub, at(1)).published[0].recipients, [sub.public_key()]);
    assert_eq!(bench.owed()[0].recipients, [public(2), sub.public_key()]);
    bench.message(&sub, PAYMENT_RESPONSE, &says(PaymentStatus::Approved), at(2));
    assert!(bench.owed().is_empty());
    let third = derived(&key(2), 3, &[SubkeyPermission::Payment]);
    assert_eq!(bench.proof(stream(1), &third, at(3)).refused(), Refusal::Expired);
    assert_eq!(words(&bench), ["approved"]);
}

/// Everything that can happen, in every order of four.
#[test]
fn every_order_keeps_the_rules() {
    const INPUTS: u32 = 8;
    const LENGTH: u32 = 4;
    for order in 0..INPUTS.pow(LENGTH) {
        let mut bench = asked();
        let mut now = 1;
        let mut settled = false;
        for place in 0..LENGTH {
            let open = !bench.engine.is_empty();
            match order / INPUTS.pow(place) % INPUTS {
                0 => drop(payer(&mut bench, PaymentStatus::Approved, now)),
                1 => drop(payer(&mut bench, success(), now)),
                2 => drop(payer(&mut bench, rejected(), now)),
                3 => drop(payer(&mut bench, failed(), now)),
                4 => {
                    settle(&mut bench);
                    settled |= open;
                }
                5 => {
                    now += 300;
                    bench.tick(at(now));
                }
                6 => {
                    now += 300 + GRACE_SECS;
                    unsettled(&mut bench, now);
                }
                _ => drop(bench.restart()),
            }
        }
        let words = words(&bench);
        for word in ["approved", "success", "rejected", "failed", "timeout"] {
            assert!(words.iter().filter(|other| **other == word).count() <= 1, "{words:?}");
        }
        let place = |word| words.iter().position(|other| *other == word);
        let money = place("paid").or(place("late"));
        assert_eq!(money.is_some(), settled, "paid if and only if settled: {words:?}");
        assert!(money.is_none_or(|at| at + 1 == words.len()), "nothing follows paid: {words:?}");
        assert_eq!(place("late").is_some(), money.is_some() && place("timeout").is_some());
        assert!(place("approved").is_none_or(|at| at == 0), "{words:?}");
        let last_words = ["success", "rejected", "failed"];
        assert!(words.iter().filter(|word| last_words.contains(word)).count() <= 1, "{words:?}");
        if let Some(timeout) = place("timeout") {
            assert!(words[timeout + 1..].iter().all(|word| *word == "late"), "{words:?}");
            assert!(!words.contains(&"rejected") && !words.contains(&"failed"), "{words:?}");
        }
    }
}
