//! One warning a minute for the same key.

use std::time::Duration;

use super::{Emit, Throttle};

#[test]
fn a_storm_is_one_warning_a_minute_with_the_number_of_suppressed_ones() {
    let throttle = Throttle::new(Duration::from_secs(60));
    let lines: Vec<Emit> = (0..=120)
        .map(|second| throttle.failed("pair", second * 1000))
        .collect();
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| matches!(line, Emit::Warn { .. }))
        .collect();
    assert_eq!(
        warnings,
        [
            &Emit::Warn { suppressed: 0 },
            &Emit::Warn { suppressed: 59 },
            &Emit::Warn { suppressed: 59 }
        ]
    );
}

#[test]
fn each_key_has_its_own_minute_and_its_recovery_reports_what_was_suppressed() {
    let throttle = Throttle::new(Duration::from_secs(60));
    assert_eq!(throttle.failed("a", 0), Emit::Warn { suppressed: 0 });
    assert_eq!(throttle.failed("b", 0), Emit::Warn { suppressed: 0 });
    assert_eq!(throttle.failed("a", 1), Emit::Debug);
    assert_eq!(throttle.recovered("a"), Some(1));
    assert_eq!(throttle.recovered("a"), None);
    // A failure that recurs within its minute is the same one, and its recovery is reported once.
    assert_eq!(throttle.failed("a", 2), Emit::Debug);
    assert!(!throttle.is_calm(2));
    assert_eq!(throttle.recovered("a"), None);
    assert_eq!(throttle.recovered("b"), Some(0));
    assert!(throttle.is_calm(2));
    assert_eq!(throttle.failed("a", 60_000), Emit::Warn { suppressed: 1 });
    assert_eq!(throttle.recovered("a"), Some(0));
}

#[test]
fn a_flood_of_keys_is_limited_in_entries_and_in_warnings() {
    let throttle = Throttle::new(Duration::from_secs(60));
    for minute in 0..2_u64 {
        let lines = (0..20_000_u64).map(|number| throttle.failed(&number.to_string(), minute * 60_000));
        let warnings = lines.filter(|line| matches!(line, Emit::Warn { .. })).count();
        assert_eq!(warnings, 1000);
    }
}

#[test]
fn a_failure_that_does_not_recover_expires() {
    const MINUTE_MS: u64 = 60_000;
    let throttle = Throttle::new(Duration::from_secs(60));
    let now_ms = 1_700_000_000_000;
    let calm_after = |minutes: u64| throttle.is_calm(now_ms + minutes * MINUTE_MS);
    assert_eq!(
        throttle.failed("dead issuer", now_ms),
        Emit::Warn { suppressed: 0 }
    );
    assert_eq!(throttle.failed("dead issuer", now_ms + 1), Emit::Debug);
    let minutes: Vec<u64> = (0..30).filter(|&minutes| calm_after(minutes)).collect();
    assert_eq!(minutes, (11..30).collect::<Vec<_>>());
    // A success after that is no recovery.
    assert_eq!(throttle.recovered("dead issuer"), None);
    // It warns once when it recurs, with the suppressed count, and a failure that recurs all the time remains open.
    let line = throttle.failed("dead issuer", now_ms + 30 * MINUTE_MS);
    assert_eq!(line, Emit::Warn { suppressed: 1 });
    for minutes in 30..60 {
        assert!(!calm_after(minutes), "{minutes}");
        let _ = throttle.failed("dead issuer", now_ms + minutes * MINUTE_MS);
    }
    assert_eq!(throttle.recovered("dead issuer"), Some(0));
    assert!(calm_after(60));
}

#[test]
fn failures_expire_one_by_one_and_also_after_the_clock_was_set_back() {
    const MINUTE_MS: u64 = 60_000;
    let throttle = Throttle::new(Duration::from_secs(60));
    let hour_ms = 60 * MINUTE_MS;
    let _ = throttle.failed("a", hour_ms);
    let _ = throttle.failed("b", hour_ms + 8 * MINUTE_MS);
    assert!(!throttle.is_calm(hour_ms + 12 * MINUTE_MS));
    assert_eq!(throttle.recovered("a"), None);
    assert_eq!(throttle.recovered("b"), Some(0));
    assert!(throttle.is_calm(hour_ms + 12 * MINUTE_MS));
    let _ = throttle.failed("c", 2 * hour_ms);
    assert!(throttle.is_calm(hour_ms));
}

#[test]
fn a_failure_begins_once_and_ends_once_however_often_it_is_warned_about() {
    let throttle = Throttle::new(Duration::from_secs(60));
    let began = |now_ms| throttle.began_or_failed("pair", now_ms).1;
    let beginnings: Vec<u64> = (0..300).filter(|second| began(second * 1000)).collect();
    assert_eq!(beginnings, [0]);
    assert_eq!(throttle.ended_or_recovered("pair"), Some((59, true)));
    assert_eq!(throttle.ended_or_recovered("pair"), None);
    // One that returns within its minute is the same one, and ends no second time.
    assert!(!began(300_000 - 1));
    assert_eq!(throttle.ended_or_recovered("pair"), None);
    assert!(began(400_000));
    assert_eq!(
        throttle.ended_or_recovered("pair").map(|(_, ended)| ended),
        Some(true)
    );
}
