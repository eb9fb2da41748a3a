//! Recurring payments: agreed, closed by their owner, not by others.

use super::bench::{Bench, ask, at, derived, key, public, stream};
use crate::conversation::Conversation;
use crate::conversation::ask::Question;
use crate::event::PortalEvent;
use crate::identity::LocalKey;
use crate::primitives::RequestId;
use crate::protocol::Currency;
use crate::protocol::envelope::Refusal;
use crate::protocol::kinds::{RECURRING_CLOSE, RECURRING_RESPONSE};
use crate::protocol::subkey::SubkeyPermission;
use crate::protocol::subscription::{
    CloseRecurringPayment, Recurrence, RecurringPaymentResponse, RecurringStatus,
};

const CLOSES: u128 = 1000;

fn confirms(request_id: &str, subscription_id: &str) -> RecurringPaymentResponse {
    RecurringPaymentResponse {
        request_id: RequestId::new(request_id),
        status: RecurringStatus::Confirmed {
            subscription_id: subscription_id.to_owned(),
            authorized_amount: 1,
            authorized_currency: Currency::Millisats,
            authorized_recurrence: Recurrence {
                until: None,
                calendar: "monthly".parse().expect("a calendar"),
                max_payments: None,
                first_payment_due: at(0),
            },
        },
    }
}

fn close(subscription_id: &str) -> CloseRecurringPayment {
    let subscription_id = subscription_id.to_owned();
    CloseRecurringPayment { subscription_id, reason: Some("moved".to_owned()), by_service: false }
}

fn bench() -> Bench {
    let mut bench = Bench::service();
    bench.open(stream(CLOSES), Conversation::Closes);
    let question = Question::Recurring { request_id: RequestId::new("r") };
    bench.open(stream(1), ask(public(2), question));
    bench
}

fn confirmed(by: &LocalKey) -> Bench {
    let mut bench = bench();
    let seen = bench.message(by, RECURRING_RESPONSE, &confirms("r", "sub-1"), at(1));
    assert!(matches!(seen.event(), PortalEvent::RecurringPaymentResponse { .. }));
    assert!(bench.ended.contains(&stream(1)));
    bench
}

fn closed(bench: &Bench) -> usize {
    bench.log.get(&stream(CLOSES)).map_or(0, Vec::len)
}

#[test]
fn rejected_leaves_nothing_behind() {
    let mut bench = bench();
    let stranger = bench.message(&key(3), RECURRING_RESPONSE, &confirms("r", "sub-1"), at(1));
    assert_eq!(stranger.refused(), Refusal::WrongAuthor);
    let status = RecurringStatus::Rejected { reason: None };
    let answer = RecurringPaymentResponse { request_id: RequestId::new("r"), status };
    bench.message(&key(2), RECURRING_RESPONSE, &answer, at(1));
    assert_eq!(bench.engine.len(), 1, "the stream of closes");
}

#[test]
fn closed_by_its_owner_after_a_restart() {
    let mut bench = confirmed(&key(2));
    bench.restart();
    assert!(bench.tick(at(10_000_000)).is_nothing(), "it has no end of its own");
    let seen = bench.message(&key(2), RECURRING_CLOSE, &close("sub-1"), at(5)).event();
    let expected = PortalEvent::ClosedRecurringPayment {
        reason: Some("moved".to_owned()),
        subscription_id: "sub-1".to_owned(),
        recipient: public(2),
        main_key: public(2),
    };
    assert_eq!(seen, expected);
    assert_eq!(bench.engine.len(), 1);
}

#[test]
fn closed_by_a_stranger_is_ignored() {
    let mut bench = confirmed(&key(2));
    let seen = bench.message(&key(3), RECURRING_CLOSE, &close("sub-1"), at(5));
    assert_eq!(seen.refused(), Refusal::WrongAuthor);
    assert_eq!((closed(&bench), bench.engine.len()), (0, 2), "still active");
}

#[test]
fn closed_by_a_subkey_that_confirmed() {
    let mut bench = bench();
    let sub = derived(&key(2), 1, &[SubkeyPermission::Payment]);
    bench.proof(stream(1), &sub, at(1));
    bench.message(&sub, RECURRING_RESPONSE, &confirms("r", "sub-1"), at(2));
    let seen = bench.message(&sub, RECURRING_CLOSE, &close("sub-1"), at(5)).event();
    let PortalEvent::ClosedRecurringPayment { main_key, recipient, .. } = seen else { panic!() };
    assert_eq!((main_key, recipient), (public(2), sub.public_key()));
}

#[test]
fn two_owners_may_choose_one_id() {
    let mut bench = confirmed(&key(2));
    let question = Question::Recurring { request_id: RequestId::new("s") };
    bench.open(stream(2), ask(public(3), question));
    bench.message(&key(3), RECURRING_RESPONSE, &confirms("s", "sub-1"), at(1));
    let seen = bench.message(&key(2), RECURRING_CLOSE, &close("sub-1"), at(5)).event();
    assert!(
        matches!(seen, PortalEvent::ClosedRecurringPayment { main_key, .. } if main_key == public(2))
    );
    let seen = bench.message(&key(3), RECURRING_CLOSE, &close("sub-1"), at(6)).event();
    assert!(
        matches!(seen, PortalEvent::ClosedRecurringPayment { main_key, .. } if main_key == public(3))
    );
}

#[test]
fn a_close_by_the_service_or_without_a_listener_is_ignored() {
    let mut bench = confirmed(&key(2));
    let ours = CloseRecurringPayment { by_service: true, ..close("sub-1") };
    assert_eq!(
        bench.message(&key(2), RECURRING_CLOSE, &ours, at(5)).refused(),
        Refusal::Unexpected
    );
    let step = bench.engine.close(stream(CLOSES));
    bench.apply(step);
    let seen = bench.message(&key(2), RECURRING_CLOSE, &close("sub-1"), at(5));
    assert_eq!(seen.refused(), Refusal::Unexpected);
    assert_eq!(bench.engine.len(), 1, "the subscription is not lost");
}

#[test]
fn closes_of_unknown_subscriptions_are_passed_on_and_bounded() {
    let mut bench = confirmed(&key(2));
    let mut passed = 0;
    for number in 0..1000 {
        let seen = bench.message(&key(3), RECURRING_CLOSE, &close(&format!("x{number}")), at(5));
        if seen.events.is_empty() {
            assert_eq!(seen.refused(), Refusal::TooMany);
        } else {
            passed += 1;
        }
    }
    assert!((1..=60).contains(&passed), "{passed}: each is kept for ever");
    // The owner of a known one is not held up by a flood.
    let seen = bench.message(&key(2), RECURRING_CLOSE, &close("sub-1"), at(5));
    assert_eq!(seen.events.len(), 1);
    let seen = bench.message(&key(3), RECURRING_CLOSE, &close("later"), at(65));
    assert_eq!(seen.events.len(), 1, "the next minute");
    let huge = bench.message(&key(3), RECURRING_CLOSE, &close(&"x".repeat(2000)), at(200));
    assert_eq!(huge.refused(), Refusal::TooLarge);
}
