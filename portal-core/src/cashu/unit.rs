//! A unit of a mint: `sat`, `vip`, `general`.
//!
//! Every amount next to a unit counts in the base of that unit: 3 `vip` are three tickets, 10 `sat`
//! are ten satoshi. Older documentation calls such amounts "millisats"; that was an error, no unit
//! is ever multiplied by a thousand here.

use std::fmt;
use std::str::FromStr;

use cdk_common::CurrencyUnit;
use serde::{Deserialize, Serialize};

use super::CashuError;

/// The most of a unit that is handled at once: every program that hears of it can count so far, and
/// sums of it stay countable. A mint could sign any number.
pub(super) const MOST_AMOUNT: u64 = 1 << 53;
/// The longest name.
const MOST: usize = 64;

/// Units that are money wherever they appear. What is redeemed in one of them belongs to whoever
/// redeemed it, and is never destroyed.
const MONEY: [&str; 22] = [
    "sat", "msat", "btc", "usd", "eur", "gbp", "chf", "jpy", "cad", "aud", "nzd", "sek", "nok",
    "dkk", "pln", "czk", "huf", "brl", "mxn", "inr", "cny", "zar",
];

/// The name of a unit, normalised: no space around it, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Unit(String);

impl Unit {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is money, not tickets.
    #[must_use]
    pub fn is_money(&self) -> bool {
        MONEY.contains(&self.0.as_str())
    }

    pub(super) fn currency(&self) -> CurrencyUnit {
        CurrencyUnit::from_str(&self.0).unwrap_or_else(|_| CurrencyUnit::custom(&self.0))
    }

    pub(super) fn from_currency(unit: &CurrencyUnit) -> Result<Self, CashuError> {
        unit.to_string().parse()
    }
}

impl FromStr for Unit {
    type Err = CashuError;

    fn from_str(text: &str) -> Result<Self, CashuError> {
        if text.len() > MOST {
            return Err(CashuError::UnsupportedUnit);
        }
        let name = CurrencyUnit::custom(text).to_string();
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(CashuError::UnsupportedUnit);
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for Unit {
    type Error = CashuError;

    fn try_from(text: String) -> Result<Self, CashuError> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_one_spelling_and_money_is_told_from_tickets() {
        let read = |text: &str| text.parse::<Unit>().expect("a unit");
        assert_eq!(read(" VIP "), read("vip"));
        assert_eq!(read("SAT").currency(), CurrencyUnit::Sat);
        assert!(read("Sat").is_money() && read("EUR").is_money());
        assert!(!read("vip").is_money() && !read("early_bird").is_money());
        for wrong in ["", "  ", "a\u{7}b", &"x".repeat(65)] {
            assert!(wrong.parse::<Unit>().is_err(), "{wrong:?}");
        }
    }
}
