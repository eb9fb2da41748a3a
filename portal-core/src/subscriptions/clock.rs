//! Whether the clock is believed: a wall clock that jumps far ahead is usually wrong, and charging
//! a month of periods because of it cannot be taken back.

use std::time::Duration;

use crate::primitives::Timestamp;

/// A jump ahead of more than this, against the clock that only goes forward, is not believed.
const JUMP: Duration = Duration::from_secs(3600);
/// How often what is believed is saved: well within [`JUMP`], so that a restart is not taken for one.
const SAVED_EVERY: Duration = Duration::from_secs(1200);

/// Compares the wall clock with the one that only goes forward.
#[derive(Debug)]
pub struct ClockGuard {
    settle: Duration,
    seen: Option<Timestamp>,
    last: Option<(Timestamp, Duration)>,
    doubted_until: Option<Duration>,
}

impl ClockGuard {
    /// One that believes a jump when it has lasted this long. `seen` is what the process before
    /// believed last, if there was one: a clock that is far ahead of it may tell of an outage or be
    /// wrong, and only time tells which.
    #[must_use]
    pub const fn new(settle: Duration, seen: Option<Timestamp>) -> Self {
        Self { settle, seen, last: None, doubted_until: None }
    }

    /// What is to be saved for the process after this one: the clock's time, when it is believed
    /// and has moved far enough from what was saved before.
    pub fn to_save(&mut self, wall: Timestamp) -> Option<Timestamp> {
        let near = |seen: Timestamp| wall >= seen && wall < seen.saturating_add(SAVED_EVERY);
        if self.doubted_until.is_some() || self.seen.is_some_and(near) {
            return None;
        }
        self.seen = Some(wall);
        self.seen
    }

    /// Whether the wall clock is believed at this moment; `steady` is the time since the process
    /// began.
    pub fn believes(&mut self, wall: Timestamp, steady: Duration) -> bool {
        if self.last.is_none() && self.seen.is_some_and(|seen| wall > seen.saturating_add(JUMP)) {
            tracing::info!("subscriptions are charged when the clock has settled");
            self.doubted_until = Some(steady.saturating_add(self.settle));
        }
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
        self.doubted_until = self.doubted_until.filter(|until| *until > steady);
        self.doubted_until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_ahead_is_believed_when_it_has_lasted() {
        let mut guard = ClockGuard::new(Duration::from_secs(600), None);
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
        let mut guard = ClockGuard::new(Duration::from_secs(600), None);
        let mut at = |wall: u64, steady: u64| {
            guard.believes(Timestamp::from_secs(wall), Duration::from_secs(steady))
        };
        assert!(at(1_000_000, 0));
        assert!(!at(3_592_000, 1));
        assert!(at(1_000_002, 2));
        assert!(at(900_000, 3), "by a clock that is behind nothing is due too early");
    }

    #[test]
    fn a_clock_that_is_ahead_when_the_process_begins_is_believed_when_it_has_lasted() {
        let begun = |seen: u64| {
            let seen = Some(Timestamp::from_secs(seen));
            ClockGuard::new(Duration::from_secs(600), seen)
        };
        let at = |guard: &mut ClockGuard, wall: u64, steady: u64| {
            guard.believes(Timestamp::from_secs(wall), Duration::from_secs(steady))
        };
        let mut soon = begun(1_000_000);
        assert!(at(&mut soon, 1_003_600, 0), "a restart");
        let mut back = begun(1_000_000);
        assert!(at(&mut back, 900_000, 0), "nothing is due too early");
        let mut outage = begun(1_000_000);
        assert!(!at(&mut outage, 1_090_000, 0));
        assert_eq!(outage.to_save(Timestamp::from_secs(1_090_000)), None, "not while in doubt");
        assert!(at(&mut outage, 1_090_600, 600), "it was an outage");
        let saved = Timestamp::from_secs(1_090_600);
        assert_eq!(outage.to_save(saved), Some(saved));
        assert_eq!(outage.to_save(Timestamp::from_secs(1_091_000)), None, "near enough");
        let mut wrong = begun(1_000_000);
        assert!(!at(&mut wrong, 3_592_000, 0));
        assert!(at(&mut wrong, 1_000_300, 300), "it came back");
    }

    #[test]
    fn without_time_to_settle_every_clock_is_believed() {
        let mut guard = ClockGuard::new(Duration::ZERO, Some(Timestamp::from_secs(1)));
        assert!(guard.believes(Timestamp::from_secs(0), Duration::ZERO));
        assert!(guard.believes(Timestamp::from_secs(1 << 40), Duration::ZERO));
    }
}
