//! Digests of secrets and personal names, for store keys, fingerprints and log fields.

use sha2::{Digest, Sha256};

pub(crate) mod packed;

/// Length of a digest in bytes.
pub const BYTES: usize = 32;

/// SHA-256 over `parts`, each with its length as a prefix, so that no two lists of parts give the same bytes.
#[must_use]
pub fn of_parts(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// [`of_parts`] as 64 lower-case hex digits.
#[must_use]
pub fn hex_of_parts(parts: &[&str]) -> String {
    hex(&of_parts(parts))
}

/// Encodes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]];
    let mut hex = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.extend_from_slice(&digits(byte));
    }
    // Hexadecimal digits are ASCII.
    String::from_utf8(hex).unwrap_or_default()
}

/// Decodes a digest from [`hex`]; `None` for any other text.
#[must_use]
pub fn bytes(digest: &str) -> Option<[u8; BYTES]> {
    let (pairs, []) = digest.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; BYTES];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

/// The value of a lower-case hex digit.
pub(crate) fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The first 8 digits of a hex digest: enough to correlate log lines, and too few for any other use.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

/// A deterministic number for a digest, uniformly distributed in `0..=u32::MAX`; 0 for a text that is not a digest.
#[must_use]
pub fn spread(digest: &str) -> u32 {
    digest
        .get(..8)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
}
