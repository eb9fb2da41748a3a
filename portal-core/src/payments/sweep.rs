//! How the wallet is asked about open payments: what, and how often.
//!
//! ```text
//!   few open ─────────────────────────▶ each of them
//!   many, wallet lists by settlement ─▶ what settled since the newest that is known, and a little more
//!                                       (every now and then: since the oldest that is open)
//!   many, it lists by invoice ────────▶ what was made since the oldest that is open, as often as that
//!                                       may cost
//!   many, it lists nothing ───────────▶ some of them, in turn
//! ```
//!
//! No sweep costs more for more open payments. Times are those of the wallet, as far as it shows
//! any: its clock need not be ours.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use crate::primitives::Timestamp;

/// Payments in one page of a list by invoice; the most that NIP-47 wallets promise.
pub const PAGE: u32 = 20;
/// Payments in one page of a list by settlement.
pub const LARGE_PAGE: u32 = 200;
/// Pages in one sweep.
pub const MOST_PAGES: u32 = 500;
/// Up to this many open payments are looked up one by one.
const FEW: usize = 8;
/// So many are looked up in one sweep when the wallet cannot list.
const IN_TURN: usize = 32;
/// A wallet's clock may be behind ours by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// What settles at one moment need not appear in the wallet's list at that moment.
const OVERLAP: Duration = Duration::from_secs(30);
/// So many sweeps since the last known settlement, then one since the oldest open payment.
const SHALLOW: u32 = 75;
/// A sweep by invoices may take one part in so many of the time.
const SHARE: u32 = 20;

/// How a wallet lists, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// By settlement.
    #[default]
    Settlements,
    /// By the making of invoices.
    Invoices,
    /// Not at all.
    Nothing,
}

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Nothing is open.
    Nothing,
    /// Each of these.
    Each(Vec<[u8; 32]>),
    /// The list of what settled since.
    Settled {
        /// Since then, by the wallet's clock.
        since: Timestamp,
    },
    /// The list of what was made since, and is settled.
    Made {
        /// Since then.
        since: Timestamp,
    },
}

/// The payments that are watched.
#[derive(Debug, Default)]
pub struct Open {
    since: HashMap<[u8; 32], Timestamp>,
    by_age: BTreeSet<(Timestamp, [u8; 32])>,
    /// The newest settlement that the wallet showed, by its own clock.
    newest: Option<Timestamp>,
    shallow: u32,
    /// Where looking one by one goes on.
    turn: Option<(Timestamp, [u8; 32])>,
}

impl Open {
    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// Whether this one is watched.
    #[must_use]
    pub fn contains(&self, payment_hash: &[u8; 32]) -> bool {
        self.since.contains_key(payment_hash)
    }

    /// Watches a payment whose invoice was made then.
    pub fn insert(&mut self, payment_hash: [u8; 32], since: Timestamp) {
        self.remove(&payment_hash);
        if self.by_age.first().is_none_or(|(oldest, _)| since < *oldest) {
            // It may have settled before anything that was looked at.
            self.look_deep();
        }
        self.since.insert(payment_hash, since);
        self.by_age.insert((since, payment_hash));
    }

    /// Watches it no longer.
    pub fn remove(&mut self, payment_hash: &[u8; 32]) {
        if let Some(since) = self.since.remove(payment_hash) {
            self.by_age.remove(&(since, *payment_hash));
        }
    }

    /// A list that was read to its end showed a settlement of this moment.
    pub fn saw(&mut self, at: Timestamp) {
        self.newest = self.newest.max(Some(at));
    }

    /// Something may have been missed: the next sweep looks at everything.
    pub fn look_deep(&mut self) {
        self.shallow = 0;
        self.newest = None;
    }

    /// Plans the next look.
    pub fn plan(&mut self, lists: Lists) -> Sweep {
        let Some((oldest, _)) = self.by_age.first().copied() else { return Sweep::Nothing };
        if self.since.len() <= FEW {
            return Sweep::Each(self.by_age.iter().map(|(_, hash)| *hash).collect());
        }
        let oldest = oldest.saturating_sub(CLOCK_SKEW);
        match lists {
            Lists::Settlements => {
                if self.shallow == 0 {
                    self.newest = None;
                }
                self.shallow = if self.shallow >= SHALLOW { 0 } else { self.shallow + 1 };
                let known = self.newest.map(|newest| newest.saturating_sub(OVERLAP));
                Sweep::Settled { since: known.map_or(oldest, |known| known.max(oldest)) }
            }
            Lists::Invoices => Sweep::Made { since: oldest },
            Lists::Nothing => Sweep::Each(self.in_turn()),
        }
    }

    fn in_turn(&mut self) -> Vec<[u8; 32]> {
        let next: Vec<_> = match self.turn {
            None => self.by_age.iter().take(IN_TURN).copied().collect(),
            Some(turn) => {
                let rest = self.by_age.range((Excluded(turn), Unbounded));
                let first = self.by_age.range(..=turn);
                rest.chain(first).take(IN_TURN).copied().collect()
            }
        };
        self.turn = next.last().copied();
        next.into_iter().map(|(_, hash)| hash).collect()
    }
}

/// How long to wait before the next look, after one that took so long.
#[must_use]
pub fn pause(notifies: bool, failures: u32, lists: Lists, took: Duration) -> Duration {
    let pause = match (failures, notifies) {
        // A notification can be lost: what was settled is known within five seconds all the same.
        (0, true) => Duration::from_secs(4),
        (0, false) => Duration::from_secs(2),
        (1, _) => Duration::from_millis(500),
        (2, _) => Duration::from_secs(1),
        (3, _) => Duration::from_secs(2),
        // A wallet that comes back is noticed within five seconds.
        _ => Duration::from_secs(4),
    };
    match lists {
        // A wallet with many payments is not kept busy by us alone.
        Lists::Invoices if failures == 0 => pause.max(took.saturating_mul(SHARE)),
        Lists::Settlements | Lists::Invoices | Lists::Nothing => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(count: u8) -> Open {
        let mut open = Open::default();
        for n in 0..count {
            open.insert([n; 32], Timestamp::from_secs(1000 + u64::from(n)));
        }
        open
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn few_are_looked_up_and_many_are_listed() {
        assert_eq!(open(0).plan(Lists::Settlements), Sweep::Nothing);
        let few = open(8).plan(Lists::Settlements);
        assert!(matches!(few, Sweep::Each(hashes) if hashes.len() == 8));
        assert_eq!(open(9).plan(Lists::Settlements), Sweep::Settled { since: at(880) });
        assert_eq!(open(9).plan(Lists::Invoices), Sweep::Made { since: at(880) });
    }

    #[test]
    fn a_list_by_settlement_goes_on_from_the_newest_with_an_overlap() {
        let mut open = open(100);
        assert_eq!(open.plan(Lists::Settlements), Sweep::Settled { since: at(880) });
        open.saw(at(5000));
        open.saw(at(4000));
        assert_eq!(open.plan(Lists::Settlements), Sweep::Settled { since: at(4970) });
        open.look_deep();
        assert_eq!(open.plan(Lists::Settlements), Sweep::Settled { since: at(880) }, "reconnected");
        open.saw(at(5000));
        open.insert([200; 32], at(500));
        assert_eq!(open.plan(Lists::Settlements), Sweep::Settled { since: at(380) }, "older");
        open.saw(at(5000));
        let deep =
            |open: &mut Open| open.plan(Lists::Settlements) == Sweep::Settled { since: at(380) };
        let until_deep = (0..1000).position(|_| {
            let deep = deep(&mut open);
            open.saw(at(5000));
            deep
        });
        assert_eq!(until_deep, Some(75), "from time to time everything");
    }

    #[test]
    fn a_wallet_that_lists_nothing_is_asked_about_all_in_turn() {
        let mut open = open(100);
        let mut seen = BTreeSet::new();
        for _ in 0..4 {
            let Sweep::Each(hashes) = open.plan(Lists::Nothing) else { panic!("one by one") };
            assert_eq!(hashes.len(), 32, "no more than that at once");
            seen.extend(hashes);
        }
        assert_eq!(seen.len(), 100);
        (0..95).for_each(|n| open.remove(&[n; 32]));
        let Sweep::Each(hashes) = open.plan(Lists::Nothing) else { panic!("one by one") };
        assert_eq!(hashes.len(), 5);
    }

    #[test]
    fn a_wallet_that_fails_is_asked_again_within_five_seconds() {
        for failures in 1..1000 {
            for lists in [Lists::Settlements, Lists::Invoices, Lists::Nothing] {
                let pause = pause(true, failures, lists, Duration::from_secs(60));
                assert!(pause < Duration::from_secs(5));
            }
        }
    }

    #[test]
    fn long_lists_by_invoice_are_asked_for_less_often() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(true, 0, Lists::Invoices, second), 20 * second);
        assert_eq!(pause(true, 0, Lists::Invoices, second / 10), 4 * second);
        assert_eq!(pause(false, 0, Lists::Settlements, second), 2 * second);
    }
}
