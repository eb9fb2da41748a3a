//! Sums of subscriptions: proration, and the amount of a charge with what was carried over.

use std::time::Duration;

use crate::primitives::{CurrencyCode, Timestamp};
use crate::protocol::Currency;

/// What the next charge is more, or less, when the amount changes while a period runs: the
/// difference for the time that is left of it, rounded down, which favours the payer either way.
/// `None` when it does not fit.
#[must_use]
pub fn prorated(
    old: u64,
    new: u64,
    currency: &Currency,
    period: (Timestamp, Timestamp),
    now: Timestamp,
) -> Option<i64> {
    let (start, end) = period;
    let length = end.saturating_since(start);
    let left = end.saturating_since(now).min(length);
    if length == Duration::ZERO {
        return Some(0);
    }
    let difference = i128::from(new) - i128::from(old);
    let share = (difference * i128::from(left.as_secs())).div_euclid(i128::from(length.as_secs()));
    let unit = i128::from(granularity(old, new, currency));
    i64::try_from(share.div_euclid(unit).checked_mul(unit)?).ok()
}

/// What is asked for, and the adjustment that remains: a credit larger than the amount covers it.
#[must_use]
pub fn with_adjustment(amount: u64, adjustment: i64) -> (u64, i64) {
    let sum = i128::from(amount) + i128::from(adjustment);
    if sum > 0 {
        (u64::try_from(sum).unwrap_or(u64::MAX), 0)
    } else {
        (0, i64::try_from(sum).unwrap_or(i64::MIN))
    }
}

/// The smallest step of an amount that can be asked for: a wallet may know only whole satoshi, and
/// a currency without minor units only whole units (which are a hundred on the wire).
fn granularity(old: u64, new: u64, currency: &Currency) -> u64 {
    let step = match currency {
        Currency::Millisats => 1000,
        Currency::Fiat(code) => match CurrencyCode::parse(code).map(CurrencyCode::exponent) {
            Ok(0) => 100,
            Ok(1) => 10,
            _ => 1,
        },
    };
    if old.is_multiple_of(step) && new.is_multiple_of(step) { step } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(old: u64, new: u64, currency: &str, now: u64) -> Option<i64> {
        let period = (Timestamp::from_secs(100), Timestamp::from_secs(200));
        prorated(old, new, &Currency::from(currency), period, Timestamp::from_secs(now))
    }

    #[test]
    fn the_rest_of_the_period_costs_the_difference() {
        assert_eq!(share(1000, 2000, "EUR", 150), Some(500));
        assert_eq!(share(2000, 1000, "EUR", 150), Some(-500));
        assert_eq!(share(1000, 1001, "EUR", 150), Some(0), "rounded down");
        assert_eq!(share(1001, 1000, "EUR", 150), Some(-1), "for the payer");
        assert_eq!(share(1000, 2000, "EUR", 200), Some(0), "nothing is left");
        assert_eq!(share(1000, 2000, "EUR", 50), Some(1000), "the period has not begun");
    }

    #[test]
    fn what_cannot_be_asked_for_is_rounded_away() {
        assert_eq!(share(10_000, 20_000, "Millisats", 175), Some(2000));
        assert_eq!(share(10_001, 20_000, "Millisats", 175), Some(2499), "it has fractions anyway");
        assert_eq!(share(10_000, 19_900, "JPY", 150), Some(4_900));
        assert_eq!(share(19_900, 10_000, "JPY", 150), Some(-5_000));
        assert_eq!(share(1, u64::MAX, "EUR", 100), None, "does not fit");
    }

    #[test]
    fn a_credit_covers_and_its_rest_stays() {
        assert_eq!(with_adjustment(1000, 250), (1250, 0));
        assert_eq!(with_adjustment(1000, -250), (750, 0));
        assert_eq!(with_adjustment(1000, -1000), (0, 0));
        assert_eq!(with_adjustment(1000, -2500), (0, -1500));
        assert_eq!(with_adjustment(u64::MAX, i64::MAX), (u64::MAX, 0));
    }
}
