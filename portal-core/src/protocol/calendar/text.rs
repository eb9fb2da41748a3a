//! A [`Calendar`] as text: normalised for the wire, and a sentence for people.

use std::fmt;

use chrono::Weekday;

use super::component::{Component, DAYS, HOURS, SIXTIETHS};
use super::{Calendar, Rule};

/// Writes the normalised expression, without the zone.
pub(super) struct Wire<'a>(pub(super) &'a Rule);

impl fmt::Display for Wire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { weekdays, year, month, day, hour, minute, second } = self.0;
        if let Some(weekdays) = weekdays {
            write!(f, "{} ", names(weekdays, ","))?;
        }
        write!(f, "{year}-{month}-{day} {hour}:{minute}:{second}")
    }
}

pub(super) fn human(calendar: &Calendar, show_zone: bool) -> String {
    let rule = &calendar.rule;
    if let Some(name) = named(&Wire(rule).to_string()) {
        return name.to_owned();
    }
    let mut text = frequency(rule);
    if let Some(weekdays) = &rule.weekdays {
        text.push_str(" on ");
        text.push_str(&names(weekdays, ", "));
    }
    if let Some(time) = time_of_day(rule) {
        text.push_str(" at ");
        text.push_str(&time);
    }
    if let Some(zone) = calendar.zone.as_ref().filter(|_| show_zone) {
        text.push_str(" (");
        text.push_str(zone.name());
        text.push(')');
    }
    text
}

fn named(wire: &str) -> Option<&'static str> {
    match wire {
        "*-*-* *:*:00" => Some("Every minute"),
        "*-*-* *:00:00" => Some("Every hour"),
        "*-*-* 00:00:00" => Some("Daily"),
        "Mon *-*-* 00:00:00" => Some("Weekly"),
        "*-*-01 00:00:00" => Some("Monthly"),
        "*-01-01 00:00:00" => Some("Yearly"),
        "*-01,04,07,10-01 00:00:00" => Some("Quarterly"),
        "*-01,07-01 00:00:00" => Some("Semi-annually"),
        _ => None,
    }
}

fn frequency(rule: &Rule) -> String {
    let any = |component: &Component| *component == Component::Any;
    let any_month = any(&rule.year) && any(&rule.month);
    let any_date = any_month && any(&rule.day);
    if any_date
        && any(&rule.hour)
        && let Some(step) = rule.minute.every(SIXTIETHS)
    {
        return format!("Every {step} minutes");
    }
    if any_date {
        return match rule.hour.every(HOURS) {
            Some(step) => format!("Every {step} hours"),
            None => "Every day".to_owned(),
        };
    }
    if let (true, Some(step)) = (any_month, rule.day.every(DAYS)) {
        return format!("Every {step} days");
    }
    match rule.day.single() {
        Some(day) => format!("On the {day}{} day of each month", ordinal_suffix(day)),
        None => "On a custom schedule".to_owned(),
    }
}

fn time_of_day(rule: &Rule) -> Option<String> {
    let hour = rule.hour.single()?;
    let minute = rule.minute.single()?;
    let second = rule.second.single()?;
    Some(match (hour, minute, second) {
        (0, 0, 0) => "midnight".to_owned(),
        (12, 0, 0) => "noon".to_owned(),
        _ => {
            let half = if hour < 12 { "AM" } else { "PM" };
            let hour = match hour % 12 {
                0 => 12,
                hour => hour,
            };
            format!("{hour:02}:{minute:02} {half}")
        }
    })
}

const fn ordinal_suffix(number: u32) -> &'static str {
    match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    }
}

fn names(weekdays: &[Weekday], separator: &str) -> String {
    let names: Vec<String> = weekdays.iter().map(ToString::to_string).collect();
    names.join(separator)
}
