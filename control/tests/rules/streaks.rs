//! Backoff: doubling, jitter, the issuer's own wish, and what starts anew.

use std::time::Duration;

use tokenward_control::streak::{StreakKind, failed};

#[test]
fn waits_double_with_jitter_between_half_a_second_and_a_minute() {
    let mut streak = None;
    let mut longest = Vec::new();
    for _ in 0..10 {
        let least = failed(streak, StreakKind::Unreachable, None, 0, 0);
        let most = failed(streak, StreakKind::Unreachable, None, 0, u32::MAX);
        assert_eq!(least.next_attempt_at_ms, 500);
        longest.push(most.next_attempt_at_ms);
        streak = Some(most);
    }
    assert_eq!(
        longest,
        [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000]
    );
}

#[test]
fn an_issuers_wish_counts_within_reason() {
    let asked = |seconds| {
        failed(
            None,
            StreakKind::Unreachable,
            Some(Duration::from_secs(seconds)),
            1_000,
            0,
        )
        .next_attempt_at_ms
    };
    assert_eq!(asked(7), 8_000);
    assert_eq!(asked(0), 2_000);
    assert_eq!(asked(86_400), 301_000);
}

#[test]
fn another_kind_of_failure_starts_its_own_run() {
    let first = failed(None, StreakKind::Unreachable, None, 1_000, 0);
    let second = failed(Some(first), StreakKind::Failing, None, 9_000, 0);
    let third = failed(Some(second), StreakKind::Failing, None, 10_000, 0);
    assert_eq!((second.since_ms, second.same_kind, second.count), (9_000, 1, 2));
    assert_eq!((third.since_ms, third.same_kind, third.count), (9_000, 2, 3));
}

#[test]
fn a_fault_of_configuration_is_asked_about_twice_a_minute() {
    let streak = failed(None, StreakKind::Misconfigured, None, 0, u32::MAX);
    assert_eq!(streak.next_attempt_at_ms, 30_000);
    assert_eq!(streak.wait(29_999), Some(Duration::from_millis(1)));
    assert_eq!(streak.wait(30_000), None);
}
