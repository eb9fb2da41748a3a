//! `[rates]`: who says what a bitcoin costs, for amounts in fiat currencies.

use std::sync::Arc;
use std::time::Duration;

use portal_core::env::Env;
use portal_core::rates::http::{Fetcher, HttpSource, PublicSource};
use portal_core::rates::{DynRateSource, RateDesk, RateOptions};

use super::problem::Problem;
use super::values::Values;

/// Who says what a bitcoin costs. Nobody is asked before an amount in a fiat currency is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatesConfig {
    /// `rates.enabled`. Without it amounts in fiat currencies are refused.
    pub enabled: bool,
    /// `rates.sources` and the addresses in `rates.urls`; `None` when neither is set, which means
    /// all public ones, or in `--dev` the simulated one.
    pub sources: Option<Vec<SourceConfig>>,
    /// How the answers are used.
    pub options: RateOptions,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Whose format it speaks.
    pub source: PublicSource,
    /// Where it is, when not at its own address.
    pub url: Option<String>,
}

const SOURCES: &str =
    "a list of sources: kraken, coinbase, coingecko, bitpay, yadio, bitso, nobitex, exir";

const fn url_key(source: PublicSource) -> &'static str {
    match source {
        PublicSource::Kraken => "rates.urls.kraken",
        PublicSource::Coinbase => "rates.urls.coinbase",
        PublicSource::CoinGecko => "rates.urls.coingecko",
        PublicSource::BitPay => "rates.urls.bitpay",
        PublicSource::Yadio => "rates.urls.yadio",
        PublicSource::Bitso => "rates.urls.bitso",
        PublicSource::Nobitex => "rates.urls.nobitex",
        PublicSource::Exir => "rates.urls.exir",
    }
}

impl RatesConfig {
    /// The desk that the service prices amounts with; `None` when it is switched off.
    #[must_use]
    pub fn desk(&self, env: Env) -> Option<Arc<RateDesk>> {
        if !self.enabled {
            return None;
        }
        let fetcher = Arc::new(Fetcher::default());
        let at_home =
            || PublicSource::ALL.map(|source| SourceConfig { source, url: None }).to_vec();
        let sources = self.sources.clone().unwrap_or_else(at_home);
        let sources = sources
            .into_iter()
            .filter_map(|SourceConfig { source, url }| {
                let fetcher = fetcher.clone();
                let source = match url {
                    // The loader has tried the address; nobody is asked elsewhere instead.
                    Some(url) => HttpSource::at(source, &url, fetcher).ok()?,
                    None => HttpSource::new(source, fetcher),
                };
                Some(Arc::new(source) as DynRateSource)
            })
            .collect();
        Some(Arc::new(RateDesk::new(env, sources, self.options)))
    }

    pub(super) fn take(values: &mut Values) -> Self {
        let enabled = values.flag("rates.enabled").unwrap_or(true);
        let name = values.name_of("rates.sources");
        let named = values.list("rates.sources").and_then(|names| {
            let known: Option<Vec<_>> =
                names.iter().map(|name| PublicSource::from_name(name)).collect();
            known.or_else(|| values.wrong(name, SOURCES))
        });
        let urls = PublicSource::ALL.map(|source| (source, url(values, source)));
        let moved = urls.iter().any(|(_, url)| url.is_some());
        let sources = (named.is_some() || moved).then(|| {
            urls.into_iter()
                .filter(|(source, _)| named.as_ref().is_none_or(|named| named.contains(source)))
                .map(|(source, url)| SourceConfig { source, url })
                .collect()
        });
        let usual = RateOptions::default();
        let mut seconds = |key, usual: Duration, least: u64| {
            let name = values.name_of(key);
            let number = match values.number::<u64>(key, "a number of seconds") {
                Some(number) if number < least || number > 86_400 => {
                    values.wrong(name, "a number of seconds, not too few and at most a day")
                }
                number => number,
            };
            number.map_or(usual, Duration::from_secs)
        };
        let fresh = seconds("rates.fresh_seconds", usual.fresh, 1);
        let stale = seconds("rates.stale_seconds", usual.stale, 1);
        let lock = seconds("rates.lock_seconds", usual.lock, 30);
        if stale < fresh {
            let name = values.name_of("rates.stale_seconds");
            values.problem(Problem::WrongForm {
                name,
                expected: "no less than `rates.fresh_seconds`",
            });
        }
        let name = values.name_of("rates.at_least");
        let at_least = match values.number::<u8>("rates.at_least", "a number of sources") {
            Some(0 | 4..) => values.wrong(name, "a number of sources between 1 and 3"),
            number => number,
        };
        let at_least = at_least.map_or(usual.at_least, usize::from);
        Self { enabled, sources, options: RateOptions { fresh, stale, lock, at_least, ..usual } }
    }
}

fn url(values: &mut Values, source: PublicSource) -> Option<String> {
    let key = url_key(source);
    let name = values.name_of(key);
    let url = values.text(key)?;
    match HttpSource::at(source, &url, Arc::default()) {
        Ok(_) => Some(url),
        Err(_) => values.wrong(name, "an address that begins with http:// or https://"),
    }
}
