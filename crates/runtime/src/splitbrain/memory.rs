//! What the watch remembers: the newest so many of whatever is numbered.

use std::collections::BTreeMap;

/// At most `max` values, those with the highest numbers.
#[derive(Debug)]
pub(super) struct Newest<K, V> {
    values: BTreeMap<K, V>,
    max: usize,
}

impl<K: Ord + Copy, V> Newest<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { values: BTreeMap::new(), max }
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.values.get(&key)
    }

    pub(super) fn last(&self) -> Option<(K, &V)> {
        self.values.last_key_value().map(|(key, value)| (*key, value))
    }

    /// Remembers a value, and forgets the oldest if that makes too many.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.values.insert(key, value);
        if self.values.len() > self.max {
            self.values.pop_first();
        }
    }
}
