//! The shell's parts that need no host, natively.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on should stop at once; the module itself must never"
)]

use proptest::prelude::*;
use tokenward_filter::header_map::{block, read};

#[test]
fn a_block_reads_as_what_it_was_made_of() {
    let headers = [(":path", "/x"), ("empty", ""), ("authorization", "Bearer a.b.c")];
    let block = block(&headers);
    let mut pairs = read(&block);
    let texts: Vec<_> = pairs
        .by_ref()
        .map(|(name, value)| {
            (
                std::str::from_utf8(name).unwrap(),
                std::str::from_utf8(value).unwrap(),
            )
        })
        .collect();
    assert_eq!(texts, headers);
    assert!(pairs.is_whole());
}

#[test]
fn a_block_that_is_cut_short_anywhere_is_not_whole() {
    let block = block(&[
        (":path", "/x"),
        (":authority", "h"),
        ("authorization", "Bearer a.b.c"),
    ]);
    for length in 4..block.len() {
        let mut pairs = read(&block[..length]);
        assert!(pairs.by_ref().count() < 3, "{length}");
        assert!(!pairs.is_whole(), "{length}");
    }
}

#[test]
fn a_block_that_announces_more_than_it_has_is_not_whole() {
    let mut lies = block(&[(":path", "/x")]);
    lies[0] = 2;
    let mut pairs = read(&lies);
    pairs.by_ref().for_each(drop);
    assert!(!pairs.is_whole());
    let mut pairs = read(&[0xff; 64]);
    assert_eq!(pairs.by_ref().count(), 0);
    assert!(!pairs.is_whole());
}

proptest! {
    #[test]
    fn no_bytes_panic_or_read_as_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text: usize = read(&bytes).map(|(name, value)| name.len() + value.len()).sum();
        prop_assert!(text <= bytes.len());
    }
}
