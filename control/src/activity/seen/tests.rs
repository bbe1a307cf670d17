//! A busy pair is recorded once, a change at once, and all pairs together at a bounded rate.

use super::{Allowance, REFUSED_AGAIN_MS, SERVED_AGAIN_MS, SeenPairs, WRITES_PER_SECOND};

const NOW_MS: u64 = 1_800_000_000_000;

#[test]
fn a_busy_pair_is_recorded_once_and_again_when_its_outcome_changes() {
    let seen = SeenPairs::default();
    let pair = seen.hash(["kubernetes", "token", "session"]);
    let writes = (0..1000)
        .filter(|request| seen.is_due(pair, true, NOW_MS + request))
        .count();
    assert_eq!(writes, 1);
    assert!(seen.is_served(pair, NOW_MS + 1000));
    assert!(seen.is_due(pair, false, NOW_MS + 2000));
    assert!(!seen.is_served(pair, NOW_MS + 2000));
    assert!(!seen.is_due(pair, false, NOW_MS + 3000));
    assert!(seen.is_due(pair, false, NOW_MS + 2000 + REFUSED_AGAIN_MS));
    assert!(seen.is_due(pair, true, NOW_MS + 100_000));
    assert!(!seen.is_served(pair, NOW_MS + 100_000 + SERVED_AGAIN_MS));
}

#[test]
fn many_pairs_at_once_are_recorded_at_a_bounded_rate() {
    let seen = SeenPairs::default();
    let in_second = |second: u64| {
        (0..10_000)
            .filter(|pair| seen.is_due(second * 10_000 + pair, true, NOW_MS + second * 1000))
            .count()
    };
    let most = usize::try_from(WRITES_PER_SECOND).expect("a small number");
    assert_eq!((in_second(0), in_second(1)), (most, most));
}

#[test]
fn an_allowance_starts_again_with_each_window_and_after_the_clock_was_set_back() {
    let allowance = Allowance::new(60_000, 2);
    let taken = |now_ms| allowance.take(now_ms);
    assert_eq!(
        [taken(NOW_MS), taken(NOW_MS + 1), taken(NOW_MS + 59_999)],
        [true, true, false]
    );
    assert!(taken(NOW_MS + 60_000));
    assert!(taken(NOW_MS - 3_600_000));
}
