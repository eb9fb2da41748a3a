//! From text to a [`Calendar`].

use std::sync::Arc;

use chrono::Weekday;

use super::component::{Component, DAYS, Domain, HOURS, MONTHS, SIXTIETHS, YEARS};
use super::text::Wire;
use super::{Calendar, CalendarError, MAX_CALENDAR_BYTES, MAX_ZONE_BYTES, Rule, Zone};

pub(super) fn calendar(text: &str) -> Result<Calendar, CalendarError> {
    if text.len() > MAX_CALENDAR_BYTES {
        return Err(CalendarError::TooLong);
    }
    let text = keyword(text.trim()).unwrap_or(text);

    let mut weekdays = None;
    let mut date = None;
    let mut time = None;
    let mut zone = None;
    for (place, part) in text.split_whitespace().enumerate() {
        if part.contains(':') {
            time = Some(time_of_day(part)?);
        } else if time.is_some() {
            // A zone stands last. Only what is no zone can be a date that came too late.
            zone = Some(match part.parse::<Zone>() {
                Ok(zone) => zone,
                Err(_) if is_date(part) => return Err(CalendarError::InvalidFormat),
                Err(unknown) => return Err(unknown),
            });
        } else if is_date(part) {
            date = Some(days(part)?);
        } else if place == 0 {
            weekdays = Some(days_of_week(part)?);
        } else {
            return Err(CalendarError::InvalidFormat);
        }
    }
    if weekdays.is_none() && date.is_none() && time.is_none() {
        return Err(CalendarError::InvalidFormat);
    }

    let [year, month, day] = date.unwrap_or([Component::Any, Component::Any, Component::Any]);
    let [hour, minute, second] =
        time.unwrap_or_else(|| [Component::Any, Component::Any, Component::List(vec![0])]);
    let rule = Rule { weekdays, year, month, day, hour, minute, second };
    if Wire(&rule).to_string().len() > MAX_CALENDAR_BYTES - MAX_ZONE_BYTES {
        return Err(CalendarError::TooLong);
    }
    Ok(Calendar { rule: Arc::new(rule), zone })
}

/// What a keyword stands for, as an expression.
pub(super) fn keyword(text: &str) -> Option<&'static str> {
    const KEYWORDS: [(&str, &str); 9] = [
        ("minutely", "*-*-* *:*:00"),
        ("hourly", "*-*-* *:00:00"),
        ("daily", "*-*-* 00:00:00"),
        ("weekly", "Mon *-*-* 00:00:00"),
        ("monthly", "*-*-01 00:00:00"),
        ("yearly", "*-01-01 00:00:00"),
        ("annually", "*-01-01 00:00:00"),
        ("quarterly", "*-01,04,07,10-01 00:00:00"),
        ("semiannually", "*-01,07-01 00:00:00"),
    ];
    KEYWORDS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, rule)| *rule)
}

fn is_date(part: &str) -> bool {
    part.contains('-') || part == "*"
}

/// `year-month-day`; what is missing is any, what is too much is ignored.
fn days(part: &str) -> Result<[Component; 3], CalendarError> {
    let mut parts = part.split('-');
    let mut next = |domain| parts.next().map_or(Ok(Component::Any), |text| component(text, domain));
    Ok([next(YEARS)?, next(MONTHS)?, next(DAYS)?])
}

/// `hour:minute[:second]`; the missing second is 0, what is too much is ignored.
fn time_of_day(part: &str) -> Result<[Component; 3], CalendarError> {
    let mut parts = part.split(':');
    let mut next = |domain| {
        parts.next().map_or_else(|| Ok(Component::List(vec![0])), |text| component(text, domain))
    };
    Ok([next(HOURS)?, next(SIXTIETHS)?, next(SIXTIETHS)?])
}

/// `*`, `n`, `a,b,c`, `a..b` or `a..b/step`.
fn component(text: &str, domain: Domain) -> Result<Component, CalendarError> {
    if text == "*" {
        return Ok(Component::Any);
    }
    let Some((start, rest)) = text.split_once("..") else {
        let mut values =
            text.split(',').map(|text| number(text, domain)).collect::<Result<Vec<_>, _>>()?;
        values.sort_unstable();
        return Ok(Component::List(values));
    };
    let (end, step) = match rest.split_once('/') {
        Some((end, step)) => (end, Some(step)),
        None => (rest, None),
    };
    let (start, end) = (number(start, domain)?, number(end, domain)?);
    if start > end {
        return Err(CalendarError::InvalidRange { start, end });
    }
    let step = match step {
        None => None,
        Some(text) => match text.parse() {
            Ok(0) => return Err(CalendarError::ZeroStep),
            Ok(step) => Some(step),
            Err(_) => return Err(CalendarError::InvalidStep { text: text.to_owned() }),
        },
    };
    Ok(Component::Range { start, end, step })
}

fn number(text: &str, domain: Domain) -> Result<u32, CalendarError> {
    let value = text.parse().map_err(|_| CalendarError::InvalidValue { text: text.to_owned() })?;
    if (domain.first..=domain.last).contains(&value) {
        Ok(value)
    } else {
        Err(CalendarError::OutOfRange { value })
    }
}

/// `Mon`, `Monday`, `Mon,Wed` or `Sat..Mon`; a range may run over the end of the week.
fn days_of_week(part: &str) -> Result<Vec<Weekday>, CalendarError> {
    let Some((first, last)) = part.split_once("..") else {
        return part.split(',').map(day_of_week).collect();
    };
    let (first, last) = (day_of_week(first)?, day_of_week(last)?);
    let mut days = vec![first];
    let mut day = first;
    while day != last {
        day = day.succ();
        days.push(day);
    }
    Ok(days)
}

fn day_of_week(name: &str) -> Result<Weekday, CalendarError> {
    let name = name.to_lowercase();
    match name.as_str() {
        "mon" | "monday" => Ok(Weekday::Mon),
        "tue" | "tuesday" => Ok(Weekday::Tue),
        "wed" | "wednesday" => Ok(Weekday::Wed),
        "thu" | "thursday" => Ok(Weekday::Thu),
        "fri" | "friday" => Ok(Weekday::Fri),
        "sat" | "saturday" => Ok(Weekday::Sat),
        "sun" | "sunday" => Ok(Weekday::Sun),
        _ => Err(CalendarError::InvalidWeekday { name }),
    }
}
