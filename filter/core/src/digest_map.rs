//! Maps by digests or counted numbers, hashed with few instructions.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// A map by a digest or a number.
pub(crate) type DigestMap<K, V> = HashMap<K, V, Salted>;

thread_local! {
    static SEED: Cell<(u64, u64)> = const { Cell::new((0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344)) };
}

/// Sets the seed of every map that this thread makes from now on. The standard library's own seeds are the same in every
/// wasm VM, and with a known seed a client can choose keys that all collide: for a digest that takes a few thousand tries
/// each.
pub(crate) fn set_seed(random: [u8; 16]) {
    let number = u128::from_le_bytes(random);
    let (low, high) = (number as u64, (number >> 64) as u64);
    SEED.with(|seed| seed.set((low, high | 1)));
}

/// Makes [`KeyHasher`]s with the seed that was set when its map was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Salted(u64, u64);

impl Default for Salted {
    fn default() -> Self {
        let (low, high) = SEED.with(Cell::get);
        Self(low, high)
    }
}

impl BuildHasher for Salted {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher {
            salted: self.0,
            factor: self.1,
        }
    }
}

/// Hashes the key's first eight bytes, or its number; the rest of a digest adds nothing. The hash is a product with a secret
/// odd factor: two keys share one of n places for at most two in n factors (Dietzfelbinger, multiply-shift).
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHasher {
    salted: u64,
    factor: u64,
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk::<8>().copied().unwrap_or_default();
        self.write_u64(u64::from_le_bytes(first));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.salted ^= number;
    }

    /// The table takes the place from the low bits, and the product's high bits depend on all of the key.
    fn finish(&self) -> u64 {
        self.salted.wrapping_mul(self.factor).rotate_left(32)
    }
}
