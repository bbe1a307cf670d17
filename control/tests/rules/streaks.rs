//! Backoff: doubling, jitter, the issuer's `Retry-After`, and what restarts it.

use std::time::Duration;

use tokenward_control::upstream::streak::{StreakKind, failed};

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
fn an_issuers_retry_after_counts_within_bounds() {
    let retry_after = |seconds| {
        failed(
            None,
            StreakKind::Unreachable,
            Some(Duration::from_secs(seconds)),
            1_000,
            0,
        )
        .next_attempt_at_ms
    };
    assert_eq!(retry_after(7), 8_000);
    assert_eq!(retry_after(0), 2_000);
    assert_eq!(retry_after(86_400), 301_000);
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
fn a_misconfiguration_is_retried_twice_a_minute() {
    let streak = failed(None, StreakKind::Misconfigured, None, 0, u32::MAX);
    assert_eq!(streak.next_attempt_at_ms, 30_000);
    assert_eq!(streak.wait(29_999), Some(Duration::from_millis(1)));
    assert_eq!(streak.wait(30_000), None);
}

#[test]
fn a_page_of_something_in_between_lasts_only_after_five_in_a_row_over_five_minutes() {
    let after = |moments: &[u64], kind| {
        let noted = moments.iter().fold(None, |streak, now_ms| {
            Some(failed(streak, kind, None, *now_ms, 0))
        });
        noted.is_some_and(|streak| streak.is_lasting())
    };
    let minutes = |minutes: &[u64]| minutes.iter().map(|minute| minute * 60_000).collect::<Vec<_>>();
    assert!(after(&minutes(&[0, 1, 2, 3, 5]), StreakKind::NotOauth));
    assert!(!after(&minutes(&[0, 1, 2, 3, 4]), StreakKind::NotOauth));
    assert!(!after(&minutes(&[0, 5, 10, 15]), StreakKind::NotOauth));
    assert!(!after(&minutes(&[0, 1, 2, 3, 500]), StreakKind::Unreachable));
    // Another kind in between restarts the count.
    let mut streak = None;
    for minute in 0..20 {
        let kind = if minute % 4 == 3 {
            StreakKind::Unreachable
        } else {
            StreakKind::NotOauth
        };
        let noted = failed(streak, kind, None, minute * 60_000, 0);
        assert!(!noted.is_lasting(), "{minute}");
        streak = Some(noted);
    }
}

#[test]
fn a_streak_by_a_clock_two_minutes_ahead_delays_no_caller() {
    const AHEAD_MS: u64 = 120_000;
    for kind in [
        StreakKind::Unreachable,
        StreakKind::Misconfigured,
        StreakKind::Substituted,
        StreakKind::Unusable,
    ] {
        let noted = failed(None, kind, None, AHEAD_MS, u32::MAX);
        assert_eq!(noted.wait(0), None, "{kind:?}");
        assert!(noted.wait(AHEAD_MS).is_some(), "{kind:?}");
    }
    // Real clocks differ a little, and the issuer may request five minutes.
    let noted = failed(None, StreakKind::Misconfigured, None, 4_000, 0);
    assert_eq!(noted.wait(0), Some(Duration::from_secs(34)));
    let retry_after = failed(
        None,
        StreakKind::Unreachable,
        Some(Duration::from_secs(300)),
        0,
        0,
    );
    assert_eq!(retry_after.wait(0), Some(Duration::from_secs(300)));
}
