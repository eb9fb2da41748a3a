//! Who has requests waiting with the person, so that strangers cannot take all the room.

use std::collections::{HashMap, HashSet};

use nostr::PublicKey;

use super::Limits;
use crate::conversation::answer::Answer;

/// Services that are remembered as familiar, at most.
const MOST_FAMILIAR: usize = 4096;

/// The authors of open requests.
#[derive(Debug, Default)]
pub struct Crowd {
    authors: HashMap<PublicKey, usize>,
    unasked: usize,
    familiar: HashSet<PublicKey>,
}

impl Crowd {
    /// The person has dealt with this key: opened its URL, or answered it.
    pub fn befriend(&mut self, key: PublicKey) {
        if self.familiar.len() < MOST_FAMILIAR {
            self.familiar.insert(key);
        }
    }

    /// Whether one more request of this kind from this author may wait.
    pub fn has_room(&self, author: &PublicKey, kind: u16, limits: &Limits) -> bool {
        let of_author = self.authors.get(author).copied().unwrap_or(0);
        let in_all: usize = self.authors.values().sum();
        let of_strangers: usize = self
            .authors
            .iter()
            .filter(|(other, _)| !self.familiar.contains(other))
            .map(|(_, count)| count)
            .sum();
        let stranger = !self.familiar.contains(author);
        of_author < limits.inbound_per_author
            && in_all < limits.inbound
            && !(stranger && of_strangers >= limits.inbound_from_strangers)
            && !(Answer::is_one_way(kind) && self.unasked >= limits.inbound_unasked)
    }

    /// A request is open. One that was answered speaks for its author.
    pub fn enter(&mut self, answer: &Answer) {
        let count = self.authors.entry(answer.from).or_insert(0);
        *count = count.saturating_add(1);
        if Answer::is_one_way(answer.kind) {
            self.unasked = self.unasked.saturating_add(1);
        }
        if !answer.replies.is_empty() {
            self.befriend(answer.from);
        }
    }

    /// Panics unless this many requests are counted.
    #[cfg(test)]
    pub fn check(&self, requests: usize) {
        assert_eq!(self.authors.values().sum::<usize>(), requests);
        assert!(self.authors.values().all(|count| *count > 0));
        assert!(self.unasked <= requests);
    }

    /// A request is over.
    pub fn leave(&mut self, answer: &Answer) {
        if let Some(count) = self.authors.get_mut(&answer.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.authors.remove(&answer.from);
            }
        }
        if Answer::is_one_way(answer.kind) {
            self.unasked = self.unasked.saturating_sub(1);
        }
    }
}
