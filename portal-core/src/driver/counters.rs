//! What was ignored, and how often.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::envelope::Refusal;

/// A counter for each reason to ignore an event.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Refusal::ALL.len()],
    accepted: AtomicU64,
    faults: AtomicU64,
}

impl Counters {
    /// An event was not used.
    pub fn refuse(&self, reason: Refusal) {
        if let Some(index) = Refusal::ALL.iter().position(|known| *known == reason) {
            self.refused[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An event was opened and handed on.
    pub fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A machine has panicked.
    pub fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a machine has panicked: each is a mistake of ours.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// How many events were opened and handed on.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many events were not used for this reason.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        Refusal::ALL
            .iter()
            .position(|known| *known == reason)
            .map_or(0, |index| self.refused[index].load(Ordering::Relaxed))
    }
}
