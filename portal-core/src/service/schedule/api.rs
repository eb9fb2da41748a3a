//! What a merchant tells the scheduler.

use super::super::call::{Beside, bounded};
use super::super::subscriptions::{NewRecurringPayment, Subscriptions};
use super::super::{Call, Opened, Recipient};
use super::Schedule;
use crate::error::Error;
use crate::event::SubscriptionEnd;
use crate::primitives::{StreamId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::calendar::{Calendar, CalendarError};
use crate::protocol::subscription::Recurrence;
use crate::storage::Write;
use crate::storage::schedule::{ChargeRecord, ScheduleFilter};
use crate::subscriptions::journal::stream_of_request;
use crate::subscriptions::{
    Policy, Refused, SchedulerError, Subscription, SubscriptionInfo, Terms,
};

/// How a subscription is charged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulePlan {
    /// The time zone that the calendar is read in, by its IANA name; that of the calendar, else
    /// UTC, when absent. It does not cross the wire.
    pub time_zone: Option<String>,
    /// Nothing is charged before this: the first charge moves to it when it would be earlier.
    pub trial_until: Option<Timestamp>,
    /// What happens when things do not go as agreed; that of the service when absent.
    pub policy: Option<Policy>,
}

/// A subscription that a person agreed to earlier.
#[derive(Clone, Debug, PartialEq)]
pub struct AgreedSubscription {
    /// What the person's wallet calls it.
    pub subscription_id: String,
    /// The amount of each charge, more than zero.
    pub amount: u64,
    /// The unit of `amount`.
    pub currency: Currency,
    /// When to charge; periods before `first_payment_due` are none of the scheduler's business.
    pub recurrence: Recurrence,
    /// What it is for.
    pub description: Option<String>,
    /// Opaque; tells the wallet which session asks.
    pub auth_token: Option<String>,
}

impl Subscriptions<'_> {
    /// Asks a person to agree to a recurring payment, and charges it when they do. The request's
    /// stream is that of [`Subscriptions::request`]; the subscription has a stream of its own, on
    /// which each step is an event.
    ///
    /// # Errors
    /// As [`Subscriptions::request`], and when nothing is charged here, or there is no such zone.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn request_scheduled(
        &self,
        recipient: Recipient,
        mut new: NewRecurringPayment,
        plan: SchedulePlan,
        call: Call,
    ) -> Result<(Opened, StreamId), Error> {
        self.schedule.running()?;
        bounded_amount(new.amount)?;
        let (recurrence, policy) = planned(self.schedule, new.recurrence, plan)?;
        new.recurrence = recurrence;
        let request = self.node.env().stream_id();
        let stream = stream_of_request(request);
        let terms = Terms {
            owner: recipient.main_key,
            subkeys: recipient.subkeys.clone(),
            subscription_id: String::new(),
            currency: new.currency.clone(),
            calendar: new.recurrence.calendar.clone(),
            first_due: new.recurrence.first_payment_due,
            until: new.recurrence.until,
            max_payments: new.recurrence.max_payments,
            description: new.description.clone(),
            auth_token: new.auth_token.clone(),
        };
        let ends = new.expires_at;
        let proposed = Subscription::proposed(stream, terms, new.amount, policy, request, ends);
        let beside =
            Beside { stream: Some(request), writes: vec![Write::PutSchedule(proposed.record())] };
        let opened = self.request_beside(recipient, new, call, beside).await?;
        if !opened.repeated {
            self.schedule.shared.listen_to(self.node, stream, request).await?;
        }
        Ok((opened, stream_of_request(opened.stream)))
    }

    /// What happens when things do not go as agreed, unless a plan says otherwise.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.schedule.policy
    }

    /// Charges a subscription that a person agreed to earlier, on another schedule.
    ///
    /// # Errors
    /// When nothing is charged here, it is charged already, the amount is zero or too large, a text
    /// is too long, a key is no key, or nothing can be saved.
    ///
    /// # Cancel safety
    /// It may be charged also when the future is dropped.
    pub async fn schedule(
        &self,
        recipient: Recipient,
        agreed: AgreedSubscription,
        plan: SchedulePlan,
    ) -> Result<SubscriptionInfo, Error> {
        self.schedule.running()?;
        bounded(&agreed.subscription_id, "the subscription id", 1024)?;
        bounded_amount(agreed.amount)?;
        let peer = recipient.peer(self.node).await?;
        let (recurrence, policy) = planned(self.schedule, agreed.recurrence, plan)?;
        let terms = Terms {
            owner: peer.main_key,
            subkeys: recipient.subkeys,
            subscription_id: agreed.subscription_id,
            currency: agreed.currency,
            calendar: recurrence.calendar,
            first_due: recurrence.first_payment_due,
            until: recurrence.until,
            max_payments: recurrence.max_payments,
            description: agreed.description,
            auth_token: agreed.auth_token,
        };
        let known = format!("schedule/{}/{}", terms.owner, terms.subscription_id);
        let _alone = self.node.claims().exclusive(&known).await;
        for record in self.node.store().schedules_named(&terms.subscription_id).await? {
            if Subscription::read(&record)?.terms.is_of(&terms.owner) {
                return Err(SchedulerError::from(Refused::Charged).into());
            }
        }
        let env = self.node.env();
        let (new, change) =
            Subscription::agreed(env.stream_id(), terms, agreed.amount, policy, env.now());
        self.after(self.schedule.shared.scheduler.begin(new, change).await)
    }

    /// Nothing is charged until it is resumed; periods that fall into the pause are left out. A
    /// charge that is open stays open.
    ///
    /// # Errors
    /// When there is none, it has ended, or it cannot be saved.
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn pause(&self, stream: StreamId) -> Result<SubscriptionInfo, Error> {
        self.schedule.running()?;
        self.after(self.schedule.shared.scheduler.pause(stream).await)
    }

    /// It is charged again, from the first period that is due now or later. One that was not paid,
    /// or is past due, is asked for again at once.
    ///
    /// # Errors
    /// As [`Subscriptions::pause`].
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn resume(&self, stream: StreamId) -> Result<SubscriptionInfo, Error> {
        self.schedule.running()?;
        let now = self.node.env().now();
        self.after(self.schedule.shared.scheduler.resume(stream, now).await)
    }

    /// Each later charge is for this amount. With `prorate` the next one is more, or less, by the
    /// difference for what is left of the running period. A person's wallet asks before it pays
    /// more than was agreed to.
    ///
    /// # Errors
    /// As [`Subscriptions::pause`], or when the amount is zero or too large.
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn change_amount(
        &self,
        stream: StreamId,
        amount: u64,
        prorate: bool,
    ) -> Result<SubscriptionInfo, Error> {
        self.schedule.running()?;
        let now = self.node.env().now();
        let scheduler = &self.schedule.shared.scheduler;
        self.after(scheduler.change_amount(stream, amount, prorate, now).await)
    }

    /// There will be no more charges, and the person is told. Without an open charge it is closed
    /// at once.
    ///
    /// # Errors
    /// As [`Subscriptions::pause`].
    ///
    /// # Cancel safety
    /// It may be done also when the future is dropped.
    pub async fn cancel(
        &self,
        stream: StreamId,
        reason: Option<String>,
    ) -> Result<Option<SubscriptionInfo>, Error> {
        self.schedule.running()?;
        if let Some(reason) = &reason {
            bounded(reason, "the reason", 1024)?;
        }
        let now = self.node.env().now();
        let why = SubscriptionEnd::ByService;
        let scheduler = &self.schedule.shared.scheduler;
        let ended = self.after(scheduler.cancel(stream, why, reason, false, now).await)?;
        // One that nobody had agreed to is gone.
        Ok(Some(ended).filter(|ended| ended.status != "proposed"))
    }

    /// One subscription.
    ///
    /// # Errors
    /// When there is none, or the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn get(&self, stream: StreamId) -> Result<SubscriptionInfo, Error> {
        Ok(self.schedule.shared.scheduler.get(stream).await?)
    }

    /// Subscriptions in the order of their age: the next ones after a stream.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn list(
        &self,
        filter: ScheduleFilter,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<SubscriptionInfo>, Error> {
        let records = self.node.store().schedules(filter, after, limit).await?;
        let read = |record| Ok(Subscription::read(record)?.info());
        records.iter().map(read).collect()
    }

    /// The periods of a subscription that were charged, newest first: the next ones below a number.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn charges(
        &self,
        stream: StreamId,
        below: Option<u32>,
        limit: usize,
    ) -> Result<Vec<ChargeRecord>, Error> {
        Ok(self.node.store().charges(stream, below, limit).await?)
    }

    /// After a change the next due moment may be another.
    fn after<T, E: Into<Error>>(&self, result: Result<T, E>) -> Result<T, Error> {
        self.schedule.shared.wake.notify_one();
        result.map_err(Into::into)
    }
}

/// The recurrence in its zone and after its trial, and the policy.
fn planned(
    schedule: &Schedule,
    mut recurrence: Recurrence,
    plan: SchedulePlan,
) -> Result<(Recurrence, Policy), Error> {
    let SchedulePlan { time_zone, trial_until, policy } = plan;
    if let Some(name) = time_zone {
        let zone = name.parse().map_err(|_| CalendarError::InvalidTimezone {
            name: name.chars().take(64).collect(),
        })?;
        recurrence.calendar = Calendar::with_zone(recurrence.calendar, Some(zone));
    }
    if let Some(end) = trial_until {
        recurrence.first_payment_due = recurrence.first_payment_due.max(end);
    }
    Ok((recurrence, policy.unwrap_or_else(|| schedule.policy.clone())))
}

/// Sums with it must fit.
fn bounded_amount(amount: u64) -> Result<(), Error> {
    if amount == 0 {
        return Err(Error::ZeroAmount);
    }
    i64::try_from(amount).map(drop).map_err(|_| crate::primitives::MoneyError::Overflow.into())
}
