//! Backoff: base, doublings and cap.

use std::time::Duration;

use proptest::prelude::*;
use tokenward_protocol::backoff::Backoff;

#[test]
fn the_wait_doubles_from_the_base_to_the_cap() {
    let backoff = Backoff::new(50, 500);
    let waits: Vec<u64> = (0..6).map(|doublings| backoff.wait_ms(doublings)).collect();
    assert_eq!(waits, [50, 100, 200, 400, 500, 500]);
    assert_eq!(backoff.wait(1), Duration::from_millis(100));
    assert_eq!((backoff.base_ms(), backoff.cap_ms()), (50, 500));
}

#[test]
fn no_number_of_doublings_overflows() {
    for doublings in [63, 64, 1_000, u32::MAX] {
        assert_eq!(Backoff::new(1, 60_000).wait_ms(doublings), 60_000);
        assert_eq!(Backoff::new(u64::MAX, u64::MAX).wait_ms(doublings), u64::MAX);
        assert_eq!(Backoff::new(0, 60_000).wait_ms(doublings), 0);
    }
}

proptest! {
    #[test]
    fn a_later_wait_is_never_shorter_and_never_above_the_cap(base_ms: u64, cap_ms: u64, doublings in 0..200_u32) {
        let backoff = Backoff::new(base_ms, cap_ms);
        prop_assert!(backoff.wait_ms(doublings) <= backoff.wait_ms(doublings + 1));
        prop_assert!(backoff.wait_ms(doublings) <= cap_ms);
        prop_assert_eq!(backoff.wait_ms(0), base_ms.min(cap_ms));
    }
}
