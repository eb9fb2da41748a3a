//! What each source writes, read without floating point: numbers are taken as the text they are.
//!
//! A table may have rows that cannot be read, or that are for something else than currencies; they
//! are passed over. The row that was asked for must be right. Every answer must say that it is
//! about bitcoin where its format can say so.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Prices, SourceError};
use crate::primitives::{CurrencyCode, Timestamp};
use crate::rates::Price;

type Table = Vec<(CurrencyCode, Price)>;

/// `{"error":[],"result":{"XXBTZEUR":{"c":["65000.5","0.01"],…}}}`
pub(super) fn kraken(body: &[u8], currency: CurrencyCode) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        error: Vec<String>,
        #[serde(default, borrow)]
        result: HashMap<String, Ticker<'a>>,
    }
    #[derive(Deserialize)]
    struct Ticker<'a> {
        #[serde(borrow)]
        c: Vec<&'a RawValue>,
    }
    let answer: Answer<'_> = json(body)?;
    if answer.error.iter().any(|error| error.starts_with("EQuery:Unknown asset pair")) {
        return Err(SourceError::NotQuoted);
    }
    if !answer.error.is_empty() {
        return Err(SourceError::Malformed { what: "it is an error" });
    }
    // The pair is named as of old where there was an old name.
    let names = [format!("XXBTZ{currency}"), format!("XBT{currency}")];
    let ticker = names
        .iter()
        .find_map(|name| answer.result.get(name))
        .ok_or(SourceError::Malformed { what: "it is about another pair" })?;
    let last = ticker.c.first().ok_or(SourceError::Malformed { what: "it has no last price" })?;
    Ok(undated(vec![(currency, price(last)?)]))
}

/// `{"data":{"currency":"BTC","rates":{"EUR":"65000.5",…}}}`
pub(super) fn coinbase(body: &[u8], currency: CurrencyCode) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        currency: String,
        #[serde(borrow)]
        rates: HashMap<String, &'a RawValue>,
    }
    let Answer { data } = json(body)?;
    if data.currency != "BTC" {
        return Err(NOT_BITCOIN);
    }
    Ok(undated(table(currency, data.rates)?))
}

/// `{"rates":{"btc":{"value":1.0,"type":"crypto"},"eur":{"value":65000.5,"type":"fiat"},…}}`
pub(super) fn coingecko(body: &[u8], currency: CurrencyCode) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        rates: HashMap<String, Row<'a>>,
    }
    #[derive(Deserialize)]
    struct Row<'a> {
        #[serde(borrow)]
        value: &'a RawValue,
        #[serde(rename = "type")]
        kind: String,
    }
    let Answer { rates } = json(body)?;
    if let Some(own) = rates.get("btc")
        && price(own.value)? != price_of("1")?
    {
        return Err(NOT_BITCOIN);
    }
    let fiat = rates.into_iter().filter(|(_, row)| row.kind == "fiat");
    let rows = fiat.map(|(code, row)| (code.to_ascii_uppercase(), row.value));
    Ok(undated(table(currency, rows)?))
}

/// `{"data":[{"code":"BTC","rate":1},{"code":"EUR","name":"Eurozone Euro","rate":65000.5},…]}`
pub(super) fn bitpay(body: &[u8], currency: CurrencyCode) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: Vec<Row<'a>>,
    }
    #[derive(Deserialize)]
    struct Row<'a> {
        code: String,
        #[serde(borrow)]
        rate: &'a RawValue,
    }
    let Answer { data } = json(body)?;
    if let Some(own) = data.iter().find(|row| row.code == "BTC")
        && price(own.rate)? != price_of("1")?
    {
        return Err(NOT_BITCOIN);
    }
    Ok(undated(table(currency, data.into_iter().map(|row| (row.code, row.rate)))?))
}

/// `{"BTC":{"EUR":65000.5,…},"base":"BTC","timestamp":1700000000000}`
pub(super) fn yadio(body: &[u8], currency: CurrencyCode) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(rename = "BTC", borrow)]
        rates: HashMap<String, &'a RawValue>,
        base: String,
        timestamp: u64,
    }
    let answer: Answer<'_> = json(body)?;
    if answer.base != "BTC" {
        return Err(NOT_BITCOIN);
    }
    let at = Some(Timestamp::from_secs(answer.timestamp / 1000));
    Ok(Prices { at, prices: table(currency, answer.rates)? })
}

/// `{"success":true,"payload":{"book":"btc_ars","last":"95000000","created_at":"2023-…+00:00"}}`
pub(super) fn bitso(body: &[u8], currency: CurrencyCode) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        success: bool,
        #[serde(borrow)]
        payload: Option<Ticker<'a>>,
    }
    #[derive(Deserialize)]
    struct Ticker<'a> {
        book: String,
        #[serde(borrow)]
        last: &'a RawValue,
        created_at: Option<String>,
    }
    let answer: Answer<'_> = json(body)?;
    let (true, Some(ticker)) = (answer.success, answer.payload) else {
        return Err(SourceError::Malformed { what: "it is an error" });
    };
    if ticker.book != format!("btc_{}", currency.as_str().to_ascii_lowercase()) {
        return Err(SourceError::Malformed { what: "it is about another pair" });
    }
    let at = ticker.created_at.as_deref().and_then(moment);
    Ok(Prices { at, prices: vec![(currency, price(ticker.last)?)] })
}

/// `{"status":"ok","stats":{"btc-rls":{"isClosed":false,"latest":"110000000000",…}}}`
pub(super) fn nobitex(body: &[u8]) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        status: String,
        #[serde(default, borrow)]
        stats: HashMap<String, &'a RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Market<'a> {
        is_closed: bool,
        #[serde(borrow)]
        latest: &'a RawValue,
    }
    let answer: Answer<'_> = json(body)?;
    if answer.status != "ok" {
        return Err(SourceError::Malformed { what: "it is an error" });
    }
    let market = answer
        .stats
        .get("btc-rls")
        .ok_or(SourceError::Malformed { what: "it is about another pair" })?;
    let market: Market<'_> = json(market.get().as_bytes())?;
    if market.is_closed {
        return Err(SourceError::Old);
    }
    rial(price(market.latest)?)
}

/// `{"last":11000000000,"close":…,"symbol":"btc-irt"}`, in toman.
pub(super) fn exir(body: &[u8]) -> Result<Prices, SourceError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        last: &'a RawValue,
        symbol: Option<String>,
    }
    let answer: Answer<'_> = json(body)?;
    if answer.symbol.is_some_and(|symbol| symbol != "btc-irt") {
        return Err(SourceError::Malformed { what: "it is about another pair" });
    }
    rial(price(answer.last)?.shifted(1)?)
}

const NOT_BITCOIN: SourceError = SourceError::Malformed { what: "it is not about bitcoin" };

/// A price in rial, and the same in toman, which are ten rial.
fn rial(price: Price) -> Result<Prices, SourceError> {
    let code = |code| {
        CurrencyCode::parse(code).map_err(|_| SourceError::Malformed { what: "its currency" })
    };
    Ok(undated(vec![(code("IRR")?, price), (code("IRT")?, price.shifted(-1)?)]))
}

/// The rows of currencies that can be read; the wanted one must be there and right.
fn table<'a>(
    wanted: CurrencyCode,
    rows: impl IntoIterator<Item = (String, &'a RawValue)>,
) -> Result<Table, SourceError> {
    let mut prices = Table::new();
    let mut found = false;
    for (code, value) in rows {
        let Ok(currency) = CurrencyCode::parse(&code) else { continue };
        match price(value) {
            Ok(price) if currency.is_listed() => prices.push((currency, price)),
            Err(error) if currency == wanted => return Err(error),
            Ok(_) | Err(_) => {}
        }
        found |= currency == wanted;
    }
    if found { Ok(prices) } else { Err(SourceError::NotQuoted) }
}

/// A JSON number, or a number in a JSON text.
fn price(value: &RawValue) -> Result<Price, SourceError> {
    let text = value.get();
    if text.starts_with('"') {
        let inner: Cow<'_, str> = json(text.as_bytes())?;
        return price_of(&inner);
    }
    price_of(text)
}

fn price_of(text: &str) -> Result<Price, SourceError> {
    Ok(Price::parse(text)?)
}

const fn undated(prices: Table) -> Prices {
    Prices { at: None, prices }
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SourceError> {
    serde_json::from_slice(body).map_err(|_| SourceError::Malformed { what: "it has another form" })
}

/// `2023-11-14T22:13:20+00:00`, also without the colon in the zone.
fn moment(text: &str) -> Option<Timestamp> {
    let at = chrono::DateTime::parse_from_rfc3339(text)
        .or_else(|_| chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .ok()?;
    u64::try_from(at.timestamp()).ok().map(Timestamp::from_secs)
}
