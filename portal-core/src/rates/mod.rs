//! The port to sources of exchange rates, and the desk that makes one rate of their answers.
//!
//! ```text
//!   kraken ──┐  asked in the order    each answer kept    outliers out,
//!   coinbase ┼─ of the currency, ───> per source ───────> median ───────> Rate ───> Quote
//!   …        ┘  three at once                                             kept      locked
//!
//!   a kept rate:   fresh ──(1 min)──> aged ──(15 min)──> stale
//!                  used as it is      sources are asked; never used
//!                                     used if they fail
//! ```
//!
//! Nothing is asked before someone needs a price, and nothing is asked about a currency that
//! ISO 4217 does not know. Amounts inside are minor units by ISO 4217; the hundredths of the wire
//! are turned into them in [`quote`] and nowhere else. No sum is made with floating point.
//!
//! What is deliberately not here: historic rates, bids and asks, rates between fiat currencies.

pub mod check;
mod desk;
pub mod http;
pub mod memory;
pub mod price;
pub mod quote;

use std::sync::Arc;

use async_trait::async_trait;

pub use desk::{RateDesk, RateOptions};
pub use price::{Price, PriceError};
pub use quote::{Quote, Rate};

use crate::primitives::{CurrencyCode, MoneyError, Timestamp};

/// Any source of prices.
pub type DynRateSource = Arc<dyn RateSource>;

/// Someone who says what a bitcoin costs.
///
/// Implementations are dumb: caching, pauses after failures and the comparison with others are
/// done once, in [`RateDesk`].
#[async_trait]
pub trait RateSource: Send + Sync {
    /// A short word that names it, on the wire too: `kraken`.
    fn name(&self) -> &str;

    /// Its place in the order of this currency, the lowest first; `None` when it must not be asked
    /// about it.
    fn rank(&self, currency: CurrencyCode) -> Option<u8>;

    /// The price in this currency, and in whichever others come with the same answer.
    ///
    /// # Errors
    /// [`SourceError::NotQuoted`] when it does not know the currency; any other error is about the
    /// source as a whole.
    ///
    /// # Cancel safety
    /// Safe to drop.
    async fn prices(&self, currency: CurrencyCode) -> Result<Prices, SourceError>;
}

/// What a source answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    /// When the source says that it was so, where it says.
    pub at: Option<Timestamp>,
    /// The prices, each currency once.
    pub prices: Vec<(CurrencyCode, Price)>,
}

/// Why a source gave no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Unreachable,
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Timeout,
    /// It answered with something else than success. A redirect is not followed.
    #[error("it answered with the status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Its answer is longer than any honest one.
    #[error("its answer is too long")]
    TooLong,
    /// Its answer is not of the form that it documents.
    #[error("its answer cannot be read: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The price in its answer is none.
    #[error(transparent)]
    Price(#[from] PriceError),
    /// Its answer is about the past.
    #[error("its answer is old")]
    Old,
    /// It failed a moment ago and is left alone.
    #[error("it failed a moment ago")]
    Resting,
    /// It does not quote the currency.
    #[error("it does not quote the currency")]
    NotQuoted,
}

/// Why there is no rate for a currency or an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Nobody who may be asked quotes the currency.
    #[error("no source of exchange rates quotes {currency}")]
    NotQuoted {
        /// The currency.
        currency: CurrencyCode,
    },
    /// Those who quote it do not answer, and what they said before is too old.
    #[error("no source of exchange rates for {currency} answers, and the last rate is too old")]
    Unavailable {
        /// The currency.
        currency: CurrencyCode,
    },
    /// Too few of those who answered agree with one another.
    #[error("the sources of exchange rates for {currency} contradict one another")]
    Contradiction {
        /// The currency.
        currency: CurrencyCode,
    },
    /// The amount.
    #[error(transparent)]
    Money(#[from] MoneyError),
}
