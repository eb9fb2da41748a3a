//! How long to wait before the next attempt: random below a ceiling that grows (full jitter), so
//! that thousands of clients do not come back to a relay in the same moment.

use std::time::Duration;

use tokio::time::Instant;

use crate::env::Env;

/// The ceilings of the pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffOptions {
    /// The ceiling of the first pause; each further one is twice as high.
    pub first: Duration,
    /// The highest ceiling while an outage is young.
    pub young_limit: Duration,
    /// How long an outage is young.
    pub young_for: Duration,
    /// The highest ceiling after that.
    pub limit: Duration,
}

impl Default for BackoffOptions {
    /// 0.25 s to 4 s in the first ten minutes, then up to 30 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            young_limit: Duration::from_secs(4),
            young_for: Duration::from_secs(600),
            limit: Duration::from_secs(30),
        }
    }
}

impl BackoffOptions {
    /// The ceiling after so many failures in a row in an outage of this age.
    #[must_use]
    pub fn ceiling(&self, failures: u32, age: Duration) -> Duration {
        let limit = if age < self.young_for { self.young_limit } else { self.limit };
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(limit)
    }
}

/// The failures of one relay since it last worked.
pub(super) struct Backoff {
    options: BackoffOptions,
    failures: u32,
    since: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(options: BackoffOptions) -> Self {
        Self { options, failures: 0, since: None }
    }

    /// Notes a failure; returns the pause before the next attempt.
    pub(super) fn failed(&mut self, env: &Env, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        env.jitter(self.options.ceiling(self.failures, now.saturating_duration_since(since)))
    }

    /// Notes that it works again.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
        self.since = None;
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::mock;
    use crate::primitives::Timestamp;

    #[test]
    fn ceilings_double_up_to_the_limit_of_the_age() {
        let options = BackoffOptions::default();
        let young = |failures| options.ceiling(failures, Duration::from_secs(599)).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 6, 99].map(young), [250, 500, 1000, 2000, 4000, 4000, 4000]);
        let old = |failures| options.ceiling(failures, Duration::from_secs(600)).as_secs();
        assert_eq!([6, 7, 8, u32::MAX].map(old), [8, 16, 30, 30]);
    }

    #[test]
    fn pauses_are_spread_below_the_ceiling_and_start_again_after_success() {
        let (env, _) = mock::env(Timestamp::from_secs(1), 3);
        let mut backoff = Backoff::new(BackoffOptions::default());
        let start = Instant::now();
        let mut pauses = Vec::new();
        for n in 1..=400 {
            let pause = backoff.failed(&env, start + Duration::from_secs(n));
            assert!(pause < Duration::from_secs(4));
            pauses.push(pause);
        }
        assert!(pauses[0] < Duration::from_millis(250));
        assert!(pauses.iter().any(|p| *p > Duration::from_secs(3)));
        assert!(pauses.iter().skip(5).any(|p| *p < Duration::from_secs(1)));
        let late: Vec<_> =
            (0..100).map(|n| backoff.failed(&env, start + Duration::from_secs(700 + n))).collect();
        assert!(late.iter().all(|p| *p < Duration::from_secs(30)));
        assert!(late.iter().any(|p| *p > Duration::from_secs(4)));
        backoff.worked();
        assert_eq!(backoff.failures(), 0);
        assert!(
            backoff.failed(&env, start + Duration::from_secs(900)) < Duration::from_millis(250)
        );
    }
}
