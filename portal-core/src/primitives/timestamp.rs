//! Seconds since the Unix epoch, written as a decimal string on every Portal wire.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in whole seconds since 1970-01-01T00:00:00Z.
///
/// On the wire it is a decimal *string* (`"1700000300"`). Deserialising from JSON accepts the
/// string form only, as deployed peers do; [`Timestamp::lenient`] also takes a number and is
/// what the edges use for input from their own clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `seconds` after the epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// This moment moved forward; stays at the end of time instead of overflowing.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// This moment moved back; stays at the epoch instead of overflowing.
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// How much later `self` is than `earlier`; zero when it is not later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The distance to `other` in either direction.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        Duration::from_secs(self.0.abs_diff(other.0))
    }

    /// Reads the wire form: ASCII digits, leading zeros and one leading `+` allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().map(Self)
    }

    /// `#[serde(deserialize_with = "Timestamp::lenient")]`: a decimal string or a JSON number.
    ///
    /// # Errors
    /// When the value is neither, or does not fit 64 bits.
    pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimestampVisitor { numbers: true })
    }

    /// The same as [`Timestamp::lenient`] for an optional member; `null` is `None`.
    ///
    /// # Errors
    /// When the value is neither, or does not fit 64 bits.
    pub fn lenient_option<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Self>, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped(#[serde(deserialize_with = "Timestamp::lenient")] Timestamp);
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimestampVisitor { numbers: false })
    }
}

struct TimestampVisitor {
    numbers: bool,
}

impl Visitor<'_> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unix seconds as a decimal string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        Timestamp::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Timestamp, E> {
        if self.numbers {
            Ok(Timestamp(value))
        } else {
            Err(E::invalid_type(de::Unexpected::Unsigned(value), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Timestamp, E> {
        u64::try_from(value)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            .and_then(|value| self.visit_u64(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form_is_a_string() {
        let json = serde_json::to_string(&Timestamp::from_secs(1_700_000_300)).expect("serialises");
        assert_eq!(json, "\"1700000300\"");
        assert_eq!(
            serde_json::from_str::<Timestamp>("\"+007\"").expect("legal"),
            Timestamp::from_secs(7)
        );
        for bad in ["5", "\"-1\"", "\" 5\"", "\"\"", "\"+\"", "\"99999999999999999999\"", "null"] {
            assert!(serde_json::from_str::<Timestamp>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn edges_also_take_numbers() {
        #[derive(Deserialize)]
        struct Edge {
            #[serde(deserialize_with = "Timestamp::lenient")]
            at: Timestamp,
            #[serde(default, deserialize_with = "Timestamp::lenient_option")]
            until: Option<Timestamp>,
        }
        let edge: Edge = serde_json::from_str(r#"{"at":5,"until":"6"}"#).expect("both forms");
        assert_eq!((edge.at.as_secs(), edge.until), (5, Some(Timestamp::from_secs(6))));
        let edge: Edge = serde_json::from_str(r#"{"at":"5","until":null}"#).expect("null");
        assert_eq!(edge.until, None);
        assert!(serde_json::from_str::<Edge>(r#"{"at":-5}"#).is_err());
        assert!(serde_json::from_str::<Edge>(r#"{"at":1.5}"#).is_err());
    }
}
