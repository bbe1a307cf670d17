//! How times are written.

use super::{ago, left, span};

#[test]
fn the_two_largest_units_are_enough() {
    assert_eq!(span(0), "0 s");
    assert_eq!(span(59), "59 s");
    assert_eq!(span(243), "4 min 3 s");
    assert_eq!(span(3_725), "1 h 2 min");
    assert_eq!(span(200_000), "2 d 7 h");
}

#[test]
fn a_token_has_life_left_or_had_it() {
    assert_eq!(left(41), "41 s left");
    assert_eq!(left(-41), "expired 41 s ago");
    assert_eq!(ago(61), "1 min 1 s ago");
}
