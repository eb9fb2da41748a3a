//! The price of a bitcoin as an exact decimal, and the sums made with it.
//!
//! A [`Price`] has at most fifteen significant digits. Such a decimal goes through the floating
//! point number of the wire and comes back as itself, so both sides compute the same amount from
//! the rate that a request names.
//!
//! Rounding: whatever is rounded here is rounded in the payer's favour. A price with more digits
//! is rounded up (a dearer bitcoin, fewer millisatoshi to pay), an amount to be paid is rounded
//! down, by less than a millisatoshi. A limit in fiat is compared with a value rounded up.

use std::cmp::Ordering;
use std::fmt;

use crate::primitives::{CurrencyCode, FiatAmount, Millisats, MoneyError};

/// Significant digits that a price keeps.
const DIGITS: u32 = 15;
/// Prices are below this many units.
const LIMIT: u64 = 10u64.pow(DIGITS);
/// Longer texts are no prices.
const MAX_TEXT: usize = 64;
/// Exponents beyond this (`1e31`) are no prices.
const MAX_EXPONENT: i32 = 30;
/// Millisatoshi of a bitcoin.
const BITCOIN: u128 = 100_000_000_000;
/// All bitcoin there will ever be, in millisatoshi.
const ALL_BITCOIN: u128 = 21_000_000 * BITCOIN;

/// Fiat units (euros, not cents) for one bitcoin: an exact decimal, from 1 to below 10¹⁵.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Price {
    /// Below [`LIMIT`], without trailing zeros unless `scale` is 0.
    mantissa: u64,
    /// How many digits of the mantissa stand behind the point; below [`DIGITS`].
    scale: u8,
}

/// Why a text or a number is not a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Not a decimal number.
    #[error("the price is not a decimal number")]
    NotANumber,
    /// Zero or less.
    #[error("the price is zero or negative")]
    NotPositive,
    /// No currency has such a price.
    #[error("the price is absurd")]
    Absurd,
}

impl Price {
    /// Reads `65000.5` or `6.5e4`: ASCII digits, no spaces, no separators of thousands.
    ///
    /// # Errors
    /// When it is not a number, not positive, or not a price that a currency can have.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        if text.len() > MAX_TEXT {
            return Err(PriceError::NotANumber);
        }
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, read_exponent(exponent)?),
            None => (text, 0),
        };
        let (negative, digits) = match digits.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, digits),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(PriceError::NotANumber),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !number(whole) || !number(fraction) {
            return Err(PriceError::NotANumber);
        }
        let places = i32::try_from(fraction.len()).map_err(|_| PriceError::NotANumber)?;
        let (mantissa, dropped) = significant(whole.bytes().chain(fraction.bytes()));
        if negative || mantissa == 0 {
            return Err(PriceError::NotPositive);
        }
        Self::normal(mantissa, exponent.saturating_sub(places).saturating_add(dropped))
    }

    /// From the floating point number of the wire, by its shortest decimal form.
    ///
    /// # Errors
    /// As [`Price::parse`].
    pub fn from_wire(rate: f64) -> Result<Self, PriceError> {
        if !rate.is_finite() {
            return Err(PriceError::NotANumber);
        }
        if rate <= 0.0 {
            return Err(PriceError::NotPositive);
        }
        let text = rate.to_string();
        if text.len() > MAX_TEXT { Err(PriceError::Absurd) } else { Self::parse(&text) }
    }

    /// The floating point number of the wire that is nearest. [`Price::from_wire`] gives the same
    /// price back.
    #[must_use]
    pub fn to_wire(self) -> f64 {
        self.to_string().parse().expect("digits and a point are a number")
    }

    /// This many powers of ten more, for sources that quote another unit (ten rial are a toman).
    ///
    /// # Errors
    /// When that is not a price any more.
    pub fn shifted(self, tens: i8) -> Result<Self, PriceError> {
        let exponent = i32::from(tens).saturating_sub(i32::from(self.scale));
        Self::normal(self.mantissa, exponent)
    }

    /// What an amount comes to, rounded down.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when it is more than all bitcoin there will be,
    /// [`MoneyError::TooSmall`] when it is less than a millisatoshi.
    pub fn millisats(self, amount: FiatAmount) -> Result<Millisats, MoneyError> {
        let over = u128::from(amount.minor)
            .checked_mul(BITCOIN)
            .and_then(|value| value.checked_mul(tens(self.scale)))
            .ok_or(MoneyError::Overflow)?;
        let under = u128::from(self.mantissa).saturating_mul(tens(amount.currency.exponent()));
        match over / under {
            0 => Err(MoneyError::TooSmall),
            msat if msat > ALL_BITCOIN => Err(MoneyError::Overflow),
            msat => u64::try_from(msat).map(Millisats::new).map_err(|_| MoneyError::Overflow),
        }
    }

    /// What millisatoshi are worth, rounded up to a minor unit: for comparing with a limit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when it does not fit.
    pub fn value(
        self,
        amount: Millisats,
        currency: CurrencyCode,
    ) -> Result<FiatAmount, MoneyError> {
        let over = u128::from(amount.as_u64())
            .checked_mul(u128::from(self.mantissa))
            .and_then(|value| value.checked_mul(tens(currency.exponent())))
            .ok_or(MoneyError::Overflow)?;
        let under = BITCOIN.saturating_mul(tens(self.scale));
        let minor = u64::try_from(over.div_ceil(under)).map_err(|_| MoneyError::Overflow)?;
        Ok(FiatAmount { minor, currency })
    }

    /// The middle of two prices, rounded up.
    #[must_use]
    pub fn middle(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        let sum = self.at_scale(scale).saturating_add(other.at_scale(scale));
        // Half a sum of two prices is a price: between them, and cut to fifteen digits.
        let (mantissa, dropped) = significant((sum * 5).to_string().bytes());
        let exponent = dropped.saturating_sub(i32::from(scale)).saturating_sub(1);
        Self::normal(mantissa, exponent).unwrap_or(self.max(other))
    }

    /// Whether the two are at most this many thousandths of the lower one apart.
    #[must_use]
    pub fn agrees(self, other: Self, permille: u16) -> bool {
        let scale = self.scale.max(other.scale);
        let (low, high) = (self.min(other).at_scale(scale), self.max(other).at_scale(scale));
        high.saturating_mul(1000) <= low.saturating_mul(1000 + u128::from(permille))
    }

    /// `mantissa` × 10^`exponent` in its one form.
    fn normal(mut mantissa: u64, mut exponent: i32) -> Result<Self, PriceError> {
        while mantissa != 0 && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            exponent = exponent.saturating_add(1);
        }
        if exponent > 0 {
            mantissa = u32::try_from(exponent)
                .ok()
                .and_then(|exponent| 10u64.checked_pow(exponent))
                .and_then(|factor| mantissa.checked_mul(factor))
                .ok_or(PriceError::Absurd)?;
            exponent = 0;
        }
        let scale = u8::try_from(exponent.unsigned_abs()).map_err(|_| PriceError::Absurd)?;
        let price = Self { mantissa, scale };
        let sane = mantissa < LIMIT && u32::from(scale) < DIGITS;
        if sane && u128::from(mantissa) >= tens(scale) {
            Ok(price)
        } else {
            Err(PriceError::Absurd)
        }
    }

    fn at_scale(self, scale: u8) -> u128 {
        u128::from(self.mantissa).saturating_mul(tens(scale.saturating_sub(self.scale)))
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.at_scale(scale).cmp(&other.at_scale(scale))
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factor = tens(self.scale);
        let (whole, rest) =
            (u128::from(self.mantissa) / factor, u128::from(self.mantissa) % factor);
        if self.scale == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{whole}.{rest:0width$}", width = usize::from(self.scale))
        }
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Price({self})")
    }
}

fn tens(exponent: u8) -> u128 {
    10u128.pow(u32::from(exponent))
}

/// The first fifteen significant digits, rounded up, and how many digits behind them were dropped.
fn significant(digits: impl Iterator<Item = u8>) -> (u64, i32) {
    let (mut mantissa, mut dropped, mut more) = (0u64, 0i32, false);
    for digit in digits.map(|byte| u64::from(byte.saturating_sub(b'0'))) {
        if mantissa < LIMIT / 10 {
            mantissa = mantissa.saturating_mul(10).saturating_add(digit);
        } else {
            dropped = dropped.saturating_add(1);
            more |= digit != 0;
        }
    }
    (mantissa.saturating_add(u64::from(more)), dropped)
}

fn read_exponent(text: &str) -> Result<i32, PriceError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PriceError::NotANumber);
    }
    let size: i32 = digits.parse().map_err(|_| PriceError::NotANumber)?;
    if size > MAX_EXPONENT {
        return Err(PriceError::Absurd);
    }
    Ok(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(text: &str) -> Price {
        Price::parse(text).expect(text)
    }

    fn fiat(minor: u64, code: &str) -> FiatAmount {
        FiatAmount { minor, currency: CurrencyCode::parse(code).expect("known form") }
    }

    #[test]
    fn decimals_are_read_exactly() {
        for (text, shown) in [
            ("65000.5", "65000.5"),
            ("65000.50", "65000.5"),
            ("0065000", "65000"),
            ("1", "1"),
            ("1e5", "100000"),
            ("6.50005E+4", "65000.5"),
            ("6500050e-2", "65000.5"),
            ("110000000000.25", "110000000000.25"),
            ("999999999999999", "999999999999999"),
            ("65000.123456789012345", "65000.1234567891"),
            ("65000.12345678900000", "65000.123456789"),
        ] {
            assert_eq!(price(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "", " ", "1 ", "abc", "1,000", "1.", ".5", "1.2.3", "+1", "--1", "0x10", "1e", "e5",
            "1e+", "1e1.5", "NaN", "Infinity", "١", "1_000", "null",
        ] {
            assert_eq!(Price::parse(text), Err(PriceError::NotANumber), "{text}");
        }
        for text in ["0", "0.0", "-1", "-65000.5", "0e9"] {
            assert_eq!(Price::parse(text), Err(PriceError::NotPositive), "{text}");
        }
        for text in ["0.5", "1e-5", "1000000000000000", "1e15", "1e30", "1e31", "1e-999"] {
            assert_eq!(Price::parse(text), Err(PriceError::Absurd), "{text}");
        }
        assert_eq!(Price::parse(&"9".repeat(65)), Err(PriceError::NotANumber));
        assert_eq!(Price::parse("999999999999999.5"), Err(PriceError::Absurd), "rounds up to 1e15");
    }

    #[test]
    fn amounts_become_millisatoshi_by_the_minor_unit_of_their_currency() {
        for (minor, code, rate, msat) in [
            // 19.99 EUR at 65,000.5
            (1_999, "EUR", "65000.5", 30_753_609),
            (100, "USD", "100000", 1_000_000),
            // Yen and won have no smaller unit, dinars have thousandths.
            (1_500, "JPY", "15000000", 10_000_000),
            (10_000, "KRW", "150000000.5", 6_666_666),
            (1_500, "KWD", "30000", 5_000_000),
            (5_000, "RON", "455123.45", 10_986_030),
            (1_000_000, "ARS", "150000000.75", 6_666_666),
            (500_000_000, "IRR", "110000000000.5", 4_545_454),
        ] {
            let amount = fiat(minor, code);
            assert_eq!(price(rate).millisats(amount), Ok(Millisats::new(msat)), "{code}");
        }
    }

    #[test]
    fn amounts_out_of_range_are_refused() {
        let rate = price("65000.5");
        assert_eq!(rate.millisats(fiat(0, "EUR")), Err(MoneyError::TooSmall));
        assert_eq!(price("900000000000000").millisats(fiat(1, "EUR")), Err(MoneyError::TooSmall));
        assert_eq!(rate.millisats(fiat(u64::MAX, "EUR")), Err(MoneyError::Overflow));
        assert_eq!(price("1").millisats(fiat(2_100_000_001, "EUR")), Err(MoneyError::Overflow));
        let all = Ok(Millisats::new(2_100_000_000_000_000_000));
        assert_eq!(price("1").millisats(fiat(2_100_000_000, "EUR")), all);
        let widest = Price { mantissa: LIMIT - 1, scale: 0 };
        let eur = fiat(0, "CLF").currency;
        assert_eq!(widest.value(Millisats::new(u64::MAX), eur), Err(MoneyError::Overflow));
    }

    #[test]
    fn a_value_for_a_limit_is_rounded_up() {
        let eur = fiat(0, "EUR").currency;
        assert_eq!(price("65000.5").value(Millisats::new(30_753_609), eur), Ok(fiat(1_999, "EUR")));
        assert_eq!(price("65000.5").value(Millisats::new(1), eur), Ok(fiat(1, "EUR")));
        assert_eq!(price("65000.5").value(Millisats::new(0), eur), Ok(fiat(0, "EUR")));
    }

    #[test]
    fn agreement_is_relative_to_the_lower_price() {
        let (low, high) = (price("100"), price("105"));
        assert!(low.agrees(high, 50) && high.agrees(low, 50));
        assert!(!low.agrees(price("105.0001"), 50));
        assert!(low.agrees(low, 0));
        assert!(!price("99999999999999.9").agrees(price("1.00000000000001"), u16::MAX));
    }

    #[test]
    fn shifting_moves_the_point() {
        assert_eq!(price("110000000000").shifted(-1), Ok(price("11000000000")));
        assert_eq!(price("1100.5").shifted(1), Ok(price("11005")));
        assert_eq!(price("1").shifted(-1), Err(PriceError::Absurd));
        assert_eq!(price("999999999999999").shifted(1), Err(PriceError::Absurd));
    }

    #[test]
    fn numbers_of_the_wire_that_are_no_prices_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Price::from_wire(bad), Err(PriceError::NotANumber));
        }
        for bad in [0.0, -0.0, -65000.5] {
            assert_eq!(Price::from_wire(bad), Err(PriceError::NotPositive));
        }
        for bad in [f64::MAX, f64::MIN_POSITIVE, 1e15, 0.99] {
            assert_eq!(Price::from_wire(bad), Err(PriceError::Absurd));
        }
        assert_eq!(Price::from_wire(65000.5), Ok(price("65000.5")));
    }

    proptest! {
        #[test]
        fn a_price_survives_the_wire(mantissa in 1..LIMIT, scale in 0..15u8) {
            if let Ok(price) = Price::normal(mantissa, -i32::from(scale)) {
                prop_assert_eq!(Price::from_wire(price.to_wire()), Ok(price));
                prop_assert_eq!(Price::parse(&price.to_string()), Ok(price));
            }
        }

        #[test]
        fn any_number_of_the_wire_is_a_price_or_an_error(bits: u64) {
            if let Ok(price) = Price::from_wire(f64::from_bits(bits)) {
                prop_assert!(price.mantissa < LIMIT && u32::from(price.scale) < DIGITS);
            }
        }

        #[test]
        fn any_text_is_a_price_or_an_error(text in "[-+0-9.eE]{0,70}|.{0,20}") {
            if let Ok(price) = Price::parse(&text) {
                prop_assert_eq!(Price::parse(&price.to_string()), Ok(price));
            }
        }

        /// The payer pays less than a millisatoshi too little and never too much.
        #[test]
        fn rounding_is_below_a_millisatoshi_in_the_payers_favour(
            minor in 1..1_000_000_000_000u64,
            mantissa in 1..LIMIT,
            scale in 0..6u8,
        ) {
            let Ok(price) = Price::normal(mantissa, -i32::from(scale)) else { return Ok(()) };
            let amount = fiat(minor, "EUR");
            let Ok(msat) = price.millisats(amount) else { return Ok(()) };
            let under = u128::from(price.mantissa) * 100;
            let exact = u128::from(minor) * BITCOIN * tens(price.scale);
            let paid = u128::from(msat.as_u64()) * under;
            prop_assert!(paid <= exact && exact - paid < under);
        }

        #[test]
        fn the_middle_is_between(a in 1..LIMIT, b in 1..LIMIT, scale in 0..10u8) {
            let (Ok(a), Ok(b)) =
                (Price::normal(a, -i32::from(scale)), Price::normal(b, 0)) else { return Ok(()) };
            let middle = a.middle(b);
            prop_assert!(a.min(b) <= middle && middle <= a.max(b));
            prop_assert_eq!(middle, b.middle(a));
        }
    }
}
