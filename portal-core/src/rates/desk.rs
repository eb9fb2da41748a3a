//! The desk: asks sources in the order of the currency, and makes one rate of what they say.
//!
//! Three sources are asked at once. One that fails is replaced by the next in the order; when two
//! have answered and agree, the third gets a short moment more. Of the answers the median counts:
//! those further from it than the tolerance are refused, and what is left must be the majority,
//! else the next source in the order decides, else there is no rate. A single answer counts where
//! nobody else answers, unless more are demanded ([`RateOptions::at_least`]).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use super::{DynRateSource, Price, Prices, Quote, Rate, RateError, SourceError, quote};
use crate::env::Env;
use crate::primitives::{CurrencyCode, FiatAmount, Timestamp};

/// How many sources are asked at once.
const AT_ONCE: usize = 3;
/// How long a source that failed is left alone.
const REST: Duration = Duration::from_secs(15);
/// A clock that jumps further back than this makes what was learned before worthless.
const JUMP: Duration = Duration::from_secs(60);

/// How the desk works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateOptions {
    /// For how long a rate is used without asking again; a minute by default.
    pub fresh: Duration,
    /// When a rate may not be used any more, even if nobody answers; 15 minutes by default.
    pub stale: Duration,
    /// How long a quote is valid; five minutes by default, as long as a payment request is open.
    pub lock: Duration,
    /// How far sources may be from their median, in thousandths; 50 by default.
    pub tolerance_permille: u16,
    /// How many sources must agree; one by default.
    pub at_least: usize,
    /// How long all asking for one rate may take; eight seconds by default.
    pub patience: Duration,
    /// How long the others may take once two have answered and agree; 0.4 seconds by default.
    pub grace: Duration,
}

impl Default for RateOptions {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(60),
            stale: Duration::from_secs(15 * 60),
            lock: Duration::from_secs(300),
            tolerance_permille: 50,
            at_least: 1,
            patience: Duration::from_secs(8),
            grace: Duration::from_millis(400),
        }
    }
}

/// Where rates are asked for. Shared by whoever needs prices: what one learns, all know.
pub struct RateDesk {
    env: Env,
    options: RateOptions,
    slots: Vec<Slot>,
    kept: Mutex<HashMap<CurrencyCode, Rate>>,
}

impl RateDesk {
    /// A desk with these sources. Nothing is asked yet.
    #[must_use]
    pub fn new(env: Env, sources: Vec<DynRateSource>, options: RateOptions) -> Self {
        let slots = sources.into_iter().map(Slot::new).collect();
        Self { env, options, slots, kept: Mutex::default() }
    }

    /// The names of the sources of a currency in the order in which they are asked.
    #[must_use]
    pub fn order(&self, currency: CurrencyCode) -> Vec<&str> {
        self.ordered(currency).into_iter().map(|slot| slot.source.name()).collect()
    }

    /// The rate of a currency: a fresh one is at hand, or sources are asked.
    ///
    /// # Errors
    /// When nobody quotes the currency, nobody answers, or those who answer contradict one another
    /// and the last rate is stale.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn rate(&self, currency: CurrencyCode) -> Result<Rate, RateError> {
        let now = self.env.now();
        let kept = self.kept(currency).filter(|rate| is_within(rate.at, now, self.options.stale));
        if let Some(rate) = &kept
            && is_within(rate.at, now, self.options.fresh)
        {
            return Ok(rate.clone());
        }
        match self.ask(currency, now).await {
            Ok(rate) => {
                self.keep(rate.clone());
                Ok(rate)
            }
            Err(error) => match kept {
                Some(rate) => {
                    tracing::warn!(%currency, %error, "the last exchange rate is used");
                    Ok(rate)
                }
                None => Err(error),
            },
        }
    }

    /// Prices an amount and locks the rate.
    ///
    /// # Errors
    /// As [`RateDesk::rate`], and when the amount comes to nothing or to more than all bitcoin.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn quote(&self, amount: FiatAmount) -> Result<Quote, RateError> {
        let rate = self.rate(amount.currency).await?;
        Ok(rate.lock(amount, self.env.now(), self.options.lock)?)
    }

    /// The same for an amount as requests write it: hundredths and the code of the currency.
    ///
    /// # Errors
    /// As [`RateDesk::quote`], and when the amount cannot be read.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn quote_wire(&self, hundredths: u64, currency: &str) -> Result<Quote, RateError> {
        self.quote(quote::fiat(hundredths, currency)?).await
    }

    fn ordered(&self, currency: CurrencyCode) -> Vec<&Slot> {
        if !currency.is_listed() {
            return Vec::new();
        }
        let mut ranked: Vec<_> = self
            .slots
            .iter()
            .filter_map(|slot| slot.source.rank(currency).map(|rank| (rank, slot)))
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, slot)| slot).collect()
    }

    async fn ask(&self, currency: CurrencyCode, now: Timestamp) -> Result<Rate, RateError> {
        let order = self.ordered(currency);
        let mut deadline = Instant::now() + self.options.patience;
        let mut next = order.iter().copied().enumerate();
        let mut asked = FuturesUnordered::new();
        for (place, slot) in next.by_ref().take(AT_ONCE) {
            asked.push(self.ask_one(place, slot, currency));
        }
        let mut answers: Vec<(usize, Price)> = Vec::new();
        let mut silent = false;
        while let Ok(Some((place, answer))) = timeout_at(deadline, asked.next()).await {
            match answer {
                Ok(price) => answers.push((place, price)),
                Err(SourceError::NotQuoted) => {}
                Err(error) => {
                    silent = true;
                    let source = order.get(place).map(|slot| slot.source.name());
                    tracing::debug!(source, %currency, %error, "a source gave no exchange rate");
                }
            }
            let settled = self.settle(&answers).is_some();
            if settled && answers.len() > 1 {
                deadline = deadline.min(Instant::now() + self.options.grace);
            } else if answers.len() + asked.len() < AT_ONCE || (asked.is_empty() && !settled) {
                let more = next.next().map(|(place, slot)| self.ask_one(place, slot, currency));
                asked.extend(more);
            }
        }
        silent |= !asked.is_empty();
        match self.settle(&answers) {
            Some((price, places)) => {
                let names: Vec<_> = places
                    .iter()
                    .filter_map(|place| order.get(*place))
                    .map(|slot| slot.source.name())
                    .collect();
                Ok(Rate { currency, price, source: names.join(","), at: now })
            }
            None if answers.len() > 1 => Err(RateError::Contradiction { currency }),
            None if silent || !answers.is_empty() => Err(RateError::Unavailable { currency }),
            None => Err(RateError::NotQuoted { currency }),
        }
    }

    async fn ask_one(
        &self,
        place: usize,
        slot: &Slot,
        currency: CurrencyCode,
    ) -> (usize, Result<Price, SourceError>) {
        (place, slot.price(&self.env, &self.options, currency).await)
    }

    /// The median of those that agree, and who they are; `None` when they are not the majority, or
    /// too few.
    fn settle(&self, answers: &[(usize, Price)]) -> Option<(Price, Vec<usize>)> {
        let tolerance = self.options.tolerance_permille;
        let (low, high) = middles(answers)?;
        if !low.agrees(high, tolerance) {
            return None;
        }
        let median = low.middle(high);
        let mut agreed: Vec<_> =
            answers.iter().copied().filter(|(_, price)| price.agrees(median, tolerance)).collect();
        if agreed.len() * 2 <= answers.len() || agreed.len() < self.options.at_least {
            return None;
        }
        let (low, high) = middles(&agreed)?;
        agreed.sort_by_key(|(place, _)| *place);
        Some((low.middle(high), agreed.into_iter().map(|(place, _)| place).collect()))
    }

    fn kept(&self, currency: CurrencyCode) -> Option<Rate> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&currency).cloned()
    }

    fn keep(&self, rate: Rate) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(rate.currency, rate);
    }
}

impl std::fmt::Debug for RateDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.slots.iter().map(|slot| slot.source.name()).collect();
        f.debug_struct("RateDesk").field("sources", &names).field("options", &self.options).finish()
    }
}

/// The lower and the upper of the two in the middle; the same twice when their number is odd.
fn middles(answers: &[(usize, Price)]) -> Option<(Price, Price)> {
    let mut prices: Vec<Price> = answers.iter().map(|(_, price)| *price).collect();
    prices.sort_unstable();
    let low = prices.get(prices.len().checked_sub(1)? / 2)?;
    let high = prices.get(prices.len() / 2)?;
    Some((*low, *high))
}

/// Whether a moment is not longer ago than this, by a clock that did not jump.
fn is_within(at: Timestamp, now: Timestamp, age: Duration) -> bool {
    if at > now { at.distance(now) <= JUMP } else { now.saturating_since(at) <= age }
}

/// A source, and what is remembered of it.
struct Slot {
    source: DynRateSource,
    /// Held while the source is asked: whoever else needs it waits for that answer.
    memory: tokio::sync::Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The price, or that there is none, and when that was learned.
    table: HashMap<CurrencyCode, (Option<Price>, Timestamp)>,
    /// When it was last asked and did not (yet) answer.
    failed: Option<Timestamp>,
}

impl Slot {
    fn new(source: DynRateSource) -> Self {
        Self { source, memory: tokio::sync::Mutex::default() }
    }

    async fn price(
        &self,
        env: &Env,
        options: &RateOptions,
        currency: CurrencyCode,
    ) -> Result<Price, SourceError> {
        let mut memory = self.memory.lock().await;
        let now = env.now();
        match memory.table.get(&currency) {
            Some((Some(price), at)) if is_within(*at, now, options.fresh) => return Ok(*price),
            Some((None, at)) if is_within(*at, now, options.stale) => {
                return Err(SourceError::NotQuoted);
            }
            _ => {}
        }
        if memory.failed.is_some_and(|at| is_within(at, now, REST)) {
            return Err(SourceError::Resting);
        }
        // Also when whoever asks gives up in between: a source that hangs is left alone.
        memory.failed = Some(now);
        let answer = self.source.prices(currency).await;
        if matches!(answer, Ok(_) | Err(SourceError::NotQuoted)) {
            memory.failed = None;
        }
        let found = match answer {
            Ok(Prices { at, prices }) => {
                if at.is_some_and(|at| now.saturating_since(at) > options.stale) {
                    memory.failed = Some(now);
                    return Err(SourceError::Old);
                }
                let listed = prices.into_iter().filter(|(currency, _)| currency.is_listed());
                memory.table.extend(listed.map(|(currency, price)| (currency, (Some(price), now))));
                memory
                    .table
                    .get(&currency)
                    .and_then(|(price, at)| price.filter(|_| *at == now))
                    .ok_or(SourceError::NotQuoted)
            }
            Err(error) => Err(error),
        };
        if found == Err(SourceError::NotQuoted) {
            memory.table.insert(currency, (None, now));
        }
        found
    }
}

#[cfg(test)]
mod tests;
