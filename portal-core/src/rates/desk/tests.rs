//! What the desk makes of its sources' answers.

use std::sync::Arc;

use async_trait::async_trait;

use super::*;
use crate::env::mock;
use crate::primitives::{Millisats, MoneyError};
use crate::rates::RateSource;
use crate::rates::memory::MemorySource;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

struct World {
    desk: RateDesk,
    clock: Arc<mock::MockClock>,
    sources: Vec<Arc<MemorySource>>,
}

impl World {
    /// Sources `a`, `b`, … in this order, with these prices in euros.
    fn new(prices: &[&str]) -> Self {
        Self::with(prices, RateOptions::default())
    }

    fn with(prices: &[&str], options: RateOptions) -> Self {
        let (env, clock) = mock::env(START, 1);
        let sources: Vec<_> = (0u8..)
            .zip(prices)
            .map(|(place, price)| {
                let name = char::from(b'a' + place).to_string();
                let source = MemorySource::with(&name, &[("EUR", price)]).expect("a price");
                Arc::new(source.ranked(place))
            })
            .collect();
        // Given in another order than the one of their ranks.
        let given = sources.iter().rev().map(|source| source.clone() as DynRateSource).collect();
        Self { desk: RateDesk::new(env, given, options), clock, sources }
    }

    fn fail(&self, place: usize, error: SourceError) -> &Self {
        self.sources[place].fail(Some(error));
        self
    }

    async fn rate(&self) -> Result<(String, String), RateError> {
        self.desk.rate(currency("EUR")).await.map(|rate| (rate.price.to_string(), rate.source))
    }

    fn asked(&self) -> Vec<u64> {
        self.sources.iter().map(|source| source.asked()).collect()
    }
}

fn currency(code: &str) -> CurrencyCode {
    CurrencyCode::parse(code).expect("known form")
}

fn found(price: &str, source: &str) -> Result<(String, String), RateError> {
    Ok((price.to_owned(), source.to_owned()))
}

#[tokio::test]
async fn nothing_is_asked_before_a_price_is_needed() {
    let world = World::new(&["65000", "65100", "65200"]);
    assert_eq!(world.desk.order(currency("EUR")), ["a", "b", "c"]);
    assert_eq!(world.asked(), [0, 0, 0]);
}

#[tokio::test]
async fn the_median_of_three_counts_and_later_ones_are_not_asked() {
    let world = World::new(&["65000", "65200", "65100", "1"]);
    assert_eq!(world.rate().await, found("65100", "a,b,c"));
    assert_eq!(world.asked(), [1, 1, 1, 0]);
}

#[tokio::test]
async fn an_outlier_is_refused() {
    for liar in ["1", "71000", "650000000000", "99999999999999.9"] {
        let world = World::new(&["65000", liar, "65100"]);
        assert_eq!(world.rate().await, found("65050", "a,c"), "{liar}");
    }
}

#[tokio::test]
async fn sources_that_fail_are_replaced_by_the_next_in_the_order() {
    let world = World::new(&["65000", "65200", "65100", "65300", "65400"]);
    world.fail(0, SourceError::Timeout).fail(2, SourceError::Status { status: 500 });
    assert_eq!(world.rate().await, found("65300", "b,d,e"));
}

#[tokio::test]
async fn when_two_contradict_one_another_the_next_decides() {
    let world = World::new(&["65000", "80000", "1", "64900"]);
    world.fail(2, SourceError::Unreachable);
    assert_eq!(world.rate().await, found("64950", "a,d"));
    let world = World::new(&["65000", "80000"]);
    assert_eq!(world.rate().await, Err(RateError::Contradiction { currency: currency("EUR") }));
    let world = World::new(&["65000", "80000", "100000"]);
    assert!(matches!(world.rate().await, Err(RateError::Contradiction { .. })), "no majority");
    let world = World::new(&["65000", "80000", "65000", "80000"]);
    assert_eq!(world.rate().await, found("65000", "a,c"), "the fourth is not needed");
}

#[tokio::test]
async fn a_single_answer_counts_unless_more_are_demanded() {
    let world = World::new(&["65000", "65100"]);
    world.fail(0, SourceError::Timeout);
    assert_eq!(world.rate().await, found("65100", "b"));
    let options = RateOptions { at_least: 2, ..RateOptions::default() };
    let world = World::with(&["65000", "65100"], options);
    world.fail(0, SourceError::Timeout);
    assert_eq!(world.rate().await, Err(RateError::Unavailable { currency: currency("EUR") }));
    let world = World::with(&["65000", "65100"], options);
    assert_eq!(world.rate().await, found("65050", "a,b"));
}

#[tokio::test]
async fn a_fresh_rate_is_not_asked_for_again() {
    let world = World::new(&["65000"]);
    assert_eq!(world.rate().await, found("65000", "a"));
    world.sources[0].set(currency("EUR"), Price::parse("66000").expect("a price"));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.rate().await, found("65000", "a"));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.rate().await, found("66000", "a"));
    assert_eq!(world.asked(), [2]);
}

#[tokio::test]
async fn an_aged_rate_is_used_when_nobody_answers_and_a_stale_one_never() {
    let world = World::new(&["65000", "65000"]);
    assert_eq!(world.rate().await, found("65000", "a,b"));
    world.fail(0, SourceError::Unreachable).fail(1, SourceError::Timeout);
    world.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(world.rate().await, found("65000", "a,b"));
    let rate = world.desk.rate(currency("EUR")).await.expect("aged");
    assert_eq!(rate.at, START, "it says how old it is");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.rate().await, Err(RateError::Unavailable { currency: currency("EUR") }));
}

#[tokio::test]
async fn a_clock_that_jumps_back_makes_nothing_fresh() {
    let world = World::new(&["65000"]);
    assert_eq!(world.rate().await, found("65000", "a"));
    world.clock.set(START.saturating_sub(Duration::from_secs(3600)));
    assert_eq!(world.rate().await, found("65000", "a"));
    assert_eq!(world.asked(), [2]);
}

#[tokio::test]
async fn a_source_that_failed_is_left_alone_for_a_while() {
    let world = World::new(&["65000"]);
    world.fail(0, SourceError::Status { status: 429 });
    assert!(world.rate().await.is_err());
    assert!(world.rate().await.is_err());
    assert_eq!(world.asked(), [1]);
    world.sources[0].fail(None);
    world.clock.advance(Duration::from_secs(16));
    assert_eq!(world.rate().await, found("65000", "a"));
}

#[tokio::test]
async fn a_currency_that_nobody_quotes_is_remembered_as_such() {
    let world = World::new(&["65000", "65000"]);
    let sek = currency("SEK");
    for _ in 0..2 {
        assert_eq!(world.desk.rate(sek).await, Err(RateError::NotQuoted { currency: sek }));
    }
    assert_eq!(world.asked(), [1, 1]);
    assert_eq!(world.rate().await, found("65000", "a,b"), "other currencies are not touched");
}

#[tokio::test]
async fn what_is_no_currency_is_asked_of_nobody() {
    let world = World::new(&["65000"]);
    for code in ["ABC", "BTC", "XAU"] {
        let refused = world.desk.rate(currency(code)).await;
        assert_eq!(refused, Err(RateError::NotQuoted { currency: currency(code) }));
    }
    assert_eq!(world.asked(), [0]);
}

#[tokio::test]
async fn an_answer_about_the_past_does_not_count() {
    let world = World::new(&["65000", "66000"]);
    world.sources[0].dated(Some(START.saturating_sub(Duration::from_secs(15 * 60 + 1))));
    world.sources[1].dated(Some(START.saturating_sub(Duration::from_secs(15 * 60))));
    assert_eq!(world.rate().await, found("66000", "b"));
}

#[tokio::test]
async fn an_amount_is_priced_by_its_minor_unit_and_the_rate_is_locked() {
    let (env, clock) = mock::env(START, 1);
    let prices = [
        ("EUR", "65000.5"),
        ("JPY", "15000000"),
        ("KRW", "150000000.5"),
        ("KWD", "30000"),
        ("RON", "455123.45"),
        ("ARS", "150000000.75"),
        ("IRR", "110000000000.5"),
    ];
    let source = Arc::new(MemorySource::with("a", &prices).expect("prices"));
    let desk = RateDesk::new(env, vec![source.clone()], RateOptions::default());
    for (hundredths, code, msat) in [
        (1_999, "EUR", 30_753_609),
        (150_000, "JPY", 10_000_000),
        (1_000_000, "KRW", 6_666_666),
        (150, "KWD", 5_000_000),
        (5_000, "RON", 10_986_030),
        (1_000_000, "ARS", 6_666_666),
        (500_000_000, "IRR", 4_545_454),
    ] {
        let quote = desk.quote_wire(hundredths, code).await.expect(code);
        assert_eq!(quote.millisats, Millisats::new(msat), "{code}");
        assert_eq!(quote.expires_at, START.saturating_add(Duration::from_secs(300)));
    }
    // What was locked stays as it is when the market moves.
    let locked = desk.quote_wire(1_999, "EUR").await.expect("quoted");
    source.set(currency("EUR"), Price::parse("10").expect("a price"));
    clock.advance(Duration::from_secs(61));
    assert!(locked.is_valid(START.saturating_add(Duration::from_secs(61))));
    let moved = desk.quote_wire(1_999, "EUR").await.expect("quoted");
    assert!(moved.millisats > locked.millisats);
    for (hundredths, code) in
        [(150, "JPY"), (1, "eur"), (1, "EUROS"), (u64::MAX, "EUR"), (0, "EUR")]
    {
        let refused = desk.quote_wire(hundredths, code).await;
        assert!(matches!(refused, Err(RateError::Money(_))), "{hundredths} {code}: {refused:?}");
    }
    let little = desk.quote_wire(1, "IRR").await;
    assert_eq!(little, Err(RateError::Money(MoneyError::TooSmall)));
}

/// Never answers.
struct Hanging;

#[async_trait]
impl RateSource for Hanging {
    fn name(&self) -> &'static str {
        "hanging"
    }

    fn rank(&self, _: CurrencyCode) -> Option<u8> {
        Some(0)
    }

    async fn prices(&self, _: CurrencyCode) -> Result<Prices, SourceError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_agree_do_not_wait_for_one_that_hangs() {
    let (env, clock) = mock::env(START, 1);
    let source = |name| {
        let source = MemorySource::with(name, &[("EUR", "65000")]).expect("a price");
        Arc::new(source.ranked(1)) as DynRateSource
    };
    let sources: Vec<DynRateSource> = vec![Arc::new(Hanging), source("a"), source("b")];
    let desk = RateDesk::new(env, sources, RateOptions::default());
    let began = Instant::now();
    let rate = desk.rate(currency("EUR")).await.expect("two answer");
    assert_eq!(rate.source, "a,b");
    assert_eq!(began.elapsed().as_secs(), 0, "the grace is less than a second");
    // Within its rest it is not even asked.
    clock.advance(Duration::from_secs(61));
    clock.set(START.saturating_add(Duration::from_secs(10)));
    let again = desk.rate(currency("EUR")).await.expect("at hand");
    assert_eq!(again, rate);
}

#[tokio::test(start_paused = true)]
async fn all_asking_ends_in_time() {
    let (env, _) = mock::env(START, 1);
    let desk = RateDesk::new(env, vec![Arc::new(Hanging)], RateOptions::default());
    let asking = tokio::time::timeout(Duration::from_secs(60), desk.rate(currency("EUR")));
    assert!(matches!(asking.await, Ok(Err(RateError::Unavailable { .. }))));
}

#[tokio::test]
async fn many_who_need_a_price_at_once_cause_one_question() {
    let world = World::new(&["65000", "65000"]);
    let eur = currency("EUR");
    let all = futures_util::future::join_all((0..100).map(|_| world.desk.rate(eur))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.asked(), [1, 1]);
}
