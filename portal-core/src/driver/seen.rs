//! Remembers the ids of events that verified, for at least twenty minutes.
//!
//! An event is accepted within ten minutes of its `created_at` either way, so a copy that comes
//! later than twenty minutes after the first is stale by itself.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use crate::primitives::Timestamp;

const GENERATION_SECS: u64 = 20 * 60;
const SHARDS: usize = 16;
/// More ids than this in one shard end a generation early; the conversations themselves take no
/// answer twice, so that costs work, not truth.
const MOST_PER_SHARD: usize = 1 << 18;

/// Ids of events, in two generations.
#[derive(Debug)]
pub struct Seen {
    shards: [Mutex<Shard>; SHARDS],
}

/// One part of the table, locked: two copies of one event that come from two relays at once meet
/// here, and the second waits for the first one's verdict instead of verifying again.
#[derive(Debug, Default)]
pub struct Shard {
    current: HashSet<u64>,
    previous: HashSet<u64>,
    since: u64,
}

impl Seen {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Locks the part of the table that this id belongs to.
    pub fn lock(&self, id: &[u8; 32]) -> MutexGuard<'_, Shard> {
        let shard = usize::from(id[31]) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether an event with this id has verified before.
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        self.lock(id).contains(id)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

impl Shard {
    /// Whether an event with this id has verified before.
    #[must_use]
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        let key = fingerprint(id);
        self.current.contains(&key) || self.previous.contains(&key)
    }

    /// Remembers the id of an event that has verified.
    pub fn insert(&mut self, id: &[u8; 32], now: Timestamp) {
        if now.as_secs() >= self.since.saturating_add(GENERATION_SECS)
            || self.current.len() >= MOST_PER_SHARD
        {
            self.previous = std::mem::take(&mut self.current);
            self.since = now.as_secs();
        }
        self.current.insert(fingerprint(id));
    }
}

/// Half the birthday bound of SHA-256 does not matter here: to hide an event, its id would have to
/// be met, and that is a second preimage of 64 bits within its twenty minutes.
fn fingerprint(id: &[u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_twenty_minutes_and_not_for_ever() {
        let seen = Seen::new();
        let id = [7; 32];
        let start = Timestamp::from_secs(1_000_000);
        assert!(!seen.contains(&id));
        seen.lock(&id).insert(&id, start);
        assert!(seen.contains(&id));
        let other = |n: u8| {
            let mut id = [n; 32];
            id[31] = 7;
            id
        };
        seen.lock(&other(1)).insert(&other(1), Timestamp::from_secs(1_001_199));
        assert!(seen.contains(&id));
        seen.lock(&other(2)).insert(&other(2), Timestamp::from_secs(1_001_200));
        assert!(seen.contains(&id), "the generation before is kept");
        seen.lock(&other(3)).insert(&other(3), Timestamp::from_secs(1_002_400));
        assert!(!seen.contains(&id));
    }
}
