//! What a person allowed a service to take, and whether a charge is within it. The machine of the
//! client's side: no I/O.
//!
//! ```text
//!   charge of the right service ──within what was allowed──▶ reserved, then paid
//!                               └─anything else────────────▶ the person is asked
//!   reserved ──wallet: settled──▶ taken      ──wallet: failed for certain──▶ given back
//!   closed by the person or by the service ──▶ nothing is paid without asking
//! ```
//!
//! # Invariants
//! - A period is reserved, and that is saved, before the wallet is asked to pay; it is given back
//!   only when the wallet says for certain that it did not pay. A period is never taken twice.
//! - What was not taken lapses: at most [`KEPT`] periods can be taken at once, whatever a service
//!   has left out before.
//! - Only the service that the person agreed with may take, and only it may close.

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use crate::primitives::{Millisats, StreamId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::calendar::Calendar;
use crate::protocol::subscription::Recurrence;
use crate::storage::StorageError;
use crate::storage::schedule::AuthorizationRecord;

/// How much earlier than by the calendar a charge may come: its time zone does not cross the wire,
/// and no zone is further ahead than this.
const LEAD_SECS: u64 = 14 * 3600;
/// The most periods that are kept for a service that did not take them in time.
pub const KEPT: usize = 3;
/// The most periods that were given back and may be taken again.
const MOST_OWED: usize = 8;
/// The most payments of one subscription whose outcome is not known.
const MOST_RESERVED: usize = 8;

/// A subscription that the person agreed to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    /// What it is called on the wire; chosen on this side.
    #[serde(skip)]
    pub subscription_id: String,
    /// The request that was agreed to.
    pub request: StreamId,
    /// Who may charge: a main key.
    #[serde(skip, default = "nobody")]
    pub service: PublicKey,
    /// The most that a charge may be.
    pub amount: u64,
    /// Its unit.
    pub currency: Currency,
    /// By how many thousandths an invoice may be above what a fiat amount is worth by our rates.
    pub tolerance_permille: u16,
    /// When, how often and until when.
    pub recurrence: Recurrence,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether charges are paid without asking.
    pub automatic: bool,
    /// The first period that was not taken; `None` when there is none.
    pub next: Option<Timestamp>,
    /// Periods that were given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Timestamp>,
    /// How many periods are taken.
    pub taken: u32,
    /// Of these, payments whose outcome is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<Reserved>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// A period that is being paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The request for it.
    pub request: StreamId,
    /// The payment.
    #[serde(with = "hex::serde")]
    pub payment_hash: [u8; 32],
    /// The period.
    pub period: Timestamp,
}

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// By the service, or by the person.
    pub by_service: bool,
    /// Why, if they said.
    pub reason: Option<String>,
}

/// A charge, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Who asks: a main key, or the key that signed when nothing is known of another.
    pub service: PublicKey,
    /// The request.
    pub request: StreamId,
    /// How much, in the unit.
    pub amount: u64,
    /// The unit.
    pub currency: Currency,
    /// The payment.
    pub payment_hash: [u8; 32],
    /// What the invoice says.
    pub invoice: Millisats,
    /// What is wrong with the price of a fiat amount, by our own rates and the tolerance.
    pub unfair: Option<Doubt>,
}

/// Why the person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Another service asks than the person agreed with.
    #[error("another service asks than the one that was agreed with")]
    OtherService,
    /// It has ended.
    #[error("the subscription has ended")]
    Over,
    /// The person wants to be asked.
    #[error("charges of this subscription are not paid without asking")]
    NotAutomatic,
    /// Another unit than agreed.
    #[error("the charge is in another currency than was agreed to")]
    OtherCurrency,
    /// More than agreed.
    #[error("the charge is higher than was agreed to")]
    TooMuch,
    /// The invoice does not fit the amount.
    #[error("the invoice is for more than the amount is worth")]
    InvoiceTooHigh,
    /// Nobody quotes the currency now.
    #[error("what the amount is worth is not known now")]
    NoQuote,
    /// No period is due.
    #[error("no period is due by the calendar that was agreed to")]
    TooEarly,
    /// All periods are taken.
    #[error("all payments that were agreed to are made")]
    NoneLeft,
    /// Too many payments are under way.
    #[error("too many payments of this subscription are under way")]
    Unsettled,
    /// Not an invoice that can be paid.
    #[error("the invoice cannot be paid")]
    BadInvoice,
}

impl Authorization {
    /// Reads a row.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when it is not one of ours.
    pub fn read(record: &AuthorizationRecord) -> Result<Self, StorageError> {
        let mut read: Self = serde_json::from_slice(&record.state)
            .map_err(|_| StorageError::Corrupt { what: "authorization" })?;
        read.subscription_id.clone_from(&record.subscription_id);
        read.service = record.service;
        Ok(read)
    }

    /// Its row.
    #[must_use]
    pub fn record(&self) -> AuthorizationRecord {
        AuthorizationRecord {
            subscription_id: self.subscription_id.clone(),
            service: self.service,
            ended_at: self.closed.as_ref().map(|closed| closed.at),
            state: serde_json::to_vec(self)
                .expect("an authorization is made of strings, numbers and lists"),
        }
    }

    /// The period that a charge is for, when it is within what the person allowed. A charge that
    /// is being paid already is for the same period as before.
    ///
    /// # Errors
    /// Why the person must be asked.
    pub fn judge(&self, demand: &Demand, now: Timestamp) -> Result<Timestamp, Doubt> {
        if demand.service != self.service {
            return Err(Doubt::OtherService);
        }
        if let Some(reserved) = self.reserved_for(&demand.payment_hash) {
            // Another request with the same hash may carry an invoice over any amount.
            if reserved.request != demand.request {
                return Err(Doubt::Unsettled);
            }
            return Ok(reserved.period);
        }
        if self.closed.is_some() {
            return Err(Doubt::Over);
        }
        if !self.automatic {
            return Err(Doubt::NotAutomatic);
        }
        if demand.currency != self.currency {
            return Err(Doubt::OtherCurrency);
        }
        if demand.amount > self.amount {
            return Err(Doubt::TooMuch);
        }
        match (&self.currency, demand.unfair) {
            (Currency::Fiat(_), Some(doubt)) => return Err(doubt),
            (Currency::Fiat(_), None) => {}
            // A wallet that knows only satoshi rounds up.
            (Currency::Millisats, _) => {
                let most = Millisats::new(demand.amount).sats_rounded_up();
                if demand.invoice.sats_rounded_up() > most {
                    return Err(Doubt::InvoiceTooHigh);
                }
            }
        }
        if self.reserved.len() >= MOST_RESERVED {
            return Err(Doubt::Unsettled);
        }
        if self.recurrence.max_payments.is_some_and(|most| self.taken >= most) {
            return Err(Doubt::NoneLeft);
        }
        if let Some(owed) = self.owed.iter().min() {
            return Ok(*owed);
        }
        let next = self.next.ok_or(Doubt::NoneLeft)?;
        let horizon = Timestamp::from_secs(now.as_secs().saturating_add(LEAD_SECS));
        if next > horizon {
            return Err(Doubt::TooEarly);
        }
        Ok(self.oldest_kept(next, horizon))
    }

    /// The period is being paid: save this, then pay. False when it was reserved before.
    pub fn reserve(&mut self, demand: &Demand, period: Timestamp) -> bool {
        if self.reserved_for(&demand.payment_hash).is_some() {
            return false;
        }
        if let Some(place) = self.owed.iter().position(|owed| *owed == period) {
            self.owed.swap_remove(place);
        } else {
            self.next = self.after(period);
        }
        self.taken = self.taken.saturating_add(1);
        let Demand { request, payment_hash, .. } = *demand;
        self.reserved.push(Reserved { request, payment_hash, period });
        true
    }

    /// The wallet paid.
    pub fn settle(&mut self, payment_hash: &[u8; 32]) {
        self.reserved.retain(|reserved| reserved.payment_hash != *payment_hash);
    }

    /// The wallet did not pay, for certain.
    pub fn give_back(&mut self, payment_hash: &[u8; 32]) {
        let Some(reserved) = self.reserved_for(payment_hash).copied() else { return };
        self.settle(payment_hash);
        self.taken = self.taken.saturating_sub(1);
        if self.owed.len() < MOST_OWED {
            self.owed.push(reserved.period);
        }
    }

    /// It is over. False when it was before.
    pub fn close(&mut self, closed: Closed) -> bool {
        let open = self.closed.is_none();
        if open {
            self.closed = Some(closed);
        }
        open
    }

    fn reserved_for(&self, payment_hash: &[u8; 32]) -> Option<&Reserved> {
        self.reserved.iter().find(|reserved| reserved.payment_hash == *payment_hash)
    }

    /// The oldest period from `next` on that has not lapsed.
    fn oldest_kept(&self, next: Timestamp, horizon: Timestamp) -> Timestamp {
        let calendar: &Calendar = &self.recurrence.calendar;
        let mut oldest = next;
        let mut until = self.recurrence.until.map_or(horizon, |end| horizon.min(end));
        for _ in 0..KEPT {
            // Otherwise `next` itself is among the last ones.
            let Some(later) = calendar.last_between(next, until) else { return next };
            oldest = later;
            until = Timestamp::from_secs(later.as_secs().saturating_sub(1));
        }
        oldest
    }

    fn after(&self, period: Timestamp) -> Option<Timestamp> {
        let next = self.recurrence.calendar.next_after(period)?;
        self.recurrence.until.is_none_or(|until| next <= until).then_some(next)
    }
}

fn nobody() -> PublicKey {
    PublicKey::from_byte_array([0; 32])
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_735_689_600;
    const DAY: u64 = 24 * 3600;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(START + seconds)
    }

    fn key(number: u8) -> PublicKey {
        PublicKey::from_byte_array([number; 32])
    }

    fn allowed(currency: &str) -> Authorization {
        Authorization {
            subscription_id: "sub".to_owned(),
            request: StreamId::from_uuid(uuid::Uuid::from_u128(1)),
            service: key(1),
            amount: 1000,
            currency: Currency::from(currency),
            tolerance_permille: 10,
            recurrence: Recurrence {
                until: None,
                calendar: "daily".parse().expect("legal"),
                max_payments: Some(10),
                first_payment_due: at(0),
            },
            description: None,
            automatic: true,
            next: Some(at(0)),
            owed: Vec::new(),
            taken: 0,
            reserved: Vec::new(),
            closed: None,
        }
    }

    fn demand(number: u8) -> Demand {
        Demand {
            service: key(1),
            request: StreamId::from_uuid(uuid::Uuid::from_u128(u128::from(number))),
            amount: 1000,
            currency: Currency::Millisats,
            payment_hash: [number; 32],
            invoice: Millisats::new(1000),
            unfair: None,
        }
    }

    /// Takes a period, as the client does.
    fn take(it: &mut Authorization, number: u8, now: Timestamp) -> Result<Timestamp, Doubt> {
        let period = it.judge(&demand(number), now)?;
        assert!(it.reserve(&demand(number), period));
        it.settle(&[number; 32]);
        Ok(period)
    }

    #[test]
    fn a_charge_within_what_was_allowed_takes_one_period_each() {
        let mut it = allowed("Millisats");
        assert_eq!(take(&mut it, 1, at(5)), Ok(at(0)));
        assert_eq!(take(&mut it, 2, at(6)), Err(Doubt::TooEarly), "one a day");
        assert_eq!(take(&mut it, 2, at(DAY - 14 * 3600)), Ok(at(DAY)), "in the farthest zone");
        assert_eq!(take(&mut it, 3, at(DAY)), Err(Doubt::TooEarly));
        let read = Authorization::read(&it.record()).expect("ours");
        assert_eq!(read, it);
    }

    #[test]
    fn anything_else_asks() {
        let it = allowed("Millisats");
        let judge = |change: &dyn Fn(&mut Demand)| {
            let mut demand = demand(1);
            change(&mut demand);
            it.judge(&demand, at(5))
        };
        assert_eq!(judge(&|demand| demand.service = key(2)), Err(Doubt::OtherService));
        assert_eq!(judge(&|demand| demand.amount = 1001), Err(Doubt::TooMuch));
        assert_eq!(judge(&|it| it.invoice = Millisats::new(1001)), Err(Doubt::InvoiceTooHigh));
        let odd = |it: &mut Demand| (it.amount, it.invoice) = (999, Millisats::new(1000));
        assert!(judge(&odd).is_ok(), "rounded up to a satoshi");
        assert_eq!(judge(&|it| it.currency = Currency::from("EUR")), Err(Doubt::OtherCurrency));
        let more = |it: &mut Demand| (it.amount, it.invoice) = (1, Millisats::new(1001));
        assert_eq!(judge(&more), Err(Doubt::InvoiceTooHigh));
        assert!(judge(&|it| (it.amount, it.invoice) = (1, Millisats::new(1))).is_ok(), "less");
        let asks = Authorization { automatic: false, ..allowed("Millisats") };
        assert_eq!(asks.judge(&demand(1), at(5)), Err(Doubt::NotAutomatic));
    }

    #[test]
    fn a_fiat_amount_is_judged_by_its_price() {
        let it = allowed("EUR");
        let judge = |unfair: Option<Doubt>| {
            let invoice = Millisats::new(u64::MAX);
            let currency = Currency::from("EUR");
            it.judge(&Demand { currency, invoice, unfair, ..demand(1) }, at(5))
        };
        for doubt in [Doubt::NoQuote, Doubt::InvoiceTooHigh] {
            assert_eq!(judge(Some(doubt)), Err(doubt));
        }
        assert!(judge(None).is_ok());
    }

    #[test]
    fn the_number_and_the_end_are_bounds() {
        let mut it = allowed("Millisats");
        it.recurrence.max_payments = Some(1);
        assert!(take(&mut it, 1, at(0)).is_ok());
        assert_eq!(take(&mut it, 2, at(9 * DAY)), Err(Doubt::NoneLeft));
        let mut it = allowed("Millisats");
        it.recurrence.until = Some(at(DAY));
        assert!(take(&mut it, 1, at(0)).is_ok());
        assert!(take(&mut it, 2, at(DAY)).is_ok());
        assert_eq!(take(&mut it, 3, at(9 * DAY)), Err(Doubt::NoneLeft));
    }

    #[test]
    fn what_a_service_left_out_lapses() {
        let mut it = allowed("Millisats");
        let late = at(100 * DAY);
        // With the lead the period of the next day is not due yet.
        assert_eq!(take(&mut it, 1, late), Ok(at(98 * DAY)));
        assert_eq!(take(&mut it, 2, late), Ok(at(99 * DAY)));
        assert_eq!(take(&mut it, 3, late), Ok(at(100 * DAY)));
        assert_eq!(take(&mut it, 4, late), Err(Doubt::TooEarly));
    }

    #[test]
    fn another_request_with_the_hash_of_a_reserved_one_asks_the_person() {
        let mut it = allowed("Millisats");
        let period = it.judge(&demand(1), at(0)).expect("due");
        assert!(it.reserve(&demand(1), period));
        let other = Demand { request: demand(2).request, invoice: Millisats::new(9), ..demand(1) };
        assert_eq!(it.judge(&other, at(0)), Err(Doubt::Unsettled));
    }

    #[test]
    fn a_period_is_given_back_only_once() {
        let mut it = allowed("Millisats");
        let period = it.judge(&demand(1), at(0)).expect("due");
        assert!(it.reserve(&demand(1), period));
        assert_eq!(it.judge(&demand(2), at(0)), Err(Doubt::TooEarly), "it is being paid");
        assert_eq!(it.judge(&demand(1), at(0)), Ok(period), "the same payment goes on");
        assert!(!it.reserve(&demand(1), period), "it has its place");
        it.give_back(&[1; 32]);
        it.give_back(&[1; 32]);
        assert_eq!((it.taken, it.owed.len()), (0, 1));
        assert_eq!(take(&mut it, 2, at(0)), Ok(period));
        assert_eq!(take(&mut it, 3, at(0)), Err(Doubt::TooEarly));
    }

    #[test]
    fn a_closed_one_pays_nothing_more_but_what_is_under_way() {
        let mut it = allowed("Millisats");
        let period = it.judge(&demand(1), at(0)).expect("due");
        it.reserve(&demand(1), period);
        let closed = Closed { at: at(1), by_service: true, reason: None };
        assert!(it.close(closed.clone()));
        assert!(!it.close(closed));
        assert_eq!(it.judge(&demand(1), at(0)), Ok(period));
        assert_eq!(it.judge(&demand(2), at(9 * DAY)), Err(Doubt::Over));
    }
}
