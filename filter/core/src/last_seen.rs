//! A bounded memory of digests that were met lately, each with a moment.

use std::hash::{BuildHasher, Hash};

use crate::digest_map::Salted;

/// Places; a power of two.
const PLACES: usize = 8192;

/// Digests that were met lately. Each falls on one place and pushes out what was there: bounded without a list to keep in
/// order and without a scan. Where it falls depends on the thread's seed, so no client can aim at another's place.
#[derive(Debug, Default)]
pub struct LastSeen {
    salted: Salted,
    /// None until the first one is remembered.
    places: Vec<(u64, u64)>,
}

impl LastSeen {
    fn place(&self, key: impl Hash) -> (u64, usize) {
        let hash = self.salted.hash_one(key);
        (hash, usize::try_from(hash >> 32).unwrap_or(0) & (PLACES - 1))
    }

    /// The moment that was remembered with `key`, Unix ms.
    #[must_use]
    pub fn get(&self, key: impl Hash) -> Option<u64> {
        let (hash, place) = self.place(key);
        let (other, moment_ms) = *self.places.get(place)?;
        (other == hash && moment_ms != 0).then_some(moment_ms)
    }

    /// Remembers `key` with a moment; 0 forgets it.
    pub fn set(&mut self, key: impl Hash, moment_ms: u64) {
        let (hash, at) = self.place(key);
        if self.places.is_empty() && moment_ms != 0 {
            self.places.resize(PLACES, (0, 0));
        }
        if let Some(place) = self.places.get_mut(at)
            && (moment_ms != 0 || place.0 == hash)
        {
            *place = (hash, moment_ms);
        }
    }
}
