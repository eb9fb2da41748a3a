//! How the service is, asked for at most every two seconds however many ask: a question goes to
//! the wallet and to the disk, and anyone may put it.

use std::time::Duration;

use portal_core::service::Health;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(2);

/// The last answer.
pub struct Readiness<T = Health>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Readiness<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Readiness<T> {
    /// The last answer if it is fresh, else that of `probe`. Whoever comes while it is asked for
    /// waits for the same one.
    ///
    /// # Cancel safety
    /// The next caller asks when the future is dropped.
    pub async fn look(&self, now: Instant, probe: impl Future<Output = T>) -> T {
        let mut last = self.0.lock().await;
        if let Some((at, answer)) = &*last
            && now.saturating_duration_since(*at) < FRESH
        {
            return answer.clone();
        }
        let answer = probe.await;
        *last = Some((now, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_questions_at_once_are_one_and_the_answer_grows_old() {
        let readiness = Readiness::default();
        let asked = AtomicU32::new(0);
        let probe = || async {
            tokio::task::yield_now().await;
            asked.fetch_add(1, Ordering::SeqCst)
        };
        let now = Instant::now();
        let looks = (0..100).map(|_| readiness.look(now, probe()));
        let answers = futures_util::future::join_all(looks).await;
        assert_eq!(answers, [0; 100]);
        assert_eq!(readiness.look(now + FRESH - Duration::from_millis(1), probe()).await, 0);
        assert_eq!(readiness.look(now + FRESH, probe()).await, 1);
    }
}
