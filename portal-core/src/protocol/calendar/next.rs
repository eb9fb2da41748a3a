//! The next occurrence of a [`Calendar`].
//!
//! Works on local dates and times, part by part, and turns only candidates into instants; the
//! work is bounded by the days of 130 years, whatever the rule.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::component::{DAYS, HOURS, MONTHS, SIXTIETHS, YEARS};
use super::{Calendar, Rule, Zone};
use crate::primitives::Timestamp;

/// 2100-01-03T00:00:00Z: no zone is so far behind that this is still 2099.
const END: i64 = 4_102_617_600;

/// Hour, minute, second.
type Time = (u32, u32, u32);

pub(super) fn at_or_after(calendar: &Calendar, from: Timestamp) -> Option<Timestamp> {
    let from = i64::try_from(from.as_secs()).ok().filter(|from| *from < END)?;
    let zone = calendar.zone.as_ref();
    let mut local = local_time(zone, from)?;
    loop {
        let candidate = next_local(&calendar.rule, local)?;
        local = match first_instant_of(zone, candidate) {
            Some(moment) if moment >= from => {
                return u64::try_from(moment).ok().map(Timestamp::from_secs);
            }
            // `from` is in the second run of a repeated hour and the candidate in the first.
            Some(moment) => after_repeat(zone, moment, from)?.max(succ(candidate)?),
            None => after_gap(zone, candidate)?.max(succ(candidate)?),
        };
    }
}

/// The last occurrence in `(after, until]`: the start of the shortest span up to `until` that has
/// one, found by halving.
pub(super) fn last_between(
    calendar: &Calendar,
    after: Timestamp,
    until: Timestamp,
) -> Option<Timestamp> {
    let found = |from: u64| {
        at_or_after(calendar, Timestamp::from_secs(from)).filter(|found| *found <= until)
    };
    let mut low = after.as_secs().checked_add(1)?;
    let mut last = found(low)?;
    let mut high = until.as_secs();
    while low < high {
        let middle = high - (high - low) / 2;
        match found(middle) {
            Some(later) => {
                last = later;
                low = middle.max(later.as_secs());
            }
            None => high = middle - 1,
        }
    }
    Some(last)
}

/// The first matching local time that is not before `from`.
fn next_local(rule: &Rule, from: NaiveDateTime) -> Option<NaiveDateTime> {
    let mut date = next_date(rule, from.date())?;
    let mut floor = (0, 0, 0);
    if date == from.date() {
        floor = (from.hour(), from.minute(), from.second());
    }
    let (hour, minute, second) = match next_time(rule, floor) {
        Some(time) => time,
        None => {
            date = next_date(rule, date.succ_opt()?)?;
            next_time(rule, (0, 0, 0))?
        }
    };
    Some(date.and_time(NaiveTime::from_hms_opt(hour, minute, second)?))
}

/// The first matching date that is not before `from`.
fn next_date(rule: &Rule, from: NaiveDate) -> Option<NaiveDate> {
    let mut year_floor = u32::try_from(from.year()).unwrap_or(0);
    let (mut month_floor, mut day_floor) = (from.month(), from.day());
    while let Some(year) = rule.year.at_least(year_floor, YEARS) {
        if year > year_floor {
            (month_floor, day_floor) = (MONTHS.first, DAYS.first);
        }
        while let Some(month) = rule.month.at_least(month_floor, MONTHS) {
            if month > month_floor {
                day_floor = DAYS.first;
            }
            while let Some(day) = rule.day.at_least(day_floor, DAYS) {
                let Some(date) = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
                else {
                    break; // The month is shorter.
                };
                match &rule.weekdays {
                    Some(weekdays) if !weekdays.contains(&date.weekday()) => day_floor = day + 1,
                    _ => return Some(date),
                }
            }
            (month_floor, day_floor) = (month + 1, DAYS.first);
        }
        (year_floor, month_floor, day_floor) = (year + 1, MONTHS.first, DAYS.first);
    }
    None
}

/// The first matching time of day that is not before `floor`.
fn next_time(rule: &Rule, floor: Time) -> Option<Time> {
    let (hour, minute, second) = floor;
    let first_minute = rule.minute.first(SIXTIETHS);
    let first_second = rule.second.first(SIXTIETHS);
    if rule.hour.at_least(hour, HOURS)? == hour {
        if rule.minute.at_least(minute, SIXTIETHS) == Some(minute)
            && let Some(second) = rule.second.at_least(second, SIXTIETHS)
        {
            return Some((hour, minute, second));
        }
        if let Some(minute) = rule.minute.at_least(minute + 1, SIXTIETHS) {
            return Some((hour, minute, first_second));
        }
        let hour = rule.hour.at_least(hour + 1, HOURS)?;
        return Some((hour, first_minute, first_second));
    }
    let hour = rule.hour.at_least(hour, HOURS)?;
    Some((hour, first_minute, first_second))
}

/// The first local time after the gap that `missing` falls into.
fn after_gap(zone: Option<&Zone>, missing: NaiveDateTime) -> Option<NaiveDateTime> {
    const DAY: i64 = 86_400;
    let middle = missing.and_utc().timestamp();
    let after = first_instant(middle - DAY, middle + DAY, |instant| {
        local_time(zone, instant).is_some_and(|local| local > missing)
    });
    local_time(zone, after)
}

/// The local time at which a repeat ends, of which `first` lies in the first run and `second` in
/// the second.
fn after_repeat(zone: Option<&Zone>, first: i64, second: i64) -> Option<NaiveDateTime> {
    let before = offset(zone, first)?;
    let change = first_instant(first, second, |instant| offset(zone, instant) != Some(before));
    DateTime::from_timestamp(change.checked_add(before)?, 0).map(|local| local.naive_utc())
}

/// The first instant in `(low, high]` for which `holds`; it holds from somewhere on, and at
/// `high`.
fn first_instant(mut low: i64, mut high: i64, holds: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// What the clocks show; without a zone they show UTC.
fn local_time(zone: Option<&Zone>, instant: i64) -> Option<NaiveDateTime> {
    match zone {
        Some(zone) => zone.local(instant),
        None => DateTime::from_timestamp(instant, 0).map(|utc| utc.naive_utc()),
    }
}

fn first_instant_of(zone: Option<&Zone>, local: NaiveDateTime) -> Option<i64> {
    match zone {
        Some(zone) => zone.first_instant(local),
        None => Some(local.and_utc().timestamp()),
    }
}

fn offset(zone: Option<&Zone>, instant: i64) -> Option<i64> {
    zone.map_or(Some(0), |zone| zone.offset(instant))
}

fn succ(local: NaiveDateTime) -> Option<NaiveDateTime> {
    local.checked_add_signed(TimeDelta::seconds(1))
}
