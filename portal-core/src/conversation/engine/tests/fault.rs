//! A machine that panics: its own conversation ends at the most, and the others go on.

use super::bench::{Bench, MSATS, Seen, ask, at, key, login, payment, public, stream};
use crate::conversation::ask::Question;
use crate::conversation::{Effect, Engine, Fault, Limits, Role};
use crate::event::{PaymentUpdate, PortalEvent};
use crate::primitives::{ErrorCode, RequestId};
use crate::protocol::auth::{AuthResponse, AuthStatus};
use crate::protocol::envelope::Refusal;
use crate::protocol::kinds::{AUTH_RESPONSE, PAYMENT_RESPONSE};
use crate::protocol::payment::{PaymentResponse, PaymentStatus};

fn answer(challenge: &str) -> AuthResponse {
    let status = AuthStatus::Declined { reason: None };
    AuthResponse { challenge: challenge.to_owned(), subkey_proof: None, status }
}

/// Two logins: `challenge` on stream 1, `other` on stream 2.
fn two() -> Bench {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    bench.open(stream(2), ask(public(3), Question::Login { challenge: "other".into() }));
    bench
}

fn is_internal(seen: &Seen, number: u128) -> bool {
    let internal =
        |event: &PortalEvent| matches!(event, PortalEvent::Error { code: ErrorCode::Internal, .. });
    seen.events.iter().any(|(of, event)| *of == stream(number) && internal(event))
        && seen.effects.contains(&Effect::Ended(stream(number)))
        && seen.effects.contains(&Effect::Fault(Some(stream(number))))
}

#[test]
fn a_fault_on_an_answer_ends_its_login_with_an_error_and_no_other() {
    let mut bench = two();
    bench.engine.poison(stream(1), 1);
    let seen = bench.message(&key(2), AUTH_RESPONSE, &answer("challenge"), at(1));
    assert!(is_internal(&seen, 1), "{seen:?}");
    let again = bench.message(&key(2), AUTH_RESPONSE, &answer("challenge"), at(2));
    assert_eq!(again.refused(), Refusal::Unexpected, "nothing is left of it");
    let other = bench.message(&key(3), AUTH_RESPONSE, &answer("other"), at(2));
    assert!(matches!(other.event(), PortalEvent::AuthenticateKey { .. }));
    assert!(bench.engine.is_empty());
}

#[test]
fn a_fault_at_a_deadline_does_not_keep_another_from_its_own() {
    let mut bench = two();
    bench.engine.poison(stream(1), 1);
    let seen = bench.tick(at(300));
    assert!(is_internal(&seen, 1), "{seen:?}");
    let timeout =
        |event: &PortalEvent| matches!(event, PortalEvent::Error { code: ErrorCode::Timeout, .. });
    assert!(seen.events.iter().any(|(of, event)| *of == stream(2) && timeout(event)), "{seen:?}");
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn a_fault_on_a_status_leaves_the_payment_pending_and_paid_comes() {
    let mut bench = Bench::service();
    bench.open(stream(1), payment(public(2), "p", Some(9)));
    bench.engine.poison(stream(1), 1);
    let status = PaymentStatus::Approved;
    let response = PaymentResponse { request_id: RequestId::new("p"), status };
    let seen = bench.message(&key(2), PAYMENT_RESPONSE, &response, at(1));
    assert!(seen.events.is_empty(), "{seen:?}");
    assert_eq!(seen.effects, [Effect::Fault(Some(stream(1)))]);
    let step = bench.engine.settled([9; 32], Some("ab"), MSATS);
    let paid = bench.apply(step).event();
    let PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::Paid { .. } } = paid else {
        panic!("paid, not {paid:?}")
    };
}

#[test]
fn a_fault_on_the_money_of_one_request_pays_the_other_and_then_it() {
    let mut bench = Bench::service();
    bench.open(stream(1), payment(public(2), "p", Some(9)));
    bench.open(stream(2), payment(public(3), "q", Some(9)));
    bench.engine.poison(stream(1), 1);
    let step = bench.engine.settled([9; 32], Some("ab"), MSATS);
    let seen = bench.apply(step);
    assert_eq!(seen.received, [(stream(2), MSATS)]);
    let step = bench.engine.settled([9; 32], Some("ab"), MSATS);
    assert_eq!(bench.apply(step).received, [(stream(1), MSATS)], "the wallet says it again");
}

#[test]
fn one_that_fails_when_it_is_sent_again_holds_up_no_other() {
    let mut bench = two();
    bench.engine.poison(stream(2), 1);
    let first = bench.engine.owed(None, false, |_| true);
    assert_eq!(first.map(|(of, owed)| (of, owed.err())), Some((stream(2), Some(Fault))));
    let (next, owed) = bench.engine.owed(Some(stream(2)), false, |_| true).expect("the other");
    assert_eq!((next, owed.expect("well").len()), (stream(1), 1));
}

#[test]
fn one_that_cannot_even_be_ended_is_forgotten() {
    let mut engine = Engine::new(Role::Service, Limits::default());
    drop(engine.open(stream(1), login(public(2))));
    engine.poison(stream(1), 2);
    let step = engine.tick(at(300), 10);
    assert_eq!(step.effects, [Effect::Ended(stream(1)), Effect::Fault(Some(stream(1)))]);
    assert!(engine.is_empty() && engine.next_deadline().is_none());
    assert!(engine.owed(None, false, |_| true).is_none());
}

#[test]
fn what_fails_when_it_is_opened_is_not_open() {
    let mut engine = Engine::new(Role::Service, Limits::default());
    engine.poison(stream(1), 1);
    let step = engine.open(stream(1), login(public(2)));
    assert!(step.is_faulty() && engine.is_empty());
    assert!(!step.effects.iter().any(|effect| matches!(effect, Effect::Publish(_))));
}
