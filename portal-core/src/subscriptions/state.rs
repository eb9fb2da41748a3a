//! What is known of a subscription.

use nostr::PublicKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::SubscriptionEnd;
use crate::primitives::{StreamId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::calendar::Calendar;

/// What was agreed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Who pays: a main key.
    pub owner: PublicKey,
    /// Keys that are known to be its subkeys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subkeys: Vec<PublicKey>,
    /// What the person's wallet calls it; empty before they have agreed.
    #[serde(default)]
    pub subscription_id: String,
    /// The unit of the amount.
    pub currency: Currency,
    /// When it is charged, with our time zone.
    #[serde(with = "zoned")]
    pub calendar: Calendar,
    /// The first charge.
    pub first_due: Timestamp,
    /// No period that is due later is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// No more periods than this are charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_payments: Option<u32>,
    /// What it is for; each charge repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Opaque; each charge repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
}

impl Terms {
    /// The due moment of the period after the one that was due then, when there is one.
    #[must_use]
    pub fn due_after(&self, due: Timestamp) -> Option<Timestamp> {
        self.in_time(self.calendar.next_after(due)?)
    }

    /// The moment, unless it is after the end.
    pub(super) fn in_time(&self, due: Timestamp) -> Option<Timestamp> {
        self.until.is_none_or(|until| due <= until).then_some(due)
    }

    /// Whether this is one of the person's keys.
    #[must_use]
    pub fn is_of(&self, key: &PublicKey) -> bool {
        self.owner == *key || self.subkeys.contains(key)
    }
}

/// What happens when things do not go as agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long after each failed attempt the person is asked again, in seconds.
    pub ladder: Vec<u64>,
    /// How long a subscription is past due before it is closed, in seconds.
    pub past_due: u64,
    /// Which periods of an outage are charged.
    pub catch_up: CatchUp,
}

impl Policy {
    /// Whether it is the usual one, which is not written down with each subscription.
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Policy {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        Self {
            ladder: vec![HOUR, DAY, 3 * DAY, 5 * DAY],
            past_due: 7 * DAY,
            catch_up: CatchUp::Each,
        }
    }
}

/// Which periods are charged that became due while nothing could be charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Each, one after the other.
    #[default]
    Each,
    /// Only the last.
    Latest,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Phase {
    /// The person was asked whether they agree.
    Proposed {
        /// The stream of that request.
        request: StreamId,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// The next period is charged when it is due.
    Active,
    /// The person was asked to pay a period.
    Charging,
    /// A period was not paid; the person is asked again.
    Retrying {
        /// Then.
        at: Timestamp,
    },
    /// A period was not paid; the person is not asked again.
    PastDue {
        /// The subscription ends then.
        closes_at: Timestamp,
    },
    /// It has ended but for a charge that is open.
    Closing {
        /// Why.
        why: SubscriptionEnd,
    },
    /// It has ended.
    Closed {
        /// Why.
        why: SubscriptionEnd,
        /// When.
        at: Timestamp,
    },
}

/// The request for a period whose stream has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCharge {
    /// Its stream.
    pub payment: StreamId,
    /// The period.
    pub period: u32,
    /// The attempt.
    pub attempt: u32,
    /// When the period was due.
    pub due: Timestamp,
    /// When the person was asked.
    pub at: Timestamp,
    /// How much was asked for.
    pub amount: u64,
}

/// A charge could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postponed {
    /// How often in a row.
    pub times: u32,
    /// It is tried again then.
    pub until: Timestamp,
}

/// A subscription: the machine. [`steps`](super) has what it does on each input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its stream, which names it.
    #[serde(skip, default = "nowhere")]
    pub stream: StreamId,
    /// The index that its next event gets.
    #[serde(skip)]
    pub next_index: u64,
    /// What was agreed.
    pub terms: Terms,
    /// The amount of each charge, in the unit of the terms.
    pub amount: u64,
    /// What the next charge is more or less.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub adjustment: i64,
    /// What happens when things do not go as agreed.
    #[serde(default, skip_serializing_if = "Policy::is_usual")]
    pub policy: Policy,
    /// The number of the period that is charged next, or now.
    pub period: u32,
    /// When that period is due; `None` when there is none.
    pub due: Option<Timestamp>,
    /// When the period before it was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// How many periods are paid.
    pub paid: u32,
    /// How often the person was asked to pay this period.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub attempts: u32,
    /// What they were asked for, so that each attempt of a period is for the same amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    /// Where it stands.
    pub phase: Phase,
    /// Whether nothing is charged until it is resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The request whose stream has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<OpenCharge>,
    /// The charge could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postponed: Option<Postponed>,
}

/// How long after the end of a proposal the scheduler looks what became of it, in case nobody
/// said.
const PROPOSAL_GRACE_SECS: u64 = 60;

impl Subscription {
    /// When it needs attention, with the clock as the only reason.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        let at = match self.phase {
            Phase::Proposed { expires_at, .. } => {
                let end = expires_at.as_secs().saturating_add(PROPOSAL_GRACE_SECS);
                return Some(Timestamp::from_secs(end));
            }
            _ if self.paused || self.charge.is_some() => None,
            Phase::Active => self.due,
            Phase::Retrying { at } => Some(at),
            Phase::PastDue { closes_at } => Some(closes_at),
            Phase::Charging | Phase::Closing { .. } | Phase::Closed { .. } => None,
        }?;
        Some(self.postponed.map_or(at, |postponed| at.max(postponed.until)))
    }

    /// The stream whose end it waits for.
    #[must_use]
    pub fn waits_for(&self) -> Option<StreamId> {
        match self.phase {
            Phase::Proposed { request, .. } => Some(request),
            _ => self.charge.map(|charge| charge.payment),
        }
    }

    /// When it ended.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Closed { at, .. } => Some(at),
            _ => None,
        }
    }

    /// As its owner sees it.
    #[must_use]
    pub fn info(&self) -> SubscriptionInfo {
        let (status, why) = match self.phase {
            Phase::Proposed { .. } => ("proposed", None),
            Phase::Closing { why } => ("closing", Some(why)),
            Phase::Closed { why, .. } => ("closed", Some(why)),
            _ if self.paused => ("paused", None),
            Phase::Active => ("active", None),
            Phase::Charging => ("charging", None),
            Phase::Retrying { .. } => ("retrying", None),
            Phase::PastDue { .. } => ("past_due", None),
        };
        let over = why.is_some();
        let id = &self.terms.subscription_id;
        SubscriptionInfo {
            stream_id: self.stream,
            subscription_id: (!id.is_empty()).then(|| id.clone()),
            main_key: self.terms.owner,
            status,
            why,
            amount: self.amount,
            adjustment: self.adjustment,
            currency: self.terms.currency.clone(),
            calendar: self.terms.calendar.to_wire(),
            time_zone: self.terms.calendar.zone().map(|zone| zone.name()),
            description: self.terms.description.clone(),
            period: self.period,
            next_due: self.due.filter(|_| !over),
            acts_at: self.due_at().filter(|_| !over),
            paid: self.paid,
            attempts: self.attempts,
            until: self.terms.until,
            max_payments: self.terms.max_payments,
            payment: self.charge.map(|charge| charge.payment),
        }
    }
}

/// A subscription as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionInfo {
    /// Its stream, which names it.
    pub stream_id: StreamId,
    /// What the person's wallet calls it; absent before they have agreed.
    pub subscription_id: Option<String>,
    /// Who pays.
    pub main_key: PublicKey,
    /// `proposed`, `active`, `charging`, `retrying`, `past_due`, `paused`, `closing` or `closed`.
    pub status: &'static str,
    /// Why it ended, when it has.
    pub why: Option<SubscriptionEnd>,
    /// The amount of each charge.
    pub amount: u64,
    /// What the next charge is more or less.
    pub adjustment: i64,
    /// The unit of both.
    pub currency: Currency,
    /// When it is charged.
    pub calendar: String,
    /// In which time zone; UTC when absent.
    pub time_zone: Option<&'static str>,
    /// What it is for.
    pub description: Option<String>,
    /// The number of the period that is charged next, or now.
    pub period: u32,
    /// When that period is due.
    pub next_due: Option<Timestamp>,
    /// When the scheduler acts on it next by the clock; absent while it waits for a payment or a
    /// resumption.
    pub acts_at: Option<Timestamp>,
    /// How many periods are paid.
    pub paid: u32,
    /// How often the person was asked to pay the period.
    pub attempts: u32,
    /// No period that is due later is charged.
    pub until: Option<Timestamp>,
    /// No more periods than this are charged.
    pub max_payments: Option<u32>,
    /// The stream of the payment that is open.
    pub payment: Option<StreamId>,
}

/// Why a subscription did not do as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has ended, or is about to.
    #[error("the subscription has ended")]
    Over,
    /// The person has not agreed yet.
    #[error("the person has not agreed yet")]
    Proposed,
    /// It is charged already, by another schedule.
    #[error("the subscription is charged already")]
    Charged,
    /// The amount is zero, or so large that sums with it do not fit.
    #[error("the amount is zero or too large")]
    Amount,
}

/// A calendar with its time zone, which it does not have on the wire.
mod zoned {
    use super::{Calendar, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        calendar: &Calendar,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(calendar)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Calendar, D::Error> {
        Calendar::deserialize(deserializer)
    }
}

const fn nowhere() -> StreamId {
    StreamId::from_uuid(uuid::Uuid::nil())
}

const fn is_zero(number: &i64) -> bool {
    *number == 0
}

const fn is_none_yet(number: &u32) -> bool {
    *number == 0
}
