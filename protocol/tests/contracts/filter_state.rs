//! The format of `GET /filter/state`.

use proptest::prelude::*;
use tokenward_protocol::filter_state::{
    ALWAYS, BadState, EndedDigest, FilterState, LIFTED, ServerList, SignOut,
};

fn state(json: &[u8]) -> FilterState<'_> {
    FilterState {
        version: 7,
        has_more: true,
        servers: Some(ServerList { version: 5, json }),
        sign_outs: vec![SignOut {
            ended: EndedDigest::user("https://dex.example.com", "alice"),
            last_second: 1_700_000_000,
        }],
    }
}

#[test]
fn a_state_is_read_as_it_was_written() {
    let state = state(b"{\"servers\":[]}");
    assert_eq!(FilterState::decode(&state.encode()), Ok(state));
}

#[test]
fn a_state_of_another_format_or_with_one_changed_byte_is_not_used() {
    let bytes = state(b"{}").encode();
    assert_eq!(FilterState::decode(b"<html>"), Err(BadState::Format));
    for place in 4..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert_eq!(
            FilterState::decode(&changed),
            Err(BadState::Damaged),
            "byte {place}"
        );
    }
    for length in 4..bytes.len() {
        assert_eq!(
            FilterState::decode(&bytes[..length]),
            Err(BadState::Damaged),
            "{length} bytes"
        );
    }
}

#[test]
fn what_ended_differs_by_kind_and_by_each_part() {
    let digests = [
        EndedDigest::user("a", "bc"),
        EndedDigest::user("ab", "c"),
        EndedDigest::issuer_session("a", "bc"),
        EndedDigest::signing_key("a", "bc"),
        EndedDigest::session("abc"),
        EndedDigest::session("a"),
    ];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn a_sign_out_covers_tokens_that_were_issued_until_then() {
    let ended = EndedDigest(1);
    let covers = |last_second, issued_at| SignOut { ended, last_second }.covers(issued_at);
    assert!(covers(100, Some(99)) && covers(100, Some(100)) && covers(100, None));
    assert!(!covers(100, Some(101)));
    assert!(covers(ALWAYS, Some(u64::MAX)));
    assert!(!covers(LIFTED, Some(0)) && !covers(LIFTED, None));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let with_magic = [b"TWS1", bytes.as_slice()].concat();
        prop_assert!(FilterState::decode(&with_magic).is_err());
    }
}
