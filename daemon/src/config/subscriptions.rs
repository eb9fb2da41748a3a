//! `[subscriptions]`: whether and how subscriptions are charged by the schedule.

use portal_core::service::ChargeOptions;
use portal_core::subscriptions::{CatchUp, Policy};

use super::values::Values;

/// The most attempts after the first.
const MOST_RETRIES: usize = 16;
const RETRIES: &str = "at most 16 durations such as \"1h\" or \"3d\"";

/// Whether and how subscriptions are charged by the schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionsConfig {
    /// Whether the daemon charges at all. Off: merchants run their own schedule.
    pub enabled: bool,
    /// What happens when things do not go as agreed.
    pub policy: Policy,
}

impl SubscriptionsConfig {
    /// As the service takes it.
    #[must_use]
    pub fn options(self) -> Option<ChargeOptions> {
        let Self { enabled, policy } = self;
        enabled.then(|| ChargeOptions { policy, ..ChargeOptions::default() })
    }

    pub(super) fn take(values: &mut Values) -> Self {
        let mut config = Self::default();
        if let Some(enabled) = values.flag("subscriptions.enabled") {
            config.enabled = enabled;
        }
        let name = values.name_of("subscriptions.catch_up");
        match values.text("subscriptions.catch_up").as_deref() {
            None => {}
            Some("each") => config.policy.catch_up = CatchUp::Each,
            Some("latest") => config.policy.catch_up = CatchUp::Latest,
            Some(_) => {
                let wrong: Option<CatchUp> = values.wrong(name, "\"each\" or \"latest\"");
                config.policy.catch_up = wrong.unwrap_or_default();
            }
        }
        let name = values.name_of("subscriptions.retries");
        if let Some(texts) = values.list("subscriptions.retries") {
            let ladder: Option<Vec<u64>> = texts.iter().map(|text| duration(text)).collect();
            match ladder.filter(|ladder| ladder.len() <= MOST_RETRIES) {
                Some(ladder) => config.policy.ladder = ladder,
                None => config.policy.ladder = values.wrong(name, RETRIES).unwrap_or_default(),
            }
        }
        let name = values.name_of("subscriptions.past_due");
        if let Some(text) = values.text("subscriptions.past_due") {
            config.policy.past_due = match duration(&text) {
                Some(seconds) => seconds,
                None => values.wrong(name, "a duration such as \"7d\"").unwrap_or_default(),
            };
        }
        config
    }
}

/// `90s`, `15m`, `1h`, `3d`, at most a year.
fn duration(text: &str) -> Option<u64> {
    const YEAR: u64 = 366 * 86_400;
    let unit = text.chars().next_back()?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).filter(|seconds| *seconds <= YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3600), ("3d", 259_200)] {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        for text in ["", "h", "1", "-1h", "1.5h", "1w", "367d", "99999999999999999999d", "1€"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
