//! When a subscription is charged: calendar expressions such as `Mon..Fri *-*-* 09:00:00`.
//!
//! Parsing, the normalised text, the next occurrence, a sentence for people. What is charged at
//! an occurrence is for [`crate::payments`].
//!
//! The time zone of an expression is ours alone: deployed peers leave it out of their messages,
//! so [`Calendar`] serialises without it and prints ([`Display`](fmt::Display)) with it.

mod component;
mod next;
mod parse;
mod text;
mod zone;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::Weekday;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use self::component::Component;
pub use self::zone::Zone;
use crate::primitives::Timestamp;

/// No expression is longer than this, as it is given or normalised.
pub const MAX_CALENDAR_BYTES: usize = 512;

/// Kept free in the normalised text, so that any zone can be added to it.
const MAX_ZONE_BYTES: usize = 64;

/// A rule that says at which seconds something happens.
///
/// A local time that a change of the clocks skips does not happen; one that they repeat happens
/// once, the first time.
///
/// ```
/// use portal_core::primitives::Timestamp;
/// use portal_core::protocol::calendar::Calendar;
///
/// let rule: Calendar = "*-*-* 10:00 Europe/Rome".parse()?;
/// assert_eq!(rule.to_string(), "*-*-* 10:00:00 Europe/Rome");
/// assert_eq!(rule.to_wire(), "*-*-* 10:00:00");
/// let next = rule.next_from(Timestamp::from_secs(1_744_993_853));
/// assert_eq!(next, Some(Timestamp::from_secs(1_745_049_600)));
/// # Ok::<(), portal_core::protocol::calendar::CalendarError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    rule: Arc<Rule>,
    zone: Option<Zone>,
}

/// Which local times match, without a zone.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    /// As written, repeats included; `None` is every day.
    weekdays: Option<Vec<Weekday>>,
    year: Component,
    month: Component,
    day: Component,
    hour: Component,
    minute: Component,
    second: Component,
}

impl Calendar {
    /// The time zone, if one is set; without one the rule is read in UTC.
    #[must_use]
    pub const fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    /// The same rule in another time zone, or in none.
    #[must_use]
    pub fn with_zone(mut self, zone: Option<Zone>) -> Self {
        self.zone = zone;
        self
    }

    /// The normalised text without the time zone: what goes on the wire.
    #[must_use]
    pub fn to_wire(&self) -> String {
        text::Wire(&self.rule).to_string()
    }

    /// A sentence for people, with the zone in brackets when `show_zone` is set.
    #[must_use]
    pub fn human(&self, show_zone: bool) -> String {
        text::human(self, show_zone)
    }

    /// The first occurrence at or after `from`, if there is one before the year 2100.
    #[must_use]
    pub fn next_from(&self, from: Timestamp) -> Option<Timestamp> {
        next::at_or_after(self, from)
    }

    /// The first occurrence after `from`, if there is one before the year 2100.
    #[must_use]
    pub fn next_after(&self, from: Timestamp) -> Option<Timestamp> {
        self.next_from(Timestamp::from_secs(from.as_secs().checked_add(1)?))
    }

    /// The last occurrence after `after` and not after `until`, if there is one.
    #[must_use]
    pub fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        next::last_between(self, after, until)
    }
}

impl FromStr for Calendar {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        parse::calendar(text)
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::Wire(&self.rule).fmt(f)?;
        match &self.zone {
            Some(zone) => write!(f, " {zone}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Calendar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&text::Wire(&self.rule))
    }
}

impl<'de> Deserialize<'de> for Calendar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Why a text is not a calendar expression. The texts are those that deployed peers know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Longer than [`MAX_CALENDAR_BYTES`].
    #[error("Invalid calendar format: longer than {MAX_CALENDAR_BYTES} bytes")]
    TooLong,
    /// The parts are not those of an expression, or in the wrong order.
    #[error("Invalid calendar format")]
    InvalidFormat,
    /// Not a day of the week.
    #[error("Invalid weekday: {name}")]
    InvalidWeekday {
        /// The text, in small letters.
        name: String,
    },
    /// A part of a date or time is not a number.
    #[error("Invalid time component: Invalid value: {text}")]
    InvalidValue {
        /// The text.
        text: String,
    },
    /// A part of a date or time is a number that cannot be.
    #[error("Invalid time component: Value {value} is out of range")]
    OutOfRange {
        /// The number.
        value: u32,
    },
    /// The step of a range is not a number.
    #[error("Invalid time component: Invalid step value: {text}")]
    InvalidStep {
        /// The text.
        text: String,
    },
    /// The step of a range is zero, with which nothing would ever advance.
    #[error("Invalid time component: Invalid step value: 0")]
    ZeroStep,
    /// A range ends before it starts.
    #[error("Invalid range: {start} > {end}")]
    InvalidRange {
        /// Where it starts.
        start: u32,
        /// Where it ends.
        end: u32,
    },
    /// Not a time zone of the IANA database.
    #[error("Invalid timezone: {name}")]
    InvalidTimezone {
        /// The text.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Calendar {
        text.parse().expect("a legal expression")
    }

    fn next(text: &str, from: u64) -> Option<u64> {
        rule(text).next_from(Timestamp::from_secs(from)).map(Timestamp::as_secs)
    }

    #[test]
    fn the_zone_is_kept_by_us_and_left_out_on_the_wire() {
        let rome = rule("daily").with_zone(Zone::named("Europe/Rome"));
        assert_eq!(rome.to_string(), "*-*-* 00:00:00 Europe/Rome");
        assert_eq!(rule(&rome.to_string()), rome);
        let json = serde_json::to_string(&rome).expect("a string");
        assert_eq!(json, r#""*-*-* 00:00:00""#);
        let back: Calendar = serde_json::from_str(&json).expect("legal");
        assert_eq!(back, rome.with_zone(None));
        assert_eq!(back.zone(), None);
    }

    #[test]
    fn zones_with_a_hyphen_are_zones_and_not_dates() {
        for name in ["Etc/GMT-1", "America/Port-au-Prince", "UTC"] {
            let rule = rule(&format!("*-*-* 10:00:00 {name}"));
            assert_eq!(rule.zone().map(Zone::name), Some(name));
        }
        assert_eq!(next("*-*-* 10:00 Etc/GMT-1", 1_744_934_400), Some(1_744_966_800));
        assert_eq!("10:00 Mars-Phobos".parse::<Calendar>(), Err(CalendarError::InvalidFormat));
    }

    #[test]
    fn weekday_ranges_wrap_over_the_weekend() {
        assert_eq!(rule("Sat..Mon *-*-* 00:00:00").to_wire(), "Sat,Sun,Mon *-*-* 00:00:00");
        assert_eq!(rule("Mon..Mon *-*-* 00:00:00").to_wire(), "Mon *-*-* 00:00:00");
        // 2025-04-18 is a Friday.
        assert_eq!(next("Sat..Mon *-*-* 00:00:00", 1_744_993_853), Some(1_745_020_800));
    }

    #[test]
    fn a_step_of_zero_is_refused() {
        assert_eq!("*:0..59/0:0".parse::<Calendar>(), Err(CalendarError::ZeroStep));
    }

    #[test]
    fn the_end_of_time_has_no_occurrence_and_no_panic() {
        for from in [4_102_444_800, 1 << 43, 1 << 62, i64::MAX as u64, u64::MAX] {
            for text in ["daily", "minutely", "*-*-* 10:00 Pacific/Kiritimati"] {
                assert_eq!(next(text, from), None, "{text} from {from}");
                assert_eq!(rule(text).next_after(Timestamp::from_secs(from)), None);
            }
        }
        assert_eq!(next("yearly", 0), Some(0));
        assert_eq!(next("yearly", 4_070_908_799), Some(4_070_908_800), "the year 2099");
        // The last second of 2099 in Honolulu is ten hours into 2100 in UTC.
        assert_eq!(next("2099-12-31 23:59:59 Pacific/Honolulu", 0), Some(4_102_480_799));
    }

    #[test]
    fn next_from_includes_its_moment_and_next_after_does_not() {
        let daily = rule("daily");
        let midnight = Timestamp::from_secs(1_744_934_400);
        assert_eq!(daily.next_from(midnight), Some(midnight));
        assert_eq!(daily.next_after(midnight), Some(Timestamp::from_secs(1_745_020_800)));
    }

    #[test]
    fn the_last_occurrence_of_a_span_is_the_one_that_steps_find() {
        let at = Timestamp::from_secs;
        for text in ["daily", "monthly", "*-*-31 10:00 Europe/Rome", "*-*-* *:0..59/7:00"] {
            let rule = rule(text);
            for (after, until) in [(1_743_289_199, 1_744_993_853), (1_744_993_853, 1_744_993_854)] {
                let mut last = None;
                let mut step = rule.next_after(at(after));
                while let Some(next) = step.filter(|next| *next <= at(until)) {
                    last = Some(next);
                    step = rule.next_after(next);
                }
                assert_eq!(rule.last_between(at(after), at(until)), last, "{text}");
            }
        }
        assert_eq!(rule("daily").last_between(at(9), at(9)), None);
        assert_eq!(rule("daily").last_between(at(u64::MAX), at(u64::MAX)), None);
    }

    #[test]
    fn a_repeated_hour_never_leads_into_the_past() {
        // In Rome 2025-10-26 02:00..03:00 happens from 1761436800 and again from 1761440400.
        let half_past_two = "*-*-* 02:30:00 Europe/Rome";
        for from in [1_761_438_601, 1_761_440_400, 1_761_442_200] {
            assert_eq!(next(half_past_two, from), Some(1_761_528_600), "from {from}");
        }
        assert_eq!(next("*-*-* *:*:* Europe/Rome", 1_761_440_401), Some(1_761_444_000));
        assert_eq!(next("*-*-* *:*:* Europe/Rome", 1_761_440_399), Some(1_761_440_399));
    }

    #[test]
    fn a_skipped_hour_does_not_happen() {
        assert_eq!(next("*-*-* 02:30:00 Europe/Rome", 1_743_289_200), Some(1_743_381_000));
        // Every last Sunday of March at two: always in the gap, in every year.
        assert_eq!(next("Sun *-03-25..31 02:*:* Europe/Rome", 1_743_289_200), None);
        // Samoa had no 2011-12-30.
        assert_eq!(next("2011-12-30 12:00 Pacific/Apia", 0), None);
        assert_eq!(next("2011-12-30..31 12:00 Pacific/Apia", 0), Some(1_325_282_400));
    }

    #[test]
    fn what_never_happens_is_found_out_at_once() {
        assert_eq!(next("*-02-30 00:00:00", 0), None);
        assert_eq!(next("Mon 2025-04-18 *:*:*", 0), None);
        assert_eq!(next("2025-01", 1_744_993_853), None);
        assert_eq!(next("Thu *-02-29", 1_744_993_853), Some(2_592_777_600));
    }

    #[test]
    fn the_input_is_bounded() {
        let long = format!("*-*-* {}1:00", "1,".repeat(MAX_CALENDAR_BYTES));
        assert_eq!(long.parse::<Calendar>(), Err(CalendarError::TooLong));
        // Short as given, and too long to be read again once it is normalised.
        let growing = format!("{}1:00", "1,".repeat(200));
        assert!(growing.len() < MAX_CALENDAR_BYTES);
        assert_eq!(growing.parse::<Calendar>(), Err(CalendarError::TooLong));
        let longest = rule(&format!("*-*-* {}1:00", "11,".repeat(142)));
        for zone in chrono_tz::TZ_VARIANTS {
            let zoned = longest.clone().with_zone(Zone::named(zone.name()));
            assert_eq!(rule(&zoned.to_string()), zoned);
        }
    }

    #[test]
    fn a_sentence_does_not_claim_more_than_the_rule() {
        assert_eq!(rule("*:10..20/5:00").human(true), "Every day");
        assert_eq!(rule("00:00:30").human(true), "Every day at 12:00 AM");
        assert_eq!(rule("12:00").human(true), "Every day at noon");
    }
}
