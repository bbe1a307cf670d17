//! The shell's parts that need no host, natively.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on should stop at once; the module itself must never"
)]

use proptest::prelude::*;
use tokenward_filter::header_map::{encode, read, status_code};

#[test]
fn a_block_reads_back_as_its_headers() {
    let headers = [(":path", "/x"), ("empty", ""), ("authorization", "Bearer a.b.c")];
    let block = encode(&headers);
    let mut map = read(&block);
    let texts: Vec<_> = map
        .by_ref()
        .map(|(name, value)| {
            (
                std::str::from_utf8(name).unwrap(),
                std::str::from_utf8(value).unwrap(),
            )
        })
        .collect();
    assert_eq!(texts, headers);
    assert!(map.is_whole());
}

#[test]
fn a_block_that_is_cut_short_anywhere_is_not_whole() {
    let block = encode(&[
        (":path", "/x"),
        (":authority", "h"),
        ("authorization", "Bearer a.b.c"),
    ]);
    for length in 4..block.len() {
        let mut map = read(&block[..length]);
        assert!(map.by_ref().count() < 3, "{length}");
        assert!(!map.is_whole(), "{length}");
    }
}

#[test]
fn a_block_that_announces_more_than_it_has_is_not_whole() {
    let mut lies = encode(&[(":path", "/x")]);
    lies[0] = 2;
    let mut map = read(&lies);
    map.by_ref().for_each(drop);
    assert!(!map.is_whole());
    let mut map = read(&[0xff; 64]);
    assert_eq!(map.by_ref().count(), 0);
    assert!(!map.is_whole());
}

proptest! {
    #[test]
    fn no_bytes_panic_or_read_back_as_more_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text: usize = read(&bytes).map(|(name, value)| name.len() + value.len()).sum();
        prop_assert!(text <= bytes.len());
    }
}

#[test]
fn a_status_is_three_digits_and_nothing_else() {
    for (text, status) in [
        ("200", 200),
        ("503", 503),
        ("099", 0),
        ("20", 0),
        ("2000", 0),
        ("2x0", 0),
        ("", 0),
    ] {
        assert_eq!(status_code(text.as_bytes()), status, "{text}");
    }
}
