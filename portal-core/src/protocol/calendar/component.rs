//! One part of a date or of a time: which numbers it takes, and the next of them.

use std::fmt;

/// The numbers that a part of a date or time can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) first: u32,
    pub(super) last: u32,
}

pub(super) const YEARS: Domain = Domain { first: 1970, last: 2099 };
pub(super) const MONTHS: Domain = Domain { first: 1, last: 12 };
pub(super) const DAYS: Domain = Domain { first: 1, last: 31 };
pub(super) const HOURS: Domain = Domain { first: 0, last: 23 };
pub(super) const SIXTIETHS: Domain = Domain { first: 0, last: 59 };

/// Which numbers of a domain match. Never empty, always inside the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Component {
    /// `*`
    Any,
    /// One or more, sorted, repeats kept.
    List(Vec<u32>),
    /// `start..end` or `start..end/step`; the step is not zero.
    Range { start: u32, end: u32, step: Option<u32> },
}

impl Component {
    /// The only number that matches, when it is written as one.
    pub(super) fn single(&self) -> Option<u32> {
        match self {
            Self::List(values) => match values.as_slice() {
                [value] => Some(*value),
                _ => None,
            },
            Self::Any | Self::Range { .. } => None,
        }
    }

    /// The step, when the whole domain is taken in steps.
    pub(super) fn every(&self, domain: Domain) -> Option<u32> {
        match *self {
            Self::Range { start, end, step: Some(step) }
                if start == domain.first && end == domain.last =>
            {
                Some(step)
            }
            _ => None,
        }
    }

    /// The smallest matching number that is not below `floor`.
    pub(super) fn at_least(&self, floor: u32, domain: Domain) -> Option<u32> {
        match self {
            Self::Any => Some(floor.max(domain.first)).filter(|value| *value <= domain.last),
            Self::List(values) => values.iter().copied().find(|value| *value >= floor),
            Self::Range { start, end, step } => {
                let steps = floor.saturating_sub(*start).div_ceil(step.unwrap_or(1));
                let value = steps.checked_mul(step.unwrap_or(1))?.checked_add(*start)?;
                (value <= *end).then_some(value)
            }
        }
    }

    /// The smallest matching number.
    pub(super) fn first(&self, domain: Domain) -> u32 {
        match self {
            Self::Any => domain.first,
            Self::List(values) => values.first().copied().unwrap_or(domain.first),
            Self::Range { start, .. } => *start,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::List(values) => {
                for (place, value) in values.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{value:02}")?;
                }
                Ok(())
            }
            Self::Range { start, end, step: None } => write!(f, "{start:02}..{end:02}"),
            Self::Range { start, end, step: Some(step) } => {
                write!(f, "{start:02}..{end:02}/{step}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_walked_in_its_steps() {
        let range = Component::Range { start: 3, end: 20, step: Some(7) };
        let found: Vec<_> = (0..=22).map(|floor| range.at_least(floor, DAYS)).collect();
        assert!(found[..=3].iter().all(|value| *value == Some(3)));
        assert!(found[4..=10].iter().all(|value| *value == Some(10)));
        assert!(found[11..=17].iter().all(|value| *value == Some(17)));
        assert!(found[18..].iter().all(Option::is_none));
        let wide = Component::Range { start: 1, end: 2, step: Some(u32::MAX) };
        assert_eq!(wide.at_least(2, DAYS), None);
    }

    #[test]
    fn any_number_stays_in_its_domain() {
        assert_eq!(Component::Any.at_least(1969, YEARS), Some(1970));
        assert_eq!(Component::Any.at_least(2100, YEARS), None);
    }
}
