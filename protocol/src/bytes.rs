//! Byte comparison, eight bytes at a time.
//!
//! The wasm target has no native `memcmp`: the compiler's version compares byte by byte, and comparisons are most of
//! the filter's work for a request that it forwards.
//!
//! Nothing here is constant-time: both sides belong to the same client, or are no secret.

use std::cmp::Ordering;

/// Whether both are equal. Length and the last eight bytes are compared first, because tokens differ in their
/// signatures.
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
    // Less than a word is left over, and the last eight bytes cover it.
    let ((one, _), (other, _)) = (one_rest.as_chunks::<8>(), other_rest.as_chunks::<8>());
    one.iter().zip(other).all(|(one, other)| word(one) == word(other))
}

/// Whether `text` is `wanted`, a name of at least eight bytes that is known when the program is built: two words are compared, or
/// three.
#[inline(always)]
#[must_use]
pub fn is_name<const N: usize>(text: &[u8], wanted: &[u8; N]) -> bool {
    let Ok(text) = <&[u8; N]>::try_from(text) else {
        return false;
    };
    let firsts = (text.first_chunk::<8>(), wanted.first_chunk::<8>());
    let lasts = (text.last_chunk::<8>(), wanted.last_chunk::<8>());
    let ((Some(a), Some(b)), (Some(c), Some(d))) = (firsts, lasts) else {
        return text == wanted;
    };
    (word(a) ^ word(b)) | (word(c) ^ word(d)) == 0 && (N <= 16 || text == wanted)
}

/// Whether all bytes are visible ASCII (RFC 9110 §5.6.2, VCHAR).
#[must_use]
pub fn are_visible(text: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = text.as_chunks::<8>();
    // The high bit of a byte shows that it is not ASCII, below `!` or above `~`; a borrow or carry only leaves a byte that shows
    // it itself.
    let odd = words.iter().map(word).fold(0, |odd, word| {
        odd | word | word.wrapping_sub(EACH.wrapping_mul(0x21)) | word.wrapping_add(EACH)
    });
    odd & EACH.wrapping_mul(0x80) == 0 && rest.iter().all(u8::is_ascii_graphic)
}

/// A total order, not alphabetical: by length, then by words.
#[must_use]
pub fn order_of_bytes(one: &[u8], other: &[u8]) -> Ordering {
    // Most look-ups end at an equal text, which this finds in fewer steps than the order does.
    if same_bytes(one, other) {
        return Ordering::Equal;
    }
    one.len()
        .cmp(&other.len())
        .then_with(|| words(one).cmp(words(other)))
}

fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// The whole words, and one word of the remaining bytes.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (words, rest) = bytes.as_chunks::<8>();
    let rest = rest.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte));
    words.iter().map(word).chain([rest])
}

/// For fewer than eight bytes.
fn same_few(one: &[u8], other: &[u8]) -> bool {
    let different = one
        .iter()
        .zip(other)
        .fold(0, |all, (one, other)| all | (one ^ other));
    different == 0
}

/// Eight words at once: a loop step costs as much as a comparison. Written out, because the module is built for size and a
/// loop would stay one. Never inlined: inside the loop the compiler adds up the address of each word, here the offset is
/// part of the load.
#[inline(never)]
fn same_64(one: &[u8; 64], other: &[u8; 64]) -> bool {
    let ((one, _), (other, _)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (one, other) else {
        return false;
    };
    let differ = |one, other| word(one) ^ word(other);
    let first = differ(a, i) | differ(b, j) | differ(c, k) | differ(d, l);
    let second = differ(e, m) | differ(f, n) | differ(g, o) | differ(h, p);
    first | second == 0
}
