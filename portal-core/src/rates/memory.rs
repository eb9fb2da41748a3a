//! A source that says what it was told to: for `--dev`, for tests, and for apps that know a rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Price, PriceError, Prices, RateSource, SourceError};
use crate::primitives::{CurrencyCode, Timestamp};

/// A source that says what it was told to.
#[derive(Debug)]
pub struct MemorySource {
    name: String,
    rank: u8,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    prices: HashMap<CurrencyCode, Price>,
    at: Option<Timestamp>,
    failure: Option<SourceError>,
    asked: u64,
}

impl MemorySource {
    /// A source that knows nothing yet. It is asked first, about any currency.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rank: 0, state: Mutex::default() }
    }

    /// A source with these prices.
    ///
    /// # Errors
    /// When a code or a price cannot be read.
    pub fn with(name: &str, prices: &[(&str, &str)]) -> Result<Self, PriceError> {
        let source = Self::new(name);
        for (code, price) in prices {
            let currency = CurrencyCode::parse(code).map_err(|_| PriceError::NotANumber)?;
            source.set(currency, Price::parse(price)?);
        }
        Ok(source)
    }

    /// Its place in the order.
    #[must_use]
    pub const fn ranked(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    /// From now on this is the price.
    pub fn set(&self, currency: CurrencyCode, price: Price) {
        self.state(|state| state.prices.extend([(currency, price)]));
    }

    /// From now on it says that its prices are of this moment.
    pub fn dated(&self, at: Option<Timestamp>) {
        self.state(|state| state.at = at);
    }

    /// From now on it fails, or answers again.
    pub fn fail(&self, failure: Option<SourceError>) {
        self.state(|state| state.failure = failure);
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.state(|state| state.asked)
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl RateSource for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn rank(&self, _: CurrencyCode) -> Option<u8> {
        Some(self.rank)
    }

    async fn prices(&self, currency: CurrencyCode) -> Result<Prices, SourceError> {
        self.state(|state| {
            state.asked = state.asked.saturating_add(1);
            if let Some(failure) = state.failure {
                return Err(failure);
            }
            let price = *state.prices.get(&currency).ok_or(SourceError::NotQuoted)?;
            Ok(Prices { at: state.at, prices: vec![(currency, price)] })
        })
    }
}
