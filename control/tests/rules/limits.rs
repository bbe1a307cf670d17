//! The limits of calls to an issuer: token bucket and circuit breaker.

use std::time::Duration;

use tokenward_control::upstream::issuer::breaker::{Breaker, CircuitChange};
use tokenward_control::upstream::issuer::bucket::Bucket;

const SECOND: u64 = 1000;

/// A breaker that five different grants have opened at 0, without jitter.
fn opened() -> Breaker {
    let mut breaker = Breaker::default();
    for grant in 0..4 {
        assert_eq!(breaker.failed(grant, None, 0, u32::MAX), None);
        assert_eq!(breaker.admit(0), Ok(()));
    }
    assert_eq!(breaker.failed(4, None, 0, u32::MAX), Some(CircuitChange::Opened));
    breaker
}

#[test]
fn a_bucket_gives_a_burst_and_then_its_rate() {
    let mut bucket = Bucket::new(10, 5);
    let now = 1_000 * SECOND;
    assert_eq!((0..5).filter(|_| bucket.take(now).is_ok()).count(), 5);
    assert_eq!(bucket.take(now), Err(Duration::from_millis(100)));
    assert_eq!(bucket.take(now + 99), Err(Duration::from_millis(1)));
    assert_eq!(bucket.take(now + 100), Ok(()));
    // A second later there are ten more, but never more than the burst at once.
    let after = (0..20).filter(|_| bucket.take(now + 60 * SECOND).is_ok()).count();
    assert_eq!(after, 5);
    let in_a_second = (0..1000)
        .filter(|step| bucket.take(now + 120 * SECOND + step).is_ok())
        .count();
    assert_eq!(in_a_second, 5 + 9);
}

#[test]
fn a_bucket_reserves_tokens_in_the_order_of_the_calls_and_for_no_longer_than_its_longest_wait() {
    let mut bucket = Bucket::new(10, 5).with_longest_wait(Duration::from_secs(1));
    let now = 1_000 * SECOND;
    let waits: Vec<_> = (0..20)
        .map(|_| {
            bucket
                .reserve(Duration::from_secs(5), now)
                .map(|wait| wait.as_millis())
        })
        .collect();
    let at_once = [Ok(0); 5].into_iter();
    let queued = (1..=10).map(|place| Ok(place * 100));
    let refused = [Err(Duration::from_millis(1_100)); 5].into_iter();
    assert_eq!(waits, at_once.chain(queued).chain(refused).collect::<Vec<_>>());
    assert_eq!(bucket.missing(now), 15);
    assert_eq!(bucket.take(now + 999), Err(Duration::from_millis(101)));
    assert_eq!(bucket.take(now + 1_100), Ok(()));
}

#[test]
fn a_clock_that_was_set_back_delays_no_call_for_long() {
    let mut bucket = Bucket::new(10, 5);
    for _ in 0..5 {
        assert_eq!(bucket.take(10_000 * SECOND), Ok(()));
    }
    assert_eq!(bucket.take(5_000 * SECOND), Ok(()));
}

#[test]
fn one_login_that_always_fails_does_not_open_the_circuit() {
    let mut breaker = Breaker::default();
    for attempt in 0..1_000 {
        assert_eq!(breaker.failed(7, None, attempt * SECOND, 0), None);
        assert_eq!(breaker.admit(attempt * SECOND), Ok(()));
    }
}

#[test]
fn four_failed_logins_and_one_answer_do_not_open_the_circuit() {
    let mut breaker = Breaker::default();
    for attempt in 0..100 {
        for grant in 0..4 {
            assert_eq!(breaker.failed(grant, None, attempt, 0), None);
        }
        assert_eq!(breaker.answered(), None);
    }
}

#[test]
fn calls_to_an_issuer_that_fails_for_all_logins_are_suspended_then_one_probes() {
    let mut breaker = opened();
    assert_eq!(breaker.admit(0), Err(Duration::from_secs(5)));
    assert_eq!(breaker.admit(4_999), Err(Duration::from_millis(1)));
    assert_eq!(breaker.admit(5_000), Ok(()), "the probe");
    assert_eq!(breaker.admit(5_000), Err(Duration::from_secs(2)), "one is enough");
    assert_eq!(breaker.answered(), Some(CircuitChange::Closed));
    assert_eq!(breaker.admit(5_001), Ok(()));
    assert_eq!(breaker.failed(1, None, 5_001, 0), None, "it counts anew");
}

#[test]
fn failed_probes_back_off_to_one_a_minute_and_are_not_logged_again() {
    let (mut breaker, mut now, mut spans) = (opened(), 5_000, Vec::new());
    for _ in 0..6 {
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.failed(9, None, now, u32::MAX), None, "said already");
        let left = breaker.open_for(now).unwrap_or_default();
        spans.push(left.as_secs());
        now += u64::try_from(left.as_millis()).unwrap_or(0);
    }
    assert_eq!(spans, [10, 20, 40, 60, 60, 60]);
}

#[test]
fn the_issuers_retry_after_counts_up_to_five_minutes() {
    for (asked, held) in [(30, 30), (2, 5), (86_400, 300)] {
        let mut breaker = Breaker::default();
        for grant in 0..5 {
            breaker.failed(grant, Some(Duration::from_secs(asked)), 0, u32::MAX);
        }
        assert_eq!(breaker.open_for(0), Some(Duration::from_secs(held)));
    }
}

#[test]
fn after_a_probe_that_was_not_made_the_next_call_is_the_probe() {
    let mut breaker = opened();
    assert_eq!(breaker.admit(5_000), Ok(()));
    breaker.abandoned();
    assert_eq!(breaker.admit(5_000), Ok(()));
    assert_eq!(breaker.admit(5_000), Err(Duration::from_secs(2)));
}

#[test]
fn calls_in_flight_when_the_circuit_opened_change_nothing_except_an_answer() {
    let mut breaker = opened();
    assert_eq!(breaker.failed(11, None, 4_000, u32::MAX), None);
    assert_eq!(breaker.open_for(4_000), Some(Duration::from_secs(1)));
    assert_eq!(breaker.answered(), Some(CircuitChange::Closed));
    assert_eq!(breaker.open_for(4_000), None);
}
