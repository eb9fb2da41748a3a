//! A map for very many small entries that grows without a jump.
//!
//! A table of the standard library doubles: just after that more than half of it is empty, and
//! while it is copied it is there three times. With a hundred thousand idle streams that is as
//! much memory as the streams themselves. Here the entries lie in pages of one size that never
//! move; only the index doubles, and that is five bytes for an entry.
//!
//! ```text
//!   index (hash ─▶ place, 4 B)          pages of 64 entries
//!   ┌───┬───┬───┬───┬───┬───┐           ┌────────┐ ┌────────┐
//!   │   │ 7 │   │ 2 │ 65│   │ ────────▶ │ 0 … 63 │ │64 … 127│ …
//!   └───┴───┴───┴───┴───┴───┘           └────────┘ └────────┘
//! ```
//!
//! A look-up costs one step more than in a table: from the place to the entry. Places that become
//! free are used again; pages are given back when the map is empty.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

/// Entries in a page: small enough that a map with a few entries is small.
const PAGE: usize = 64;

/// A map whose memory grows page by page. Keys are hashed with a key of their own, so that nobody
/// can choose them to collide.
pub struct PagedMap<K, V> {
    index: HashTable<u32>,
    pages: Vec<Vec<Slot<K, V>>>,
    /// The first of the free places, each of which names the next.
    free: Option<u32>,
    hasher: RandomState,
}

enum Slot<K, V> {
    Taken(K, V),
    Free(Option<u32>),
}

impl<K, V> PagedMap<K, V> {
    /// An empty map, which takes no memory yet.
    #[must_use]
    pub fn new() -> Self {
        let (index, hasher) = (HashTable::new(), RandomState::new());
        Self { index, pages: Vec::new(), free: None, hasher }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.pages.iter().flatten().filter_map(Slot::entry)
    }
}

impl<K: Hash + Eq, V> PagedMap<K, V> {
    /// The value of this key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = self.find(key)?;
        slot(&self.pages, place).and_then(Slot::entry).map(|(_, value)| value)
    }

    /// The value of this key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.find(key)?;
        match slot_mut(&mut self.pages, place) {
            Some(Slot::Taken(_, value)) => Some(value),
            Some(Slot::Free(_)) | None => None,
        }
    }

    /// Whether there is a value of this key.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_some()
    }

    /// Puts a value under this key, and returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, value));
        }
        let hash = self.hasher.hash_one(&key);
        let place = self.put(Slot::Taken(key, value));
        let Self { index, pages, hasher, .. } = self;
        index.insert_unique(hash, place, |place| hash_at(pages, hasher, *place));
        None
    }

    /// Takes the value of this key out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let Self { index, pages, hasher, free } = self;
        let hash = hasher.hash_one(key);
        let (place, _) = index.find_entry(hash, |place| is_at(pages, *place, key)).ok()?.remove();
        let slot = slot_mut(pages, place)?;
        let taken = std::mem::replace(slot, Slot::Free(*free));
        *free = Some(place);
        if index.is_empty() {
            self.give_back();
        }
        match taken {
            Slot::Taken(_, value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// Takes out everything.
    pub fn drain(&mut self) -> impl Iterator<Item = (K, V)> + use<K, V> {
        let all = std::mem::take(self);
        all.pages.into_iter().flatten().filter_map(|slot| match slot {
            Slot::Taken(key, value) => Some((key, value)),
            Slot::Free(_) => None,
        })
    }

    fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |place| is_at(&self.pages, *place, key)).copied()
    }

    /// Puts an entry into a free place or behind the last one.
    fn put(&mut self, entry: Slot<K, V>) -> u32 {
        if let Some(place) = self.free
            && let Some(slot) = slot_mut(&mut self.pages, place)
        {
            if let Slot::Free(next) = std::mem::replace(slot, entry) {
                self.free = next;
            }
            return place;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let before = self.pages.len().saturating_sub(1).saturating_mul(PAGE);
        let page = self.pages.last_mut().expect("one was pushed if there was none");
        page.push(entry);
        let place = before.saturating_add(page.len()).saturating_sub(1);
        u32::try_from(place).expect("memory ends long before 4,294,967,296 entries")
    }

    /// Nothing is left: only the first page is kept, for a map that is filled and emptied in turn.
    fn give_back(&mut self) {
        self.free = None;
        self.pages.truncate(1);
        self.pages.iter_mut().for_each(Vec::clear);
        if self.index.capacity() > PAGE {
            self.pages.shrink_to_fit();
            self.index = HashTable::new();
        }
    }
}

impl<K, V> Slot<K, V> {
    const fn entry(&self) -> Option<(&K, &V)> {
        match self {
            Self::Taken(key, value) => Some((key, value)),
            Self::Free(_) => None,
        }
    }
}

fn slot<K, V>(pages: &[Vec<Slot<K, V>>], place: u32) -> Option<&Slot<K, V>> {
    let place = usize::try_from(place).ok()?;
    pages.get(place / PAGE)?.get(place % PAGE)
}

fn slot_mut<K, V>(pages: &mut [Vec<Slot<K, V>>], place: u32) -> Option<&mut Slot<K, V>> {
    let place = usize::try_from(place).ok()?;
    pages.get_mut(place / PAGE)?.get_mut(place % PAGE)
}

fn is_at<K: Eq, V>(pages: &[Vec<Slot<K, V>>], place: u32, key: &K) -> bool {
    slot(pages, place).and_then(Slot::entry).is_some_and(|(known, _)| known == key)
}

/// The hash of the key at a place of the index, where there always is one.
fn hash_at<K: Hash, V>(pages: &[Vec<Slot<K, V>>], hasher: &RandomState, place: u32) -> u64 {
    slot(pages, place).and_then(Slot::entry).map_or(0, |(key, _)| hasher.hash_one(key))
}

impl<K, V> Default for PagedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for PagedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn sorted(entries: impl Iterator<Item = (u16, u32)>) -> Vec<(u16, u32)> {
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable();
        entries
    }

    proptest! {
        /// Few keys, so that places are freed and used again.
        #[test]
        fn it_holds_what_a_table_of_the_standard_library_holds(
            steps in prop::collection::vec((any::<bool>(), 0u16..200, any::<u32>()), 0..800),
        ) {
            let (mut paged, mut model) = (PagedMap::new(), HashMap::new());
            for (insert, key, value) in steps {
                if insert {
                    prop_assert_eq!(paged.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(paged.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(paged.len(), model.len());
                prop_assert_eq!(paged.get(&key), model.get(&key));
            }
            let all = |map: &PagedMap<u16, u32>| sorted(map.iter().map(|(k, v)| (*k, *v)));
            prop_assert_eq!(all(&paged), sorted(model.clone().into_iter()));
            for key in 0..200 {
                prop_assert_eq!(paged.get_mut(&key), model.get_mut(&key));
                prop_assert_eq!(paged.contains_key(&key), model.contains_key(&key));
            }
            prop_assert_eq!(sorted(paged.drain()), sorted(model.into_iter()));
            prop_assert!(paged.is_empty());
        }
    }

    #[test]
    fn it_grows_by_a_page_and_is_given_back_when_it_is_empty() {
        let mut map = PagedMap::new();
        for key in 0..10_000_u32 {
            map.insert(key, key);
            let room: usize = map.pages.iter().map(Vec::capacity).sum();
            assert!(room < map.len() + PAGE, "{room} places for {} entries", map.len());
        }
        for key in 0..5_000 {
            map.remove(&key);
        }
        let pages = map.pages.len();
        for key in 0..5_000 {
            map.insert(key, key);
        }
        assert_eq!(map.pages.len(), pages, "free places are used again");
        for key in 0..10_000 {
            assert_eq!(map.remove(&key), Some(key));
        }
        assert_eq!((map.pages.len(), map.index.capacity()), (1, 0));
        assert_eq!(map.insert(1, 1), None);
        assert_eq!(map.get(&1), Some(&1));
    }

    #[test]
    fn what_is_taken_out_is_dropped_with_its_place() {
        let value = std::sync::Arc::new(());
        let mut map = PagedMap::new();
        for key in 0..100 {
            map.insert(key, value.clone());
        }
        drop(map.remove(&50));
        assert_eq!(std::sync::Arc::strong_count(&value), 100);
        drop(map);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }
}
