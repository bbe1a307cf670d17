//! A bounded memory of digests that were seen lately, each with a time.

use std::hash::{BuildHasher, Hash};

use crate::digest_map::Salted;

/// Places; a power of two.
const PLACES: usize = 8192;

/// Digests that were seen lately. Each maps to one place and evicts what was there: bounded without an ordered list and
/// without a scan. The place depends on the thread's seed, so no client can aim at another's.
#[derive(Debug, Default)]
pub(crate) struct LastSeen {
    salted: Salted,
    /// Empty until the first digest is stored.
    places: Vec<(u64, u64)>,
}

impl LastSeen {
    fn place(&self, key: impl Hash) -> (u64, usize) {
        let hash = self.salted.hash_one(key);
        (hash, usize::try_from(hash >> 32).unwrap_or(0) & (PLACES - 1))
    }

    /// The time stored with `key`, Unix ms.
    #[must_use]
    pub(crate) fn get(&self, key: impl Hash) -> Option<u64> {
        let (hash, place) = self.place(key);
        let (other, moment_ms) = *self.places.get(place)?;
        (other == hash && moment_ms != 0).then_some(moment_ms)
    }

    /// Stores `key` with a time, Unix ms; 0 removes it.
    pub(crate) fn set(&mut self, key: impl Hash, moment_ms: u64) {
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
