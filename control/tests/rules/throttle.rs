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
    assert_eq!(throttle.failed("a", 2), Line::Warn { suppressed: 0 });
}

#[test]
fn a_flood_of_different_troubles_does_not_grow_for_ever() {
    let throttle = Throttle::new(Duration::from_secs(60));
    for number in 0..20_000_u64 {
        assert_eq!(
            throttle.failed(&number.to_string(), 0),
            Line::Warn { suppressed: 0 }
        );
    }
}
