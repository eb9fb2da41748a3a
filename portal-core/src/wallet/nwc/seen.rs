//! Remembers the newest things, and forgets the oldest when there are too many.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map that holds at most as many entries as it was made for.
pub(super) struct Recent<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), capacity }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// Sets the value; true when the key is new.
    pub(super) fn insert(&mut self, key: K, value: V) -> bool {
        let new = self.entries.insert(key.clone(), value).is_none();
        if new {
            self.order.push_back(key);
            if self.order.len() > self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        assert!(recent.insert(1, 'a') && !recent.insert(1, 'b') && recent.insert(2, 'c'));
        assert!(recent.insert(3, 'd'));
        assert_eq!(
            (recent.get(&1), recent.get(&2), recent.get(&3)),
            (None, Some(&'c'), Some(&'d'))
        );
    }
}
