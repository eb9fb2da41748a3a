//! Whether the clock is believed: a wall clock that jumps far ahead is usually wrong, and charging
//! a month of periods because of it cannot be taken back.

use std::time::Duration;

use crate::primitives::Timestamp;

/// A jump ahead of more than this, against the clock that only goes forward, is not believed.
const JUMP: Duration = Duration::from_secs(3600);

/// Compares the wall clock with the one that only goes forward.
#[derive(Debug)]
pub struct ClockGuard {
    settle: Duration,
    last: Option<(Timestamp, Duration)>,
    doubted_until: Option<Duration>,
}

impl ClockGuard {
    /// One that believes a jump when it has lasted this long.
    #[must_use]
    pub const fn new(settle: Duration) -> Self {
        Self { settle, last: None, doubted_until: None }
    }

    /// Whether the wall clock is believed at this moment; `steady` is the time since the process
    /// began. A jump during an outage is not one: it is the outage.
    pub fn believes(&mut self, wall: Timestamp, steady: Duration) -> bool {
        if let Some((last_wall, last_steady)) = self.last {
            let expected = last_wall.saturating_add(steady.saturating_sub(last_steady));
            if wall > expected.saturating_add(JUMP) {
                tracing::warn!("the clock jumped ahead; nothing is charged until it has settled");
                self.doubted_until = Some(steady.saturating_add(self.settle));
            } else if wall.saturating_add(JUMP) < expected {
                // It came back, or went back: by such a clock nothing is due too early.
                self.doubted_until = None;
            }
        }
        self.last = Some((wall, steady));
        self.doubted_until.is_none_or(|until| until <= steady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_ahead_is_believed_when_it_has_lasted() {
        let mut guard = ClockGuard::new(Duration::from_secs(600));
        let mut at = |wall: u64, steady: u64| {
            guard.believes(Timestamp::from_secs(wall), Duration::from_secs(steady))
        };
        assert!(at(1_000_000, 0), "there is nothing to compare with yet");
        assert!(at(1_000_010, 10));
        assert!(at(1_003_000, 20), "less than an hour");
        assert!(!at(1_090_000, 30), "a day");
        assert!(!at(1_090_500, 530));
        assert!(at(1_090_600, 630));
    }

    #[test]
    fn a_clock_that_comes_back_is_believed_at_once() {
        let mut guard = ClockGuard::new(Duration::from_secs(600));
        let mut at = |wall: u64, steady: u64| {
            guard.believes(Timestamp::from_secs(wall), Duration::from_secs(steady))
        };
        assert!(at(1_000_000, 0));
        assert!(!at(3_592_000, 1));
        assert!(at(1_000_002, 2));
        assert!(at(900_000, 3), "by a clock that is behind nothing is due too early");
    }

    #[test]
    fn without_time_to_settle_every_clock_is_believed() {
        let mut guard = ClockGuard::new(Duration::ZERO);
        assert!(guard.believes(Timestamp::from_secs(0), Duration::ZERO));
        assert!(guard.believes(Timestamp::from_secs(1 << 40), Duration::ZERO));
    }
}
