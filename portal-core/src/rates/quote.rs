//! A rate, and a quote: an amount priced at a rate that is locked for a while.
//!
//! Here, and nowhere else, the hundredths of the wire become minor units, and rates take the shape
//! of the wire.

use std::time::Duration;

use super::Price;
use super::price::PriceError;
use crate::primitives::{CurrencyCode, FiatAmount, Millisats, MoneyError, Timestamp};
use crate::protocol::ExchangeRate;

/// What a bitcoin costs in a currency, by those who agreed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The currency.
    pub currency: CurrencyCode,
    /// Its units for a bitcoin.
    pub price: Price,
    /// The names of the sources, in the order of the currency, with commas between them.
    pub source: String,
    /// When they were asked.
    pub at: Timestamp,
}

/// An amount of fiat money and what it comes to, until a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The amount that was priced.
    pub amount: FiatAmount,
    /// What it comes to at the rate, rounded down by less than a millisatoshi.
    pub millisats: Millisats,
    /// The rate that is locked.
    pub rate: Rate,
    /// Until when it may be used.
    pub expires_at: Timestamp,
}

impl Rate {
    /// The shape that requests carry.
    #[must_use]
    pub fn to_wire(&self) -> ExchangeRate {
        ExchangeRate { rate: self.price.to_wire(), source: self.source.clone(), time: self.at }
    }

    /// An amount at this rate, locked from `now` on.
    ///
    /// # Errors
    /// When the amount comes to less than a millisatoshi or more than all bitcoin, or is in
    /// another currency.
    pub fn lock(
        self,
        amount: FiatAmount,
        now: Timestamp,
        lock: Duration,
    ) -> Result<Quote, MoneyError> {
        if amount.currency != self.currency {
            return Err(MoneyError::UnknownCurrency { code: amount.currency.to_string() });
        }
        let millisats = self.price.millisats(amount)?;
        Ok(Quote { amount, millisats, rate: self, expires_at: now.saturating_add(lock) })
    }
}

impl Quote {
    /// Whether it may still be used.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// The rate in the shape that requests carry.
    #[must_use]
    pub fn exchange_rate(&self) -> ExchangeRate {
        self.rate.to_wire()
    }
}

/// Reads an amount of the wire: hundredths, whatever the currency.
///
/// # Errors
/// When the currency is no code of three capital letters, or the hundredths are not a whole number
/// of its minor units.
pub fn fiat(hundredths: u64, currency: &str) -> Result<FiatAmount, MoneyError> {
    FiatAmount::from_wire_hundredths(hundredths, CurrencyCode::parse(currency)?)
}

/// The rate that a request names.
///
/// # Errors
/// When its number is no price.
pub fn claimed(rate: &ExchangeRate) -> Result<Price, PriceError> {
    Price::from_wire(rate.rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> Rate {
        Rate {
            currency: CurrencyCode::parse("EUR").expect("known form"),
            price: Price::parse("65000.5").expect("a price"),
            source: "kraken,coinbase".to_owned(),
            at: Timestamp::from_secs(1_700_000_000),
        }
    }

    #[test]
    fn a_quote_carries_the_rate_it_was_made_with_and_ends() {
        let now = Timestamp::from_secs(1_700_000_010);
        let amount = fiat(1_999, "EUR").expect("whole cents");
        let quote = rate().lock(amount, now, Duration::from_secs(300)).expect("in range");
        assert_eq!(quote.millisats, Millisats::new(30_753_609));
        let json = serde_json::to_string(&quote.exchange_rate()).expect("serialises");
        assert_eq!(json, r#"{"rate":65000.5,"source":"kraken,coinbase","time":"1700000000"}"#);
        assert!(quote.is_valid(Timestamp::from_secs(1_700_000_309)));
        assert!(!quote.is_valid(Timestamp::from_secs(1_700_000_310)));
        let read: ExchangeRate = serde_json::from_str(&json).expect("reads back");
        assert_eq!(claimed(&read).map(|price| price.millisats(amount)), Ok(Ok(quote.millisats)));
    }

    #[test]
    fn an_amount_in_another_currency_is_not_priced() {
        let amount = fiat(1_999, "USD").expect("whole cents");
        let refused = rate().lock(amount, Timestamp::from_secs(0), Duration::ZERO);
        assert!(matches!(refused, Err(MoneyError::UnknownCurrency { .. })), "{refused:?}");
    }

    #[test]
    fn hundredths_of_the_wire_are_minor_units() {
        for (code, hundredths, minor) in [
            ("EUR", 1_999, 1_999),
            ("JPY", 150_000, 1_500),
            ("KRW", 1_000_000, 10_000),
            ("KWD", 150, 1_500),
            ("RON", 5_000, 5_000),
            ("ARS", 1_000_000, 1_000_000),
            ("IRR", 500_000_000, 500_000_000),
        ] {
            assert_eq!(fiat(hundredths, code).map(|amount| amount.minor), Ok(minor), "{code}");
        }
        assert_eq!(fiat(150, "JPY"), Err(MoneyError::NotRepresentable), "one and a half yen");
        assert!(matches!(fiat(1, "eur"), Err(MoneyError::UnknownCurrency { .. })));
    }
}
