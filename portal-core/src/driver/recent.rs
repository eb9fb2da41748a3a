//! A bounded map of what was used lately: two generations, the older one forgotten whole.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps between `capacity` and twice as many of the entries used last.
#[derive(Debug)]
pub struct Recent<K, V> {
    capacity: usize,
    current: HashMap<K, V>,
    previous: HashMap<K, V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    /// An empty map.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, current: HashMap::new(), previous: HashMap::new() }
    }

    /// The value of this key, which counts as use.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.current.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.previous.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// Inserts or replaces.
    pub fn insert(&mut self, key: K, value: V) {
        if self.current.len() >= self.capacity && !self.current.contains_key(&key) {
            self.previous = std::mem::take(&mut self.current);
        }
        self.current.insert(key, value);
    }

    /// Takes the value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.current.remove(key);
        let older = self.previous.remove(key);
        value.or(older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_size_is_bounded() {
        let mut recent = Recent::new(2);
        for n in 0..100 {
            recent.insert(n, n);
            assert_eq!(recent.get(&0), Some(0), "used every time");
        }
        assert!(recent.current.len() <= 2 && recent.previous.len() <= 2);
        assert_eq!(recent.get(&50), None);
        assert_eq!(recent.remove(&0), Some(0));
        assert_eq!(recent.get(&0), None);
    }
}
