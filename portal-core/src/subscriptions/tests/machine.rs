//! One behaviour a test.

use super::super::journal::request_id;
use super::*;
use crate::event::{ChargeFailure, PaymentUpdate, SubscriptionEnd};
use crate::protocol::subscription::{Recurrence, RecurringStatus};

fn paid() -> PaymentUpdate {
    PaymentUpdate::Paid { preimage: None, late: false }
}

/// Asks for what is due; the stream of the payment is named by its number.
fn charge(subscription: &mut Subscription, payment: u128, now: Timestamp) -> u64 {
    let Look::Charge { amount, .. } = subscription.look(now) else {
        panic!("nothing to charge: {:?}", subscription.phase)
    };
    let change = subscription.charge_begun(stream(payment), now);
    assert_eq!(words(&change.events), ["charge_created"]);
    amount
}

fn hear(
    subscription: &mut Subscription,
    payment: u128,
    update: &PaymentUpdate,
    now: Timestamp,
) -> Vec<SubscriptionUpdate> {
    subscription.heard(stream(payment), update, now).map(|change| change.events).unwrap_or_default()
}

/// The payment is asked for, fails, and its stream ends.
fn fail(subscription: &mut Subscription, payment: u128, now: Timestamp) -> Vec<String> {
    charge(subscription, payment, now);
    let events = hear(subscription, payment, &PaymentUpdate::Timeout, now);
    drop(subscription.charge_ended(stream(payment), now).expect("it was open"));
    words(&events)
}

#[test]
fn a_period_that_is_paid_is_followed_by_the_next_of_the_calendar() {
    let mut it = begun(terms("monthly"), Policy::default());
    assert_eq!(charge(&mut it, 10, at(5)), 1_000_000);
    assert_eq!(it.look(at(DAY)), Look::Nothing, "it waits for the payment");
    let events = hear(&mut it, 10, &paid(), at(60 * DAY));
    // A late payment does not move the calendar: the next period was due in February.
    let february = Timestamp::from_secs(1_738_368_000);
    assert!(matches!(
        events.as_slice(),
        [SubscriptionUpdate::ChargePaid { period: 0, paid: 1, next_due, .. }]
            if *next_due == Some(february)
    ));
    assert!(matches!(it.look(at(60 * DAY)), Look::Charge { period: 1, attempt: 0, due, .. }
        if due == february));
}

#[test]
fn nothing_is_due_before_its_time_whatever_the_clock_did() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    hear(&mut it, 10, &paid(), at(0));
    for early in [at(DAY - 1), at(0), Timestamp::from_secs(0)] {
        assert_eq!(it.look(early), Look::Nothing);
    }
    assert!(matches!(it.look(at(DAY)), Look::Charge { period: 1, .. }));
}

#[test]
fn a_failed_charge_is_asked_for_again_after_1_h_1_d_3_d_and_5_d_then_past_due_then_closed() {
    let mut it = daily();
    let mut now = at(0);
    for (payment, wait) in [(10, HOUR), (11, DAY), (12, 3 * DAY), (13, 5 * DAY)] {
        assert_eq!(fail(&mut it, payment, now), ["charge_failed"]);
        let next = now.saturating_add(std::time::Duration::from_secs(wait));
        assert_eq!(it.look(Timestamp::from_secs(next.as_secs() - 1)), Look::Nothing);
        now = next;
    }
    assert_eq!(fail(&mut it, 14, now), ["charge_failed", "past_due"]);
    assert_eq!(it.look(now), Look::Nothing);
    let end = now.saturating_add(std::time::Duration::from_secs(7 * DAY));
    let Look::Moved(change) = it.look(end) else { panic!("it is closed") };
    assert_eq!(words(&change.events), ["closed"]);
    assert!(change.goodbye, "the person is told");
    assert_eq!(it.info().why, Some(SubscriptionEnd::Unpaid));
    assert_eq!(it.due_at(), None);
}

#[test]
fn the_next_attempt_waits_until_the_last_one_can_no_longer_be_paid() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    hear(&mut it, 10, &PaymentUpdate::UserRejected { reason: None }, at(1));
    assert_eq!(it.look(at(10 * DAY)), Look::Nothing, "its invoice may still be paid");
    drop(it.charge_ended(stream(10), at(10 * DAY)).expect("it was open"));
    assert!(matches!(it.look(at(10 * DAY)), Look::Charge { period: 0, attempt: 1, .. }));
}

#[test]
fn late_money_pays_the_period_and_no_attempt_follows() {
    for past_due in [false, true] {
        let mut it = daily();
        let last = if past_due { 4 } else { 0 };
        for payment in 0..last {
            fail(&mut it, 10 + payment, at(20 * DAY * u64::try_from(payment).expect("small")));
        }
        let now = at(100 * DAY);
        charge(&mut it, 20, now);
        hear(&mut it, 20, &PaymentUpdate::Timeout, now);
        assert_eq!(matches!(it.phase, Phase::PastDue { .. }), past_due);
        let late = PaymentUpdate::Paid { preimage: None, late: true };
        assert_eq!(words(&hear(&mut it, 20, &late, now)), ["charge_paid"]);
        assert_eq!((it.period, it.attempts, it.paid), (1, 0, 1));
        assert_eq!(it.phase, Phase::Active);
        assert_eq!(hear(&mut it, 20, &late, now), [], "told again");
    }
}

#[test]
fn what_another_payment_says_is_ignored() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    assert_eq!(hear(&mut it, 11, &paid(), at(0)), []);
    assert!(it.charge_ended(stream(11), at(0)).is_none());
    assert_eq!(hear(&mut it, 10, &PaymentUpdate::UserApproved, at(0)), []);
    let claim = PaymentUpdate::UserSuccess { preimage: Some("00".to_owned()) };
    assert_eq!(hear(&mut it, 10, &claim, at(0)), [], "a claim is not money");
    assert_eq!(it.paid, 0);
}

#[test]
fn a_charge_without_a_trace_is_never_asked_for_again_by_itself() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    let change = it.charge_lost(stream(10), at(40 * DAY)).expect("it was open");
    assert_eq!(words(&change.events), ["charge_failed", "past_due"]);
    assert!(matches!(
        change.events[0],
        SubscriptionUpdate::ChargeFailed { cause: ChargeFailure::Unknown, retry_at: None, .. }
    ));
    assert_eq!(it.look(at(41 * DAY)), Look::Nothing);
    drop(it.resume(at(41 * DAY)).expect("the merchant may"));
    assert!(matches!(it.look(at(41 * DAY)), Look::Charge { period: 0, attempt: 1, .. }));
}

#[test]
fn the_last_period_completes_it() {
    for terms in [
        Terms { max_payments: Some(2), ..terms("daily") },
        Terms { until: Some(at(DAY + 5)), ..terms("daily") },
    ] {
        let mut it = begun(terms, Policy::default());
        charge(&mut it, 10, at(0));
        assert_eq!(words(&hear(&mut it, 10, &paid(), at(0))), ["charge_paid"]);
        charge(&mut it, 11, at(DAY));
        assert_eq!(words(&hear(&mut it, 11, &paid(), at(DAY))), ["charge_paid", "closed"]);
        assert_eq!(it.info().why, Some(SubscriptionEnd::Completed));
    }
    let none = Terms { until: Some(at(0)), first_due: at(5), ..terms("daily") };
    let (_, change) = Subscription::agreed(stream(1), none, 1, Policy::default(), at(0));
    assert_eq!(words(&change.events), ["scheduled", "closed"]);
}

#[test]
fn a_pause_leaves_out_the_periods_that_fall_into_it() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    hear(&mut it, 10, &paid(), at(0));
    assert_eq!(words(&it.pause().expect("it runs").events), ["paused"]);
    assert_eq!(it.pause().expect("again").events, []);
    assert_eq!(it.look(at(5 * DAY)), Look::Nothing);
    let change = it.resume(at(4 * DAY + HOUR)).expect("it runs");
    assert_eq!(change.events, [SubscriptionUpdate::Resumed { next_due: Some(at(5 * DAY)) }]);
    assert!(matches!(it.look(at(5 * DAY)), Look::Charge { period: 1, due, .. }
        if due == at(5 * DAY)));
    // One that no period fell into changes nothing.
    charge(&mut it, 11, at(5 * DAY));
    hear(&mut it, 11, &paid(), at(5 * DAY));
    drop(it.pause().expect("it runs"));
    drop(it.resume(at(5 * DAY + HOUR)).expect("it runs"));
    assert_eq!(it.due, Some(at(6 * DAY)));
}

#[test]
fn an_open_charge_can_be_paid_during_a_pause() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    drop(it.pause().expect("it runs"));
    assert_eq!(words(&hear(&mut it, 10, &paid(), at(1))), ["charge_paid"]);
    assert_eq!(it.look(at(3 * DAY)), Look::Nothing);
}

#[test]
fn after_an_outage_each_period_or_only_the_last_is_charged() {
    let mut each = daily();
    for period in 0..5 {
        let payment = 10 + u128::from(period);
        charge(&mut each, payment, at(4 * DAY + 5));
        let open = each.charge.expect("open");
        assert_eq!((open.period, open.due), (period, at(u64::from(period) * DAY)));
        hear(&mut each, payment, &paid(), at(4 * DAY + 5));
    }
    assert_eq!(each.look(at(4 * DAY + 5)), Look::Nothing);

    let latest = Policy { catch_up: CatchUp::Latest, ..Policy::default() };
    let mut it = begun(terms("daily"), latest);
    let Look::Moved(change) = it.look(at(4 * DAY + 5)) else { panic!("periods are left out") };
    let skipped = SubscriptionUpdate::Skipped { from: at(0), to: at(4 * DAY) };
    assert_eq!(change.events, [skipped]);
    charge(&mut it, 10, at(4 * DAY + 5));
    hear(&mut it, 10, &paid(), at(4 * DAY + 5));
    assert_eq!(it.look(at(4 * DAY + 5)), Look::Nothing);
    assert_eq!(it.due, Some(at(5 * DAY)));
}

#[test]
fn a_change_holds_from_the_next_period_and_is_prorated_on_request() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    hear(&mut it, 10, &paid(), at(0));
    // A quarter of the day is left.
    drop(it.change_amount(2_000_000, true, at(18 * HOUR)).expect("it runs"));
    assert_eq!(charge(&mut it, 11, at(DAY)), 2_250_000);
    // The period was asked for: it keeps its amount.
    drop(it.change_amount(1_000_000, true, at(DAY)).expect("it runs"));
    hear(&mut it, 11, &PaymentUpdate::Timeout, at(DAY));
    drop(it.charge_ended(stream(11), at(DAY)).expect("it was open"));
    assert_eq!(charge(&mut it, 12, at(DAY + HOUR)), 2_250_000);
    hear(&mut it, 12, &paid(), at(DAY + HOUR));
    // The whole of that day was to be cheaper by a million: the next one is free.
    let Look::Moved(change) = it.look(at(2 * DAY)) else { panic!("a credit covers it") };
    assert_eq!(words(&change.events), ["charge_covered"]);
    assert_eq!(charge(&mut it, 13, at(3 * DAY)), 1_000_000);
    assert_eq!(it.change_amount(0, true, at(0)), Err(Refused::Amount));
    assert_eq!(it.change_amount(u64::MAX, true, at(0)), Err(Refused::Amount));
}

#[test]
fn a_cancelled_one_closes_when_its_open_charge_has_ended() {
    let mut it = daily();
    charge(&mut it, 10, at(0));
    let change = it.cancel(SubscriptionEnd::ByPerson, None, at(1)).expect("it runs");
    assert_eq!(words(&change.events), ["cancelled"]);
    assert!(!change.goodbye, "they know");
    assert_eq!(it.cancel(SubscriptionEnd::ByService, None, at(1)), Err(Refused::Over));
    assert_eq!(it.pause(), Err(Refused::Over));
    let events = hear(&mut it, 10, &paid(), at(2));
    assert_eq!(words(&events), ["charge_paid", "closed"]);
    assert_eq!((it.paid, it.due_at(), it.waits_for()), (1, None, None));

    let mut idle = daily();
    let change = idle.cancel(SubscriptionEnd::ByService, None, at(1)).expect("it runs");
    assert_eq!(words(&change.events), ["cancelled", "closed"]);
    assert!(change.goodbye);
}

fn confirmed(amount: u64, recurrence: Recurrence) -> RecurringStatus {
    RecurringStatus::Confirmed {
        subscription_id: "theirs".to_owned(),
        authorized_amount: amount,
        authorized_currency: Currency::Millisats,
        authorized_recurrence: recurrence,
    }
}

fn recurrence(calendar: &str) -> Recurrence {
    Recurrence {
        until: Some(at(90 * DAY)),
        calendar: calendar.parse().expect("legal"),
        max_payments: Some(7),
        first_payment_due: at(DAY),
    }
}

fn proposed() -> Subscription {
    let ours = Terms { max_payments: Some(9), ..terms("*-*-* 00:00:00 Europe/Rome") };
    Subscription::proposed(stream(1), ours, 1000, Policy::default(), stream(2), at(300))
}

#[test]
fn what_the_person_agreed_to_bounds_what_is_charged() {
    let mut it = proposed();
    assert_eq!(it.waits_for(), Some(stream(2)));
    // The zone is ours: it does not cross the wire.
    let change = it.answered(&confirmed(1000, recurrence("daily")), at(10));
    assert_eq!(words(&change.events), ["scheduled"]);
    assert_eq!(it.terms.subscription_id, "theirs");
    assert_eq!((it.terms.max_payments, it.terms.until), (Some(7), Some(at(90 * DAY))));
    assert_eq!(it.due, Some(at(DAY)));
    assert_eq!(it.answered(&confirmed(1000, recurrence("daily")), at(10)), Change::default());
}

#[test]
fn other_terms_than_asked_for_are_not_charged() {
    for answer in [confirmed(999, recurrence("daily")), confirmed(1000, recurrence("weekly"))] {
        let mut it = proposed();
        let change = it.answered(&answer, at(10));
        let why = SubscriptionEnd::OtherTerms;
        assert_eq!(change.events, [SubscriptionUpdate::Closed { why }]);
        assert_eq!(it.look(at(90 * DAY)), Look::Nothing);
    }
    let mut refused = proposed();
    let no = RecurringStatus::Rejected { reason: None };
    assert!(refused.answered(&no, at(10)).gone);
    assert!(proposed().unanswered().gone);
    assert!(!daily().unanswered().gone, "an answered one stays");
    assert_eq!(proposed().pause(), Err(Refused::Proposed));
}

#[test]
fn what_cannot_be_asked_for_is_postponed_and_costs_no_attempt() {
    let mut it = daily();
    let mut pauses = Vec::new();
    let mut now = at(0);
    for _ in 0..12 {
        let change = it.charge_postponed("no quote".to_owned(), now);
        assert_eq!(words(&change.events), ["charge_postponed"]);
        let next = it.due_at().expect("it is tried again");
        assert_eq!(it.look(now), Look::Nothing);
        pauses.push(next.saturating_since(now).as_secs());
        now = next;
    }
    assert_eq!(pauses[..4], [60, 120, 240, 480]);
    assert_eq!(pauses[11], 6 * HOUR);
    assert!(matches!(it.look(now), Look::Charge { period: 0, attempt: 0, .. }));
}

#[test]
fn an_attempt_has_one_request_id_for_ever() {
    let first = request_id(stream(1), 3, 0);
    assert_eq!(request_id(stream(1), 3, 0), first);
    for other in
        [request_id(stream(2), 3, 0), request_id(stream(1), 4, 0), request_id(stream(1), 3, 1)]
    {
        assert_ne!(other, first);
    }
    assert!(!first.as_str().contains(&stream(1).to_string()));
}

#[test]
fn after_a_clock_that_went_back_nothing_is_asked_for_before_the_period_is_due() {
    // Asked for when the second period was due; then the clock goes back to before that.
    let mut it = daily();
    charge(&mut it, 10, at(0));
    hear(&mut it, 10, &paid(), at(0));
    charge(&mut it, 11, at(DAY));
    let events = hear(&mut it, 11, &PaymentUpdate::Timeout, at(5));
    let retry = at(DAY + HOUR);
    assert!(matches!(events.as_slice(),
        [SubscriptionUpdate::ChargeFailed { period: 1, retry_at, .. }] if *retry_at == Some(retry)));
    drop(it.charge_ended(stream(11), at(6)).expect("it was open"));
    assert_eq!(it.look(at(DAY)), Look::Nothing);
    assert!(matches!(it.look(retry), Look::Charge { period: 1, attempt: 1, .. }));
    // Nor when the merchant wants it asked for at once.
    drop(it.pause().expect("it runs"));
    drop(it.resume(at(5)).expect("it runs"));
    assert_eq!(it.look(at(DAY - 1)), Look::Nothing);
    assert!(matches!(it.look(at(DAY)), Look::Charge { period: 1, attempt: 1, .. }));
}

#[test]
fn past_due_begins_when_the_period_was_due_whatever_the_clock_did() {
    let policy = Policy { ladder: Vec::new(), ..Policy::default() };
    let mut it = begun(terms("daily"), policy);
    charge(&mut it, 10, at(0));
    hear(&mut it, 10, &paid(), at(0));
    charge(&mut it, 11, at(DAY));
    let events = hear(&mut it, 11, &PaymentUpdate::Timeout, at(0));
    assert!(matches!(events.as_slice(),
        [_, SubscriptionUpdate::PastDue { period: 1, closes_at }] if *closes_at == at(8 * DAY)));
}
