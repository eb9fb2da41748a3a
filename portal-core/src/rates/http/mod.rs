//! Public sources over HTTP: well-known JSON interfaces that need no key.
//!
//! One GET, five seconds at most, no redirects, no proxy, 256 KiB at most. The whole tables of
//! [`PublicSource::Coinbase`], [`PublicSource::CoinGecko`], [`PublicSource::BitPay`] and
//! [`PublicSource::Yadio`] are read at once, so they do not learn which currency was asked for.
//!
//! | currencies | order | why |
//! |---|---|---|
//! | USD EUR GBP CAD JPY CHF AUD | kraken, coinbase, coingecko, bitpay, yadio | traded against bitcoin on the first |
//! | MXN BRL COP | bitso, coinbase, coingecko, bitpay, yadio | the same |
//! | ARS | yadio, bitso, coingecko, coinbase | street price first |
//! | IRR, and toman (IRT) | nobitex, exir, yadio | the others know only the official price |
//! | BOB CUP VES | yadio | the same |
//! | all others | coinbase, coingecko, bitpay, yadio | |

mod fetch;
mod formats;
mod named;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
pub use fetch::Fetcher;
pub use named::{NoSuchSource, named};
use url::Url;

use super::{Prices, RateSource, SourceError};
use crate::primitives::CurrencyCode;

/// A public source whose format is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicSource {
    /// An exchange; USD, EUR, GBP, CAD, JPY, CHF, AUD.
    Kraken,
    /// An exchange; nearly every currency.
    Coinbase,
    /// An aggregator; some fifty currencies.
    CoinGecko,
    /// A payment processor; nearly every currency.
    BitPay,
    /// An aggregator; street prices where they differ from official ones.
    Yadio,
    /// An exchange; MXN, ARS, BRL, COP.
    Bitso,
    /// An exchange in rial.
    Nobitex,
    /// An exchange in toman.
    Exir,
}

use PublicSource::{BitPay, Bitso, CoinGecko, Coinbase, Exir, Kraken, Nobitex, Yadio};

impl PublicSource {
    /// All of them.
    pub const ALL: [Self; 8] = [Kraken, Coinbase, CoinGecko, BitPay, Yadio, Bitso, Nobitex, Exir];

    /// The word that names it in configurations and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kraken => "kraken",
            Coinbase => "coinbase",
            CoinGecko => "coingecko",
            BitPay => "bitpay",
            Yadio => "yadio",
            Bitso => "bitso",
            Nobitex => "nobitex",
            Exir => "exir",
        }
    }

    /// The source with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// Where it is.
    #[must_use]
    pub const fn home(self) -> &'static str {
        match self {
            Kraken => "https://api.kraken.com",
            Coinbase => "https://api.coinbase.com",
            CoinGecko => "https://api.coingecko.com",
            BitPay => "https://bitpay.com",
            Yadio => "https://api.yadio.io",
            Bitso => "https://api.bitso.com",
            Nobitex => "https://apiv2.nobitex.ir",
            Exir => "https://api.exir.io",
        }
    }

    /// Who is asked about a currency, in this order.
    #[must_use]
    pub fn order(currency: CurrencyCode) -> &'static [Self] {
        match currency.as_str() {
            "USD" | "EUR" | "GBP" | "CAD" | "JPY" | "CHF" | "AUD" => {
                &[Kraken, Coinbase, CoinGecko, BitPay, Yadio]
            }
            "MXN" | "BRL" | "COP" => &[Bitso, Coinbase, CoinGecko, BitPay, Yadio],
            "ARS" => &[Yadio, Bitso, CoinGecko, Coinbase],
            "IRR" | "IRT" => &[Nobitex, Exir, Yadio],
            "BOB" | "CUP" | "VES" => &[Yadio],
            _ => &[Coinbase, CoinGecko, BitPay, Yadio],
        }
    }

    fn path(self, currency: CurrencyCode) -> String {
        let code = currency.as_str();
        match self {
            Kraken => format!("0/public/Ticker?pair=XBT{code}"),
            Coinbase => "v2/exchange-rates?currency=BTC".to_owned(),
            CoinGecko => "api/v3/exchange_rates".to_owned(),
            BitPay => "rates/BTC".to_owned(),
            Yadio => "exrates/BTC".to_owned(),
            Bitso => format!("v3/ticker/?book=btc_{}", code.to_ascii_lowercase()),
            Nobitex => "market/stats?srcCurrency=btc&dstCurrency=rls".to_owned(),
            Exir => "v2/ticker?symbol=btc-irt".to_owned(),
        }
    }

    /// Reads an answer of this source to a question about a currency.
    ///
    /// # Errors
    /// When it is not of the source's form, about something else, or its price is none.
    pub fn read(self, body: &[u8], currency: CurrencyCode) -> Result<Prices, SourceError> {
        match self {
            Kraken => formats::kraken(body, currency),
            Coinbase => formats::coinbase(body, currency),
            CoinGecko => formats::coingecko(body, currency),
            BitPay => formats::bitpay(body, currency),
            Yadio => formats::yadio(body, currency),
            Bitso => formats::bitso(body, currency),
            Nobitex => formats::nobitex(body),
            Exir => formats::exir(body),
        }
    }
}

/// A public source, at its own address or another.
#[derive(Debug)]
pub struct HttpSource {
    source: PublicSource,
    base: String,
    fetcher: Arc<Fetcher>,
}

/// The address is not one of a web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of a source of exchange rates must be http or https, without query or user")]
pub struct BaseError;

impl HttpSource {
    /// The source at its own address. Nothing is connected yet.
    #[must_use]
    pub fn new(source: PublicSource, fetcher: Arc<Fetcher>) -> Self {
        Self { source, base: format!("{}/", source.home()), fetcher }
    }

    /// The source, or what speaks like it, at this address: a mirror, a cache, a test.
    ///
    /// # Errors
    /// When it is not the address of a web server.
    pub fn at(source: PublicSource, base: &str, fetcher: Arc<Fetcher>) -> Result<Self, BaseError> {
        let url = Url::parse(base).map_err(|_| BaseError)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(BaseError);
        }
        Ok(Self { source, base: format!("{}/", url.as_str().trim_end_matches('/')), fetcher })
    }
}

#[async_trait]
impl RateSource for HttpSource {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rank(&self, currency: CurrencyCode) -> Option<u8> {
        let order = PublicSource::order(currency);
        let place = order.iter().position(|source| *source == self.source)?;
        // Behind sources of the app's own.
        u8::try_from(place).ok()?.checked_add(10)
    }

    async fn prices(&self, currency: CurrencyCode) -> Result<Prices, SourceError> {
        let url = format!("{}{}", self.base, self.source.path(currency));
        let body = self.fetcher.get(&url).await?;
        self.source.read(&body, currency)
    }
}
