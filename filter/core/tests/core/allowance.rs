use proptest::prelude::*;
use tokenward_filter_core::pair::allowance::{Allowance, AllowanceLimit};

const NOW_MS: u64 = 1_800_000_000_000;
const TERMS: AllowanceLimit = AllowanceLimit {
    most_ms: 50_000,
    reserve_ms: 20_000,
};
const COST_MS: u64 = 5_000;

/// Takes until the allowance is used up. How often, and how long to wait.
fn take_all(allowance: &mut Allowance, returning: bool, now_ms: u64) -> (usize, u64) {
    let mut charge = 0;
    loop {
        match allowance.take(COST_MS, TERMS, returning, now_ms) {
            Ok(after) => (*allowance, charge) = (after, charge + 1),
            Err(wait_ms) => return (charge, wait_ms),
        }
    }
}

#[test]
fn first_attempts_do_not_use_the_reserve_for_those_that_return() {
    let mut allowance = Allowance::default();
    assert_eq!(take_all(&mut allowance, false, NOW_MS), (6, 5_000));
    assert_eq!(take_all(&mut allowance, true, NOW_MS), (4, 5_000));
    // What grows back fills the reserve first.
    assert_eq!(take_all(&mut allowance, false, NOW_MS + 20_000), (0, 5_000));
    assert_eq!(take_all(&mut allowance, false, NOW_MS + 25_000).0, 1);
    assert_eq!(take_all(&mut allowance, true, NOW_MS + 25_000).0, 4);
    assert!(allowance.is_whole(TERMS, NOW_MS + 75_000));
}

#[test]
fn what_was_taken_for_nothing_is_there_again() {
    let mut allowance = Allowance::default();
    for _ in 0..1_000 {
        allowance = allowance.take(COST_MS, TERMS, false, NOW_MS).expect("given back");
        allowance = allowance.give_back(COST_MS, TERMS, NOW_MS);
    }
    assert_eq!(allowance, Allowance::default());
}

#[test]
fn a_clock_that_steps_makes_an_allowance_whole_and_delays_nothing() {
    let mut allowance = Allowance::default();
    take_all(&mut allowance, true, NOW_MS);
    for now_ms in [NOW_MS - 3_600_000, NOW_MS + 3_600_000] {
        let mut stepped = allowance;
        assert_eq!(take_all(&mut stepped, true, now_ms).0, 10);
    }
}

proptest! {
    #[test]
    fn in_any_span_no_more_is_taken_than_all_at_once_and_what_grows_back(steps in prop::collection::vec((0u64..20_000, any::<bool>()), 1..200)) {
        let (mut allowance, mut now_ms, mut charge) = (Allowance::default(), NOW_MS, 0);
        for (wait_ms, returning) in steps {
            now_ms += wait_ms;
            if let Ok(after) = allowance.take(COST_MS, TERMS, returning, now_ms) {
                allowance = after;
                charge += 1;
            }
            prop_assert!(charge <= 10 + (now_ms - NOW_MS) / COST_MS);
            prop_assert!(allowance.charge(u64::MAX, TERMS, now_ms).take(1, TERMS, true, now_ms).is_err());
        }
    }
}
