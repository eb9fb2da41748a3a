//! What a subscription does on each input. No I/O: time comes in, changes come out.

use super::amounts;
use super::state::{CatchUp, OpenCharge, Phase, Policy, Postponed, Refused, Subscription, Terms};
use crate::event::{ChargeFailure, PaymentUpdate, SubscriptionEnd, SubscriptionUpdate};
use crate::primitives::{StreamId, Timestamp};
use crate::protocol::subscription::RecurringStatus;

/// The first pause after a charge that could not be made; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: u64 = 60;
/// The longest pause after a charge that could not be made.
const LONGEST_PAUSE: u64 = 6 * 3600;

/// What an input changed. Saved whole, or not at all.
#[must_use = "a change that is not saved is lost"]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// For the stream, in order.
    pub events: Vec<SubscriptionUpdate>,
    /// A row of charges: asked for, or paid.
    pub charge: Option<Charged>,
    /// The subscription is forgotten: it never began.
    pub gone: bool,
    /// The person must be told that it is over.
    pub goodbye: bool,
}

/// A row of charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The request.
    pub charge: OpenCharge,
    /// Whether it is paid.
    pub paid: bool,
}

impl Change {
    fn of(event: SubscriptionUpdate) -> Self {
        Self { events: vec![event], ..Self::default() }
    }
}

/// What there is to do at this moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Nothing.
    Nothing,
    /// Save this, then look again.
    Moved(Change),
    /// Ask the person to pay this period; [`Subscription::charge_begun`] says how it is saved.
    Charge {
        /// The period.
        period: u32,
        /// The attempt.
        attempt: u32,
        /// When it was due.
        due: Timestamp,
        /// How much.
        amount: u64,
    },
}

impl Subscription {
    /// One that the person is asked about. `stream` is its own, `request` that of the question.
    #[must_use]
    pub fn proposed(
        stream: StreamId,
        terms: Terms,
        amount: u64,
        policy: Policy,
        request: StreamId,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            stream,
            next_index: 0,
            due: terms.in_time(terms.first_due),
            terms,
            amount,
            adjustment: 0,
            policy,
            period: 0,
            before: None,
            paid: 0,
            attempts: 0,
            asked: None,
            phase: Phase::Proposed { request, expires_at },
            paused: false,
            charge: None,
            postponed: None,
        }
    }

    /// One that the person agreed to earlier, or elsewhere.
    pub fn agreed(
        stream: StreamId,
        terms: Terms,
        amount: u64,
        policy: Policy,
        now: Timestamp,
    ) -> (Self, Change) {
        // Neither the request nor its end is looked at again.
        let mut new = Self::proposed(stream, terms, amount, policy, stream, now);
        let change = new.begin(now);
        (new, change)
    }

    /// The person answered. What they agreed to must be what was asked for: a lower amount,
    /// another calendar or unit is not. Their bounds hold beside ours.
    pub fn answered(&mut self, answer: &RecurringStatus, now: Timestamp) -> Change {
        let Phase::Proposed { .. } = self.phase else { return Change::default() };
        let RecurringStatus::Confirmed {
            subscription_id,
            authorized_amount,
            authorized_currency,
            authorized_recurrence: theirs,
        } = answer
        else {
            return Change { gone: true, ..Change::default() };
        };
        self.terms.subscription_id.clone_from(subscription_id);
        let ours = &mut self.terms;
        let as_asked = *authorized_amount >= self.amount
            && *authorized_currency == ours.currency
            && theirs.calendar.to_wire() == ours.calendar.to_wire();
        if !as_asked {
            let why = SubscriptionEnd::OtherTerms;
            self.due = None;
            self.phase = Phase::Closed { why, at: now };
            return Change::of(SubscriptionUpdate::Closed { why });
        }
        ours.until = earliest(ours.until, theirs.until);
        ours.max_payments = earliest(ours.max_payments, theirs.max_payments);
        ours.first_due = ours.first_due.max(theirs.first_payment_due);
        self.due = self.terms.in_time(self.terms.first_due);
        self.begin(now)
    }

    /// The request ended without an answer.
    pub fn unanswered(&mut self) -> Change {
        let proposed = matches!(self.phase, Phase::Proposed { .. });
        Change { gone: proposed, ..Change::default() }
    }

    fn begin(&mut self, now: Timestamp) -> Change {
        if self.terms.max_payments == Some(0) {
            self.due = None;
        }
        self.phase = Phase::Active;
        let mut change = Change::of(SubscriptionUpdate::Scheduled {
            subscription_id: self.terms.subscription_id.clone(),
            amount: self.amount,
            next_due: self.due,
        });
        if self.due.is_none() {
            self.close(SubscriptionEnd::Completed, now, &mut change);
        }
        change
    }

    /// What there is to do by the clock.
    #[must_use]
    pub fn look(&mut self, now: Timestamp) -> Look {
        if self.due_at().is_none_or(|at| at > now) {
            return Look::Nothing;
        }
        let Some(due) = self.due else { return Look::Nothing };
        match self.phase {
            Phase::Active => {
                if let Some(later) = self.skips_to(due, now) {
                    self.due = Some(later);
                    let event = SubscriptionUpdate::Skipped { from: due, to: later };
                    return Look::Moved(Change::of(event));
                }
                self.charge_now(due, now)
            }
            Phase::Retrying { .. } => self.charge_now(due, now),
            Phase::PastDue { .. } => {
                let mut change = Change { goodbye: true, ..Change::default() };
                self.close(SubscriptionEnd::Unpaid, now, &mut change);
                Look::Moved(change)
            }
            Phase::Proposed { .. }
            | Phase::Charging
            | Phase::Closing { .. }
            | Phase::Closed { .. } => Look::Nothing,
        }
    }

    /// The last period that is due, when those before it are not charged.
    fn skips_to(&self, due: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.policy.catch_up == CatchUp::Each {
            return None;
        }
        let end = self.terms.until.map_or(now, |until| now.min(until));
        self.terms.calendar.last_between(due, end)
    }

    fn charge_now(&mut self, due: Timestamp, now: Timestamp) -> Look {
        let amount = match self.asked {
            Some(asked) => asked,
            None => amounts::with_adjustment(self.amount, self.adjustment).0,
        };
        if amount == 0 {
            return Look::Moved(self.covered(now));
        }
        Look::Charge { period: self.period, attempt: self.attempts, due, amount }
    }

    fn covered(&mut self, now: Timestamp) -> Change {
        self.adjustment = amounts::with_adjustment(self.amount, self.adjustment).1;
        let period = self.period;
        self.next_period();
        let mut change = Change::of(SubscriptionUpdate::ChargeCovered {
            period,
            credit: self.adjustment.unsigned_abs(),
            paid: self.paid,
            next_due: self.due,
        });
        self.complete(now, &mut change);
        change
    }

    /// The person is about to be asked, on this stream: saved with the request.
    pub fn charge_begun(&mut self, payment: StreamId, now: Timestamp) -> Change {
        let Look::Charge { period, attempt, due, amount } = self.look(now) else {
            return Change::default();
        };
        if self.asked.is_none() {
            self.adjustment = amounts::with_adjustment(self.amount, self.adjustment).1;
            self.asked = Some(amount);
        }
        let charge = OpenCharge { payment, period, attempt, due, at: now, amount };
        self.charge = Some(charge);
        self.attempts = self.attempts.saturating_add(1);
        self.postponed = None;
        self.phase = Phase::Charging;
        Change {
            charge: Some(Charged { charge, paid: false }),
            ..Change::of(SubscriptionUpdate::ChargeCreated {
                period,
                attempt,
                due,
                amount,
                payment,
            })
        }
    }

    /// The person could not be asked.
    pub fn charge_postponed(&mut self, reason: String, now: Timestamp) -> Change {
        let times = self.postponed.map_or(0, |postponed| postponed.times);
        let pause = FIRST_PAUSE.checked_shl(times.min(16)).unwrap_or(LONGEST_PAUSE);
        let until = Timestamp::from_secs(now.as_secs().saturating_add(pause.min(LONGEST_PAUSE)));
        self.postponed = Some(Postponed { times: times.saturating_add(1), until });
        Change::of(SubscriptionUpdate::ChargePostponed { period: self.period, reason, until })
    }

    /// Something happened on the stream of a payment.
    pub fn heard(
        &mut self,
        payment: StreamId,
        update: &PaymentUpdate,
        now: Timestamp,
    ) -> Option<Change> {
        let charge = self.charge.filter(|charge| charge.payment == payment)?;
        match update {
            PaymentUpdate::Paid { .. } => Some(self.charge_paid(charge, now)),
            PaymentUpdate::Timeout => self.charge_failed(charge, ChargeFailure::Timeout, None, now),
            PaymentUpdate::UserRejected { reason } => {
                self.charge_failed(charge, ChargeFailure::Rejected, reason.clone(), now)
            }
            PaymentUpdate::UserFailed { reason } => {
                self.charge_failed(charge, ChargeFailure::Failed, reason.clone(), now)
            }
            PaymentUpdate::Error { reason } => {
                self.charge_failed(charge, ChargeFailure::Failed, Some(reason.clone()), now)
            }
            PaymentUpdate::UserApproved | PaymentUpdate::UserSuccess { .. } => None,
        }
    }

    /// The stream of a payment has ended: what it did not say by now it will never say.
    pub fn charge_ended(&mut self, payment: StreamId, now: Timestamp) -> Option<Change> {
        let charge = self.charge.filter(|charge| charge.payment == payment)?;
        // A payment always says how it failed before it ends; this is for one that did not.
        let failed = self.charge_failed(charge, ChargeFailure::Failed, None, now);
        let mut change = failed.unwrap_or_default();
        self.charge = None;
        self.finish(now, &mut change);
        Some(change)
    }

    /// There is no trace of the stream of a payment any more.
    pub fn charge_lost(&mut self, payment: StreamId, now: Timestamp) -> Option<Change> {
        let charge = self.charge.filter(|charge| charge.payment == payment)?;
        // Whether it is paid is not known, so it is not asked for again.
        if let Phase::Retrying { .. } = self.phase {
            self.phase = Phase::Charging;
        }
        let failed = self.charge_failed(charge, ChargeFailure::Unknown, None, now);
        let mut change = failed.unwrap_or_default();
        self.charge = None;
        self.finish(now, &mut change);
        Some(change)
    }

    fn charge_paid(&mut self, charge: OpenCharge, now: Timestamp) -> Change {
        // Nothing follows on its stream.
        self.charge = None;
        let closing = matches!(self.phase, Phase::Closing { .. });
        self.next_period();
        if closing {
            self.due = None;
        }
        let mut change = Change {
            charge: Some(Charged { charge, paid: true }),
            ..Change::of(SubscriptionUpdate::ChargePaid {
                period: charge.period,
                amount: charge.amount,
                payment: charge.payment,
                paid: self.paid,
                next_due: self.due,
            })
        };
        if closing {
            self.finish(now, &mut change);
        } else {
            self.phase = Phase::Active;
            self.complete(now, &mut change);
        }
        change
    }

    fn charge_failed(
        &mut self,
        charge: OpenCharge,
        cause: ChargeFailure,
        reason: Option<String>,
        now: Timestamp,
    ) -> Option<Change> {
        if self.phase != Phase::Charging {
            return None;
        }
        let wait = usize::try_from(charge.attempt)
            .ok()
            .and_then(|attempt| self.policy.ladder.get(attempt))
            .filter(|_| cause != ChargeFailure::Unknown);
        // From when the period was due, if the clock has gone back before that.
        let from = self.due.map_or(now, |due| due.max(now));
        let after = |seconds: u64| Timestamp::from_secs(from.as_secs().saturating_add(seconds));
        let retry_at = wait.copied().map(after);
        let mut change = Change::of(SubscriptionUpdate::ChargeFailed {
            period: charge.period,
            attempt: charge.attempt,
            cause,
            reason,
            retry_at,
        });
        self.phase = match retry_at {
            Some(at) => Phase::Retrying { at },
            None => {
                let closes_at = after(self.policy.past_due);
                let period = charge.period;
                change.events.push(SubscriptionUpdate::PastDue { period, closes_at });
                Phase::PastDue { closes_at }
            }
        };
        Some(change)
    }

    /// Nothing is charged until it is resumed. Again: no change.
    ///
    /// # Errors
    /// When it has ended or was not agreed to yet.
    pub fn pause(&mut self) -> Result<Change, Refused> {
        self.running()?;
        if std::mem::replace(&mut self.paused, true) {
            return Ok(Change::default());
        }
        Ok(Change::of(SubscriptionUpdate::Paused))
    }

    /// It is charged again: from the first period that is due now or later. One that was not paid
    /// is asked for again at once; so is one that is past due.
    ///
    /// # Errors
    /// When it has ended or was not agreed to yet.
    pub fn resume(&mut self, now: Timestamp) -> Result<Change, Refused> {
        self.running()?;
        let was_paused = std::mem::take(&mut self.paused);
        match self.phase {
            Phase::PastDue { .. } | Phase::Retrying { .. } => {
                // Not before the period was due, though the clock may have gone back since.
                let at = self.due.map_or(now, |due| due.max(now));
                self.phase = Phase::Retrying { at };
            }
            Phase::Active if was_paused && self.due.is_some_and(|due| due < now) => {
                let next = self.terms.calendar.next_from(now);
                self.due = next.and_then(|next| self.terms.in_time(next));
            }
            _ if !was_paused => return Ok(Change::default()),
            _ => {}
        }
        self.postponed = None;
        let mut change = Change::of(SubscriptionUpdate::Resumed { next_due: self.due });
        self.complete(now, &mut change);
        Ok(change)
    }

    /// Each later charge is for this amount; with `prorate` the next one also for the difference
    /// in the period that runs. A period that was asked for already keeps its amount.
    ///
    /// # Errors
    /// When it has ended or was not agreed to yet, or the amount cannot be.
    pub fn change_amount(
        &mut self,
        amount: u64,
        prorate: bool,
        now: Timestamp,
    ) -> Result<Change, Refused> {
        self.running()?;
        if amount == 0 || i64::try_from(amount).is_err() {
            return Err(Refused::Amount);
        }
        if prorate && let Some(period) = self.period_that_runs() {
            let currency = &self.terms.currency;
            let share = amounts::prorated(self.amount, amount, currency, period, now);
            let share = share.and_then(|share| self.adjustment.checked_add(share));
            self.adjustment = share.ok_or(Refused::Amount)?;
        }
        self.amount = amount;
        Ok(Change::of(SubscriptionUpdate::Changed { amount, adjustment: self.adjustment }))
    }

    /// From when to when the period lasts that is paid, or asked for, now. `None` before the first.
    fn period_that_runs(&self) -> Option<(Timestamp, Timestamp)> {
        let due = self.due?;
        if self.asked.is_some() {
            return Some((due, self.terms.calendar.next_after(due)?));
        }
        Some((self.before?, due))
    }

    /// There will be no more charges. `goodbye`: the person must be told.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn cancel(
        &mut self,
        why: SubscriptionEnd,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<Change, Refused> {
        if let Phase::Proposed { .. } = self.phase {
            return Ok(Change { gone: true, ..Change::default() });
        }
        self.running()?;
        let mut change = Change::of(SubscriptionUpdate::Cancelled { why, reason });
        change.goodbye = why == SubscriptionEnd::ByService;
        self.phase = Phase::Closing { why };
        self.finish(now, &mut change);
        Ok(change)
    }

    fn running(&self) -> Result<(), Refused> {
        match self.phase {
            Phase::Proposed { .. } => Err(Refused::Proposed),
            Phase::Closing { .. } | Phase::Closed { .. } => Err(Refused::Over),
            Phase::Active | Phase::Charging | Phase::Retrying { .. } | Phase::PastDue { .. } => {
                Ok(())
            }
        }
    }

    /// The period is paid; on to the next.
    fn next_period(&mut self) {
        self.paid = self.paid.saturating_add(1);
        self.before = self.due;
        self.due = self.due.and_then(|due| self.terms.due_after(due));
        if self.terms.max_payments.is_some_and(|most| self.paid >= most) {
            self.due = None;
        }
        self.period = self.period.saturating_add(1);
        self.attempts = 0;
        self.asked = None;
        self.postponed = None;
    }

    /// Ends when there is no next period.
    fn complete(&mut self, now: Timestamp, change: &mut Change) {
        if self.phase == Phase::Active && self.due.is_none() {
            self.close(SubscriptionEnd::Completed, now, change);
        }
    }

    /// Ends when that was wanted and no charge is open.
    fn finish(&mut self, now: Timestamp, change: &mut Change) {
        if let Phase::Closing { why } = self.phase
            && self.charge.is_none()
        {
            self.close(why, now, change);
        }
    }

    fn close(&mut self, why: SubscriptionEnd, now: Timestamp, change: &mut Change) {
        self.phase = Phase::Closed { why, at: now };
        self.due = None;
        change.events.push(SubscriptionUpdate::Closed { why });
    }
}

/// The stricter of two bounds.
fn earliest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}
