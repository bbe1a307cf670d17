//! Comparing bytes eight at a time.
//!
//! A wasm target has no `memcmp` of its own: the compiler's goes byte by byte, and comparing is most of what the filter
//! does with a request that it lets pass.
//!
//! Nothing here is in constant time: both sides are a client's own, or no secret.

use std::cmp::Ordering;

/// Whether both are the same. What differs in its length or its last eight bytes is told apart first: tokens differ in
/// their signatures.
#[must_use]
pub fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some(one_last), Some(other_last)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) else {
        return same_few(one, other);
    };
    if word(one_last) != word(other_last) {
        return false;
    }
    let ((one, one_rest), (other, other_rest)) = (one.as_chunks::<64>(), other.as_chunks::<64>());
    if !one.iter().zip(other).all(|(one, other)| same_64(one, other)) {
        return false;
    }
    // Less than a word is left over, and that was in the last eight bytes.
    let ((one, _), (other, _)) = (one_rest.as_chunks::<8>(), other_rest.as_chunks::<8>());
    one.iter().zip(other).all(|(one, other)| word(one) == word(other))
}

/// An order that is the same everywhere and no alphabet's: shorter ones first, then by words.
#[must_use]
pub fn order_of_bytes(one: &[u8], other: &[u8]) -> Ordering {
    one.len()
        .cmp(&other.len())
        .then_with(|| words(one).cmp(words(other)))
}

fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// The whole words, and one of what is left over.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (words, rest) = bytes.as_chunks::<8>();
    let rest = rest.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte));
    words.iter().map(word).chain([rest])
}

/// Fewer than eight.
fn same_few(one: &[u8], other: &[u8]) -> bool {
    let different = one
        .iter()
        .zip(other)
        .fold(0, |all, (one, other)| all | (one ^ other));
    different == 0
}

/// Eight words at once: a loop costs as much as what it compares.
fn same_64(one: &[u8; 64], other: &[u8; 64]) -> bool {
    let ((one, _), (other, _)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let difference = |(one, other)| word(one) ^ word(other);
    one.iter()
        .zip(other)
        .map(difference)
        .fold(0, |all, each| all | each)
        == 0
}
