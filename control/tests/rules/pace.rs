//! The order of calls to an issuer: a burst, a queue, and for callers that are refused a turn of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokenward_control::config::IssuerLimits;
use tokenward_control::upstream::issuer::pace::{Pace, Urgency};
use tokenward_protocol::token_endpoint::Reason;

const NOW: u64 = 1_000_000;
const WAIT: Duration = Duration::from_secs(3);
const LIMITS: IssuerLimits = IssuerLimits {
    calls_per_second: 100,
    burst: 200,
    concurrent_calls: 32,
};

fn ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).expect("a short wait")
}

#[test]
fn a_burst_begins_at_once_and_the_next_calls_in_the_order_in_which_they_came() {
    let mut pace = Pace::new(LIMITS, WAIT);
    for grant in 0..200 {
        assert_eq!(pace.admit(grant, Urgency::Waiting, NOW), Ok(Duration::ZERO));
    }
    for place in 1..=300 {
        let wait = pace.admit(1_000 + place, Urgency::Waiting, NOW);
        assert_eq!(wait, Ok(Duration::from_millis(10 * place)));
    }
    assert!(pace.admit(2_000, Urgency::Waiting, NOW).is_err(), "3 s are full");
}

#[test]
fn callers_that_are_refused_get_turns_at_the_rate_of_calls_and_none_the_same() {
    let mut pace = Pace::new(LIMITS, WAIT);
    let mut at_second: BTreeMap<u64, usize> = BTreeMap::new();
    let mut refused = 0;
    for grant in 0..10_000 {
        if let Err(turn) = pace.admit(grant, Urgency::Waiting, NOW) {
            refused += 1;
            *at_second.entry(ms(turn) / 1_000).or_default() += 1;
        }
    }
    assert_eq!(refused, 9_500);
    assert!(at_second.values().all(|callers| *callers <= 100), "{at_second:?}");
    assert_eq!(at_second.keys().next(), Some(&3));
    assert_eq!(at_second.keys().next_back(), Some(&98));
}

#[test]
fn a_caller_that_asks_again_before_its_turn_keeps_it_and_delays_no_other() {
    let mut pace = Pace::new(LIMITS, WAIT);
    for grant in 0..500 {
        assert!(pace.admit(grant, Urgency::Waiting, NOW).is_ok());
    }
    let turn = |pace: &mut Pace, grant| ms(pace.admit(grant, Urgency::Waiting, NOW).expect_err("a turn"));
    let first = turn(&mut pace, 7_000);
    for _ in 0..1_000 {
        assert_eq!(turn(&mut pace, 7_000), first);
    }
    assert_eq!(turn(&mut pace, 7_001), first + 10);
}

/// Every session comes at once, and again at its turn, which callers get in whole seconds, rounded up.
#[test]
fn ten_thousand_callers_that_return_at_their_turns_are_all_served_at_the_full_rate() {
    let mut pace = Pace::new(LIMITS, WAIT);
    let mut due: BTreeMap<(u64, u64), u32> = (0..10_000).map(|grant| ((NOW, grant), 0)).collect();
    let (mut served, mut last_ms, mut most_refusals) = (0, NOW, 0);
    while let Some(((at_ms, grant), refusals)) = due.pop_first() {
        match pace.admit(grant, Urgency::Waiting, at_ms) {
            Ok(wait) => {
                served += 1;
                last_ms = last_ms.max(at_ms + ms(wait));
            }
            Err(wait) => {
                let seconds = ms(wait).div_ceil(1_000).max(1);
                due.insert((at_ms + seconds * 1_000, grant), refusals + 1);
                most_refusals = most_refusals.max(refusals + 1);
            }
        }
    }
    assert_eq!(served, 10_000);
    assert!(last_ms - NOW <= 100_000, "{} ms", last_ms - NOW);
    assert!(most_refusals <= 2, "refused {most_refusals} times");
}

#[test]
fn while_others_wait_for_their_turns_a_new_caller_has_half_of_the_queue() {
    let mut pace = Pace::new(LIMITS, WAIT);
    for grant in 0..501 {
        let _ = pace.admit(grant, Urgency::Waiting, NOW);
    }
    // The queue is as long as 1.8 s; the turn of 500 has come.
    let later = NOW + 1_200;
    assert!(pace.admit(9_000, Urgency::Waiting, later).is_err(), "new");
    assert_eq!(
        pace.admit(500, Urgency::Waiting, NOW + 2_100),
        Ok(Duration::from_millis(910)),
        "its turn"
    );
}

#[test]
fn calls_ahead_of_time_leave_half_of_the_burst_to_callers_that_wait() {
    let mut pace = Pace::new(LIMITS, WAIT);
    let ahead = (0..200).filter(|grant| pace.admit(*grant, Urgency::AheadOfTime, NOW).is_ok());
    assert_eq!(ahead.count(), 100);
    for grant in 1_000..1_100 {
        assert_eq!(pace.admit(grant, Urgency::Waiting, NOW), Ok(Duration::ZERO));
    }
    assert!(pace.admit(3, Urgency::AheadOfTime, NOW).is_err());
}

#[test]
fn calls_ahead_of_time_wait_while_others_wait_for_their_turns() {
    let mut pace = Pace::new(LIMITS, WAIT);
    for grant in 0..1_000 {
        let _ = pace.admit(grant, Urgency::Waiting, NOW);
    }
    assert!(pace.admit(5_000, Urgency::AheadOfTime, NOW + 5_000).is_err());
    assert!(pace.admit(5_000, Urgency::AheadOfTime, NOW + 60_000).is_ok());
}

#[test]
fn turns_follow_an_issuer_that_is_slower_than_the_limits() {
    let mut pace = Pace::new(LIMITS, WAIT);
    for _ in 0..100 {
        pace.ended(Duration::from_millis(640));
    }
    // 32 calls of 640 ms: 50 a second.
    let turns: Vec<u64> = (0..10).map(|grant| ms(pace.without_slot(grant, NOW))).collect();
    let apart: Vec<u64> = turns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.iter().all(|ms| (19..=20).contains(ms)), "{apart:?}");
}

#[test]
fn no_turn_is_later_than_five_minutes_and_those_beyond_do_not_come_together() {
    let slow = IssuerLimits {
        calls_per_second: 1,
        burst: 1,
        concurrent_calls: 1,
    };
    let mut pace = Pace::new(slow, WAIT);
    let spread = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let turns = (0..100_000).filter_map(|number| pace.admit(spread(number), Urgency::Waiting, NOW).err());
    let turns: Vec<u64> = turns.map(ms).collect();
    assert!(turns.iter().all(|turn| *turn <= 300_000));
    let mut at_second: BTreeMap<u64, usize> = BTreeMap::new();
    for turn in &turns {
        *at_second.entry(turn / 1_000).or_default() += 1;
    }
    let most = at_second.values().max().expect("turns");
    assert!(*most < 1_000, "{most} of {} in one second", turns.len());
}

#[test]
fn other_limits_begin_with_the_calls_that_were_made() {
    let mut pace = Pace::new(LIMITS, WAIT);
    for grant in 0..150 {
        assert!(pace.admit(grant, Urgency::Waiting, NOW).is_ok());
    }
    let halved = IssuerLimits {
        calls_per_second: 50,
        burst: 100,
        ..LIMITS
    };
    let mut next = pace.succeeded_by(halved, WAIT, NOW);
    assert_eq!(
        next.admit(200, Urgency::Waiting, NOW),
        Ok(Duration::from_millis(51 * 20)),
        "150 calls are more than the burst"
    );
    let mut next = pace.succeeded_by(
        IssuerLimits {
            burst: 1_000,
            ..LIMITS
        },
        WAIT,
        NOW,
    );
    let at_once = (0..2_000).filter(|grant| next.admit(*grant, Urgency::Waiting, NOW) == Ok(Duration::ZERO));
    assert_eq!(at_once.count(), 850);
}

#[test]
fn only_what_a_filter_fetches_before_it_needs_it_is_ahead_of_time() {
    let urgency = [Reason::Stale, Reason::Rejected, Reason::NearExpiry].map(Urgency::of);
    assert_eq!(
        urgency,
        [Urgency::Waiting, Urgency::Waiting, Urgency::AheadOfTime]
    );
}
