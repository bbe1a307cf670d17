//! A bounded memory of what was met lately. Two generations, like the token memo: no list to keep in order, no scan.

use std::hash::Hash;

use crate::digest_map::DigestMap;

/// The latest keys, each with a value: at least `most` of them, and at most twice as many.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: DigestMap<K, V>,
    old: DigestMap<K, V>,
    most: usize,
}

impl<K: Eq + Hash + Copy, V: Copy> Recent<K, V> {
    /// An empty memory of at least `most` keys.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            young: DigestMap::default(),
            old: DigestMap::default(),
            most,
        }
    }

    /// The value of `key`, if it is remembered.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// Remembers `key`.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}
