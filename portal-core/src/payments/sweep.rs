//! How the wallet is asked about open payments: what, and how often.

use std::collections::HashMap;
use std::time::Duration;

use crate::primitives::Timestamp;

/// Payments in one page; the most that NIP-47 wallets promise.
pub const PAGE: u32 = 20;
/// Pages in one sweep.
pub const MOST_PAGES: u32 = 500;
/// Up to this many open payments are looked up one by one.
const FEW: usize = 8;
/// A wallet's clock may be behind ours by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Nothing is open.
    Nothing,
    /// Each of these.
    Each(Vec<[u8; 32]>),
    /// The list of what came in since.
    List {
        /// Since then.
        since: Timestamp,
    },
}

/// Plans a look at everything that is open.
#[must_use]
pub fn plan(open: &HashMap<[u8; 32], Timestamp>) -> Sweep {
    match open.values().min() {
        None => Sweep::Nothing,
        Some(_) if open.len() <= FEW => Sweep::Each(open.keys().copied().collect()),
        Some(oldest) => Sweep::List { since: oldest.saturating_sub(CLOCK_SKEW) },
    }
}

/// How long to wait before the next look.
#[must_use]
pub const fn pause(notifies: bool, failures: u32) -> Duration {
    match (failures, notifies) {
        // A notification can be lost: what was settled is known within five seconds all the same.
        (0, true) => Duration::from_secs(4),
        (0, false) => Duration::from_secs(2),
        (1, _) => Duration::from_millis(500),
        (2, _) => Duration::from_secs(1),
        (3, _) => Duration::from_secs(2),
        // A wallet that comes back is noticed within five seconds.
        _ => Duration::from_secs(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_looked_up_and_many_are_listed_from_the_oldest() {
        let open = |count: u8| -> HashMap<_, _> {
            (0..count).map(|n| ([n; 32], Timestamp::from_secs(1000 + u64::from(n)))).collect()
        };
        assert_eq!(plan(&open(0)), Sweep::Nothing);
        assert!(matches!(plan(&open(8)), Sweep::Each(hashes) if hashes.len() == 8));
        assert_eq!(plan(&open(9)), Sweep::List { since: Timestamp::from_secs(880) });
    }

    #[test]
    fn a_wallet_that_fails_is_asked_again_within_five_seconds() {
        for failures in 1..1000 {
            assert!(pause(true, failures) < Duration::from_secs(5));
        }
    }
}
