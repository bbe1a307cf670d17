use std::cmp::Ordering;

use proptest::prelude::*;
use tokenward_protocol::bytes::{order_of_bytes, same_bytes};

/// Longer than three of the blocks that are compared at once.
const LONGEST: usize = 200;

#[test]
fn one_bit_anywhere_makes_another_text_at_every_length() {
    for length in 0..LONGEST {
        let one: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
        assert!(same_bytes(&one, &one.clone()), "{length}");
        assert_eq!(order_of_bytes(&one, &one.clone()), Ordering::Equal, "{length}");
        for bit in 0..length * 8 {
            let mut other = one.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same_bytes(&one, &other), "bit {bit} of {length} bytes");
            assert_ne!(
                order_of_bytes(&one, &other),
                Ordering::Equal,
                "bit {bit} of {length} bytes"
            );
        }
    }
}

#[test]
fn what_another_text_begins_or_ends_with_is_not_that_text() {
    let text: Vec<u8> = (0..LONGEST).map(|at| (at % 251) as u8).collect();
    for length in 0..LONGEST {
        for part in [&text[..length], &text[LONGEST - length..]] {
            assert!(!same_bytes(&text, part) && !same_bytes(part, &text), "{length}");
            assert_eq!(order_of_bytes(part, &text), Ordering::Less, "{length}");
        }
    }
    // Bytes of zero count as well.
    assert!(!same_bytes(b"a", b"a\0"));
    assert!(!same_bytes(&[0; 8], &[0; 9]));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    // Few different bytes, so that equal texts and equal beginnings come up.
    prop::collection::vec(0u8..3, 0..20)
}

proptest! {
    #[test]
    fn the_same_is_the_same_and_the_order_is_one(one in text(), other in text(), third in text()) {
        prop_assert_eq!(same_bytes(&one, &other), one == other);
        let order = order_of_bytes(&one, &other);
        prop_assert_eq!(order == Ordering::Equal, one == other);
        prop_assert_eq!(order, order_of_bytes(&other, &one).reverse());
        if order.is_le() && order_of_bytes(&other, &third).is_le() {
            prop_assert!(order_of_bytes(&one, &third).is_le());
        }
    }
}
