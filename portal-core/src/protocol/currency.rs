//! The unit of an amount on the wire, and the rate that a fiat amount was computed with.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::primitives::Timestamp;

/// `"Millisats"` exactly, or the code of a fiat currency. Case matters: `"millisats"` is a fiat
/// currency of that name. Amounts of fiat currencies are hundredths on the wire, whatever the
/// currency; see [`FiatAmount`](crate::primitives::FiatAmount).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Currency {
    /// Thousandths of a satoshi.
    Millisats,
    /// A fiat currency, in hundredths. Any text; it is checked where it is used.
    Fiat(Box<str>),
}

impl Currency {
    /// The wire text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Millisats => "Millisats",
            Self::Fiat(code) => code,
        }
    }
}

impl From<&str> for Currency {
    fn from(text: &str) -> Self {
        if text == "Millisats" { Self::Millisats } else { Self::Fiat(text.into()) }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer).map(|text| Self::from(&*text))
    }
}

/// The rate a fiat amount was turned into millisatoshi with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExchangeRate {
    /// Fiat units per bitcoin. No sum is made with the floating point number: what is computed
    /// is computed with its decimal form, [`Price`](crate::rates::Price).
    pub rate: f64,
    /// Who quoted it, for example `kraken`.
    pub source: String,
    /// When it was quoted. Deployed JVM clients write a number here.
    #[serde(deserialize_with = "Timestamp::lenient")]
    pub time: Timestamp,
}
