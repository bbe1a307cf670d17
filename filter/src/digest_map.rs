//! Maps whose keys are digests or counted numbers: such a key is its own hash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by a digest or a counter.
pub type DigestMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyIsHash>>;

/// Takes the key's first eight bytes, or its number, as its hash. Only for keys that nobody can choose freely: parts
/// of SHA-256 digests, and ids that the host counts up; or where so few are kept that a search of all would do.
#[derive(Debug, Default, Clone, Copy)]
pub struct KeyIsHash(u64);

impl Hasher for KeyIsHash {
    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk::<8>().copied().unwrap_or_default();
        self.0 = u64::from_le_bytes(first);
    }

    fn write_u32(&mut self, number: u32) {
        // The table takes its place from the low bits and its tag from the high ones: a counter fills only the former.
        self.0 = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
