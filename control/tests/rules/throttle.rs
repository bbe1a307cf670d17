//! One warning a minute for the same trouble.

use std::time::Duration;

use tokenward_control::log::{Line, Throttle};

#[test]
fn a_storm_is_one_warning_a_minute_that_counts_what_it_kept_back() {
    let throttle = Throttle::new(Duration::from_secs(60));
    let lines: Vec<Line> = (0..=120)
        .map(|second| throttle.failed("pair", second * 1000))
        .collect();
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| matches!(line, Line::Warn { .. }))
        .collect();
    assert_eq!(
        warnings,
        [
            &Line::Warn { suppressed: 0 },
            &Line::Warn { suppressed: 59 },
            &Line::Warn { suppressed: 59 }
        ]
    );
}

#[test]
fn each_trouble_has_its_own_minute_and_ends_with_what_was_kept_back() {
    let throttle = Throttle::new(Duration::from_secs(60));
    assert_eq!(throttle.failed("a", 0), Line::Warn { suppressed: 0 });
    assert_eq!(throttle.failed("b", 0), Line::Warn { suppressed: 0 });
    assert_eq!(throttle.failed("a", 1), Line::Debug);
    assert_eq!(throttle.recovered("a"), Some(1));
    assert_eq!(throttle.recovered("a"), None);
    // What comes and goes within its minute is the same trouble, and its end is told once.
    assert_eq!(throttle.failed("a", 2), Line::Debug);
    assert!(!throttle.is_calm());
    assert_eq!(throttle.recovered("a"), None);
    assert_eq!(throttle.recovered("b"), Some(0));
    assert!(throttle.is_calm());
    assert_eq!(throttle.failed("a", 60_000), Line::Warn { suppressed: 1 });
    assert_eq!(throttle.recovered("a"), Some(0));
}

#[test]
fn a_flood_of_different_troubles_neither_grows_for_ever_nor_fills_the_log() {
    let throttle = Throttle::new(Duration::from_secs(60));
    for minute in 0..2_u64 {
        let lines = (0..20_000_u64).map(|number| throttle.failed(&number.to_string(), minute * 60_000));
        let warnings = lines.filter(|line| matches!(line, Line::Warn { .. })).count();
        assert_eq!(warnings, 1000);
    }
}
