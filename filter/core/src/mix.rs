//! A quick mix of bytes into a number: a weak hash for places in a table, and a checksum against damage, not against forgers.

/// Multiplies and adds eight bytes at a time.
pub(crate) fn mixed(hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let rest = rest.iter().fold(1, |all, byte| (all << 8) | u64::from(*byte));
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.chain([rest]).fold(hash, |hash, word| {
        (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
    })
}
