//! Amounts in integers: millisatoshi, and minor units of a fiat currency.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of bitcoin in thousandths of a satoshi.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millisats(u64);

impl Millisats {
    /// This many millisatoshi.
    #[must_use]
    pub const fn new(msat: u64) -> Self {
        Self(msat)
    }

    /// This many satoshi, unless that overflows.
    #[must_use]
    pub const fn from_sats(sat: u64) -> Option<Self> {
        match sat.checked_mul(1000) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// The number of millisatoshi.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whole satoshi, rounded up: what a wallet that knows only satoshi must ask for.
    #[must_use]
    pub const fn sats_rounded_up(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// The sum, unless it overflows.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl fmt::Display for Millisats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} msat", self.0)
    }
}

/// Three capital letters of ISO 4217, with the number of decimals of its minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CurrencyCode {
    letters: [u8; 3],
    exponent: u8,
}

impl CurrencyCode {
    /// Reads `EUR`; the case is significant, as on the wire.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] when it is not three capital letters.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let letters: [u8; 3] = text
            .as_bytes()
            .try_into()
            .ok()
            .filter(|letters: &[u8; 3]| letters.iter().all(u8::is_ascii_uppercase))
            .ok_or_else(|| MoneyError::UnknownCurrency { code: text.chars().take(16).collect() })?;
        Ok(Self { letters, exponent: exponent(&letters) })
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters).expect("checked to be ASCII when it was made")
    }

    /// Decimals of the minor unit: 2 for EUR, 0 for JPY, 3 for KWD.
    #[must_use]
    pub const fn exponent(self) -> u8 {
        self.exponent
    }

    /// Whether it is a currency: one that ISO 4217 lists as in use, or the Iranian toman (`IRT`),
    /// in which prices there are written.
    #[must_use]
    pub fn is_listed(self) -> bool {
        LISTED.split_ascii_whitespace().any(|code| code.as_bytes() == self.letters)
    }
}

const LISTED: &str = "
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
    BZD CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
    GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR IRT ISK JMD JOD JPY KES KGS KHR KMF
    KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR
    MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG
    SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYI
    UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decimals of the minor unit by ISO 4217; everything not listed has two.
const fn exponent(letters: &[u8; 3]) -> u8 {
    match letters {
        b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
        | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
        b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
        b"CLF" | b"UYW" => 4,
        _ => 2,
    }
}

/// An amount of a fiat currency in its minor unit (cents of EUR, whole JPY, fils of KWD).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiatAmount {
    /// The number of minor units.
    pub minor: u64,
    /// The currency, which says how much a minor unit is.
    pub currency: CurrencyCode,
}

impl FiatAmount {
    /// From the hundredths that deployed peers write for every currency.
    ///
    /// # Errors
    /// [`MoneyError::NotRepresentable`] when the hundredths are not a whole number of minor
    /// units (150 hundredths of JPY), [`MoneyError::Overflow`] when it does not fit.
    pub fn from_wire_hundredths(
        hundredths: u64,
        currency: CurrencyCode,
    ) -> Result<Self, MoneyError> {
        let minor = match currency.exponent {
            0 if hundredths.is_multiple_of(100) => hundredths / 100,
            0 => return Err(MoneyError::NotRepresentable),
            1 if hundredths.is_multiple_of(10) => hundredths / 10,
            1 => return Err(MoneyError::NotRepresentable),
            exponent => hundredths
                .checked_mul(10u64.pow(u32::from(exponent).saturating_sub(2)))
                .ok_or(MoneyError::Overflow)?,
        };
        Ok(Self { minor, currency })
    }

    /// To the hundredths that deployed peers read for every currency.
    ///
    /// # Errors
    /// [`MoneyError::NotRepresentable`] when the amount is finer than a hundredth,
    /// [`MoneyError::Overflow`] when it does not fit.
    pub fn to_wire_hundredths(self) -> Result<u64, MoneyError> {
        match self.currency.exponent {
            0 => self.minor.checked_mul(100).ok_or(MoneyError::Overflow),
            1 => self.minor.checked_mul(10).ok_or(MoneyError::Overflow),
            exponent => {
                let scale = 10u64.pow(u32::from(exponent).saturating_sub(2));
                if self.minor.is_multiple_of(scale) {
                    Ok(self.minor / scale)
                } else {
                    Err(MoneyError::NotRepresentable)
                }
            }
        }
    }
}

/// Why an amount cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not three capital letters.
    #[error("`{code}` is not a currency code of three capital letters")]
    UnknownCurrency {
        /// The text as given, cut to 16 characters.
        code: String,
    },
    /// The amount is finer than the unit it must be written in.
    #[error("the amount has a fraction that the unit cannot express")]
    NotRepresentable,
    /// The amount does not fit 64 bits.
    #[error("the amount is too large")]
    Overflow,
    /// The amount comes to less than a millisatoshi.
    #[error("the amount is less than a millisatoshi")]
    TooSmall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_on_the_wire_are_minor_units_inside() {
        for (code, hundredths, minor) in
            [("EUR", 1999, 1999), ("JPY", 150_000, 1500), ("KWD", 150, 1500), ("CLF", 7, 700)]
        {
            let currency = CurrencyCode::parse(code).expect("known form");
            let amount = FiatAmount::from_wire_hundredths(hundredths, currency).expect("whole");
            assert_eq!(amount.minor, minor, "{code}");
            assert_eq!(amount.to_wire_hundredths(), Ok(hundredths), "{code}");
        }
    }

    #[test]
    fn nothing_is_rounded_silently() {
        let yen = CurrencyCode::parse("JPY").expect("known form");
        assert_eq!(FiatAmount::from_wire_hundredths(150, yen), Err(MoneyError::NotRepresentable));
        assert_eq!(
            FiatAmount { minor: u64::MAX, currency: yen }.to_wire_hundredths(),
            Err(MoneyError::Overflow)
        );
        let dinar = CurrencyCode::parse("KWD").expect("known form");
        assert_eq!(
            FiatAmount { minor: 1, currency: dinar }.to_wire_hundredths(),
            Err(MoneyError::NotRepresentable)
        );
        for bad in ["millisats", "eur", "EURO", "", "€"] {
            assert!(CurrencyCode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn minor_units_are_those_of_iso_4217() {
        let exponent = |code| {
            let currency = CurrencyCode::parse(code).expect("known form");
            assert!(currency.is_listed(), "{code}");
            currency.exponent()
        };
        for code in ["EUR", "USD", "RON", "ARS", "IRR", "MGA", "MRU", "HUF", "IDR", "COP"] {
            assert_eq!(exponent(code), 2, "{code}");
        }
        for code in ["JPY", "KRW", "VND", "CLP", "ISK", "XAF", "XOF", "XPF", "UGX", "PYG", "UYI"] {
            assert_eq!(exponent(code), 0, "{code}");
        }
        for code in ["KWD", "BHD", "OMR", "JOD", "TND", "IQD", "LYD"] {
            assert_eq!(exponent(code), 3, "{code}");
        }
        assert_eq!(exponent("CLF"), 4);
        for code in ["BTC", "ETH", "SAT", "XAU", "ABC", "VEF", "ZZZ"] {
            assert!(!CurrencyCode::parse(code).expect("known form").is_listed(), "{code}");
        }
    }

    #[test]
    fn satoshi_round_up_never_down() {
        assert_eq!(Millisats::new(1).sats_rounded_up(), 1);
        assert_eq!(Millisats::new(1000).sats_rounded_up(), 1);
        assert_eq!(Millisats::from_sats(u64::MAX), None);
    }
}
