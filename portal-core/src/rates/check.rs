//! The payer's question: is the invoice what the request says, and is the request's rate fair?
//!
//! An invoice fits its request when it asks for no more than the amount at the rate that the
//! request names, rounded up to a satoshi (wallets that know only satoshi round up). The rate is
//! fair when it and ours are no further apart than a tolerance, in either direction. A request
//! without a rate is compared with ours alone. An invoice for less than was said harms nobody.

use super::{PriceError, RateDesk, RateError, quote};
use crate::primitives::{FiatAmount, Millisats, MoneyError};
use crate::protocol::{Currency, ExchangeRate};

/// What a request says about its price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim<'a> {
    /// The amount of the request: millisatoshi or hundredths.
    pub amount: u64,
    /// Its unit.
    pub currency: &'a Currency,
    /// The rate that the request names.
    pub rate: Option<&'a ExchangeRate>,
}

/// Why a price should not be paid without asking the person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The invoice asks for more than the request.
    #[error("the invoice asks for {invoice}, the request for {most}")]
    InvoiceTooHigh {
        /// What the invoice asks for.
        invoice: Millisats,
        /// The most that would fit.
        most: Millisats,
    },
    /// The request's rate is further from ours than is tolerated.
    #[error("the exchange rate of the request is too far from the market's")]
    UnfairRate,
    /// The request's rate is no price.
    #[error("the exchange rate of the request cannot be used")]
    NoPrice(#[from] PriceError),
    /// We have no rate of our own to compare with.
    #[error(transparent)]
    Rate(#[from] RateError),
}

impl From<MoneyError> for ClaimError {
    fn from(error: MoneyError) -> Self {
        Self::Rate(RateError::Money(error))
    }
}

impl Claim<'_> {
    /// What the request comes to by its own words: the amount of the invoice that answers it, and
    /// what a wallet shows. `None` when it names no rate.
    ///
    /// # Errors
    /// When the amount or the rate cannot be used.
    pub fn millisats(&self) -> Result<Option<Millisats>, ClaimError> {
        match (self.currency, self.rate) {
            (Currency::Millisats, _) => Ok(Some(Millisats::new(self.amount))),
            (Currency::Fiat(_), None) => Ok(None),
            (Currency::Fiat(code), Some(rate)) => {
                let amount = quote::fiat(self.amount, code)?;
                Ok(Some(quote::claimed(rate)?.millisats(amount)?))
            }
        }
    }
}

impl Claim<'_> {
    /// Whether an invoice asks for no more than the request by its own words; nothing is known of
    /// one in fiat that names no rate.
    ///
    /// # Errors
    /// When it asks for more, or the amount or the rate cannot be used.
    pub fn fits(&self, invoice: Millisats) -> Result<(), ClaimError> {
        self.millisats()?.map_or(Ok(()), |said| no_more(invoice, said))
    }
}

impl RateDesk {
    /// Whether an invoice fits what a request says, and the request's rate is at most
    /// `tolerance_permille` from ours. Nothing is asked when the amount is in millisatoshi.
    ///
    /// # Errors
    /// Why the person should be asked.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn check(
        &self,
        claim: Claim<'_>,
        invoice: Millisats,
        tolerance_permille: u16,
    ) -> Result<(), ClaimError> {
        claim.fits(invoice)?;
        let Currency::Fiat(code) = claim.currency else { return Ok(()) };
        let amount = quote::fiat(claim.amount, code)?;
        let ours = self.rate(amount.currency).await?.price;
        match claim.rate {
            Some(rate) if !quote::claimed(rate)?.agrees(ours, tolerance_permille) => {
                Err(ClaimError::UnfairRate)
            }
            Some(_) => Ok(()),
            None => no_more(invoice, tolerated(ours.millisats(amount)?, tolerance_permille)?),
        }
    }

    /// Whether what an invoice asks for is worth no more than an amount, within a tolerance: for
    /// payments that a person authorised beforehand.
    ///
    /// # Errors
    /// Why the person should be asked.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn is_worth_at_most(
        &self,
        invoice: Millisats,
        most: FiatAmount,
        tolerance_permille: u16,
    ) -> Result<(), ClaimError> {
        let ours = self.rate(most.currency).await?.price;
        no_more(invoice, tolerated(ours.millisats(most)?, tolerance_permille)?)
    }
}

/// Refuses an invoice above `said`, rounded up to a satoshi.
fn no_more(invoice: Millisats, said: Millisats) -> Result<(), ClaimError> {
    let most = Millisats::from_sats(said.sats_rounded_up()).unwrap_or(said);
    if invoice > most { Err(ClaimError::InvoiceTooHigh { invoice, most }) } else { Ok(()) }
}

fn tolerated(amount: Millisats, permille: u16) -> Result<Millisats, MoneyError> {
    let most = u128::from(amount.as_u64()).saturating_mul(1000 + u128::from(permille)) / 1000;
    u64::try_from(most).map(Millisats::new).map_err(|_| MoneyError::Overflow)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::env::mock;
    use crate::primitives::Timestamp;
    use crate::rates::memory::MemorySource;
    use crate::rates::{RateOptions, SourceError};

    fn desk() -> (RateDesk, Arc<MemorySource>) {
        let (env, _) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
        let source = MemorySource::with("ours", &[("EUR", "65000"), ("JPY", "10000000")]);
        let source = Arc::new(source.expect("prices"));
        (RateDesk::new(env, vec![source.clone()], RateOptions::default()), source)
    }

    fn rate(rate: f64) -> ExchangeRate {
        ExchangeRate { rate, source: "theirs".into(), time: Timestamp::from_secs(1_700_000_000) }
    }

    async fn checked(
        amount: u64,
        code: &str,
        rate: Option<&ExchangeRate>,
        msat: u64,
    ) -> Result<(), ClaimError> {
        let claim = Claim { amount, currency: &Currency::from(code), rate };
        desk().0.check(claim, Millisats::new(msat), 20).await
    }

    #[tokio::test]
    async fn an_invoice_of_the_claimed_amount_at_a_fair_rate_is_fine() {
        // 65 EUR at 65,000 are 100,000 sat.
        for msat in [100_000_000, 99_999_999, 1] {
            assert_eq!(checked(6_500, "EUR", Some(&rate(65_000.0)), msat).await, Ok(()), "{msat}");
        }
        // At 64,000 they are 101,562.5 sat: 1.6 % dearer, and rounded up to a satoshi.
        assert_eq!(checked(6_500, "EUR", Some(&rate(64_000.0)), 101_563_000).await, Ok(()));
        assert_eq!(checked(1_000_000, "JPY", None, 100_000_000).await, Ok(()));
        assert_eq!(checked(1_500, "Millisats", None, 2_000).await, Ok(()));
    }

    #[tokio::test]
    async fn an_invoice_above_the_claim_is_refused() {
        for (rate, msat) in [(Some(rate(65_000.0)), 100_000_001), (None, 102_000_001)] {
            let refused = checked(6_500, "EUR", rate.as_ref(), msat).await;
            assert!(matches!(refused, Err(ClaimError::InvoiceTooHigh { .. })), "{refused:?}");
        }
        let refused = checked(1_500, "Millisats", None, 2_001).await;
        assert!(matches!(refused, Err(ClaimError::InvoiceTooHigh { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_rate_far_from_ours_is_refused_either_way() {
        for bad in [63_000.0, 67_000.0, 1.0] {
            let refused = checked(6_500, "EUR", Some(&rate(bad)), 1).await;
            assert_eq!(refused, Err(ClaimError::UnfairRate), "{bad}");
        }
        for bad in [0.0, -65_000.0, f64::NAN, f64::INFINITY, 1e300, 1e-9] {
            let refused = checked(6_500, "EUR", Some(&rate(bad)), 1).await;
            assert!(matches!(refused, Err(ClaimError::NoPrice(_))), "{bad}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn what_we_cannot_price_is_not_waved_through() {
        let unknown = checked(6_500, "SEK", Some(&rate(65_000.0)), 1).await;
        assert!(
            matches!(unknown, Err(ClaimError::Rate(RateError::NotQuoted { .. }))),
            "{unknown:?}"
        );
        let word = checked(6_500, "bananas", Some(&rate(65_000.0)), 1).await;
        assert!(matches!(word, Err(ClaimError::Rate(RateError::Money(_)))), "{word:?}");
        let (desk, source) = desk();
        source.fail(Some(SourceError::Timeout));
        let claim = Claim { amount: 1, currency: &Currency::from("EUR"), rate: None };
        let silent = desk.check(claim, Millisats::new(1), 20).await;
        assert!(
            matches!(silent, Err(ClaimError::Rate(RateError::Unavailable { .. }))),
            "{silent:?}"
        );
    }

    #[tokio::test]
    async fn millisatoshi_need_no_rate() {
        let (desk, source) = desk();
        let claim = Claim { amount: 5, currency: &Currency::Millisats, rate: None };
        assert_eq!(desk.check(claim, Millisats::new(5), 0).await, Ok(()));
        assert_eq!(source.asked(), 0);
    }

    #[tokio::test]
    async fn an_authorised_amount_is_a_ceiling_with_a_tolerance() {
        let (desk, _) = desk();
        let most = quote::fiat(6_500, "EUR").expect("whole cents");
        assert_eq!(desk.is_worth_at_most(Millisats::new(102_000_000), most, 20).await, Ok(()));
        let over = desk.is_worth_at_most(Millisats::new(102_000_001), most, 20).await;
        assert!(matches!(over, Err(ClaimError::InvoiceTooHigh { .. })), "{over:?}");
    }

    #[test]
    fn what_a_request_comes_to_by_its_own_words() {
        let eur = Currency::from("EUR");
        let (fair, nan) = (rate(65_000.0), rate(f64::NAN));
        let claim = |rate| Claim { amount: 6_500, currency: &eur, rate };
        assert_eq!(claim(Some(&fair)).millisats(), Ok(Some(Millisats::new(100_000_000))));
        assert_eq!(claim(None).millisats(), Ok(None));
        assert!(claim(Some(&nan)).millisats().is_err());
    }
}
