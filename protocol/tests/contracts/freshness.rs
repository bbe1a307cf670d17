use std::time::Duration;

use proptest::prelude::*;
use tokenward_protocol::freshness::{Freshness, FreshnessPolicy, is_fresh};

fn policy() -> FreshnessPolicy {
    FreshnessPolicy::new(Duration::from_secs(60), Duration::from_secs(120)).unwrap()
}

#[test]
fn the_margin_is_always_taken_off_the_tokens_life() {
    let exp = 10_000;
    for (now_ms, expected) in [
        (0, Freshness::Fresh),
        (9_879_999, Freshness::Fresh),
        (9_880_000, Freshness::NearExpiry),
        (9_939_999, Freshness::NearExpiry),
        (9_940_000, Freshness::Stale),
        (10_000_000, Freshness::Stale),
        (u64::MAX, Freshness::Stale),
    ] {
        assert_eq!(policy().judge(exp, now_ms), expected, "{now_ms}");
    }
}

#[test]
fn without_a_clock_no_token_is_fresh_however_late_it_expires() {
    for exp in [u64::MAX, u64::MAX / 1000, u64::MAX / 1000 + 1] {
        assert_eq!(policy().judge(exp, u64::MAX), Freshness::Stale, "{exp}");
        assert_eq!(policy().judge(exp, 0), Freshness::Fresh, "{exp}");
    }
}

#[test]
fn a_policy_that_could_never_prefetch_is_refused() {
    let error = FreshnessPolicy::new(Duration::from_secs(60), Duration::from_secs(59))
        .unwrap_err()
        .to_string();
    assert!(error.contains("refresh_ahead (59000 ms)"), "{error}");
}

proptest! {
    #[test]
    fn both_sides_judge_staleness_alike(exp: u64, now_ms: u64, margin in 0u64..100_000, near in -200_000i64..200_000) {
        let margin = Duration::from_millis(margin);
        let policy = FreshnessPolicy::new(margin, margin).unwrap();
        for now_ms in [now_ms, exp.saturating_mul(1000).saturating_add_signed(near)] {
            let is_fresh = is_fresh(exp, margin, now_ms);
            prop_assert_eq!(is_fresh, policy.judge(exp, now_ms) != Freshness::Stale);
            prop_assert_eq!(is_fresh, now_ms < policy.forward_until_ms(exp));
        }
    }

    #[test]
    fn what_is_not_stale_has_more_life_than_the_margin(
        exp in 0u64..(1 << 53), now_ms: u64, margin in 0u64..100_000, ahead in 0u64..100_000,
    ) {
        let policy = FreshnessPolicy::new(Duration::from_millis(margin), Duration::from_millis(margin + ahead)).unwrap();
        if policy.judge(exp, now_ms) != Freshness::Stale {
            prop_assert!(exp * 1000 > now_ms + margin);
            prop_assert!(now_ms < policy.forward_until_ms(exp));
        }
    }
}
