//! Small setups, with every interleaving.

use tokenward_control::config::IssuerPolicy::{self, Strict, Tolerant};

use crate::search::{Seen, every_state};
use crate::setup::{Budget, Setup};

const MINUTE_MS: u64 = 60_000;
/// Longer than a lease.
const PAUSE_MS: u64 = 16_000;

/// Two attempts and nothing else.
const TWO: Budget = Budget {
    starts: 2,
    presents: 0,
    crashes: 0,
    outages: 0,
    lost: 0,
    failures: 0,
    pauses: 0,
    logins: 0,
    saves: 0,
    rewinds: 0,
};

fn setup(issuer: IssuerPolicy, reuse_ms: u64, budget: Budget) -> Setup {
    Setup {
        issuer,
        reuse_ms,
        introspects: true,
        skews_ms: vec![0, 0],
        // With the margin of a minute it is fresh for ten seconds, so every pause makes it stale.
        life_seconds: 70,
        pause_ms: PAUSE_MS,
        budget,
    }
}

/// Every interleaving; prints the number of states.
fn all(setup: &Setup) -> Seen {
    let seen = every_state(setup);
    println!("{setup:?}: {seen:?}");
    seen
}

#[test]
fn two_attempts_cause_one_refresh_and_no_user_must_log_in() {
    for issuer in [Strict, Tolerant] {
        let seen = all(&setup(issuer, 0, TWO));
        assert!(seen.states > 100, "{seen:?}");
        // A successor may find that a process crashed with an answer, but the login is never lost without such a crash.
        assert!(seen.served > 0);
    }
}

#[test]
fn a_strict_issuer_without_introspection_ends_no_unannounced_login() {
    let budget = Budget {
        crashes: 1,
        outages: 1,
        pauses: 1,
        ..TWO
    };
    let seen = all(&Setup {
        introspects: false,
        ..setup(Strict, 0, budget)
    });
    assert!(seen.served > 1_000 && seen.ended > 1_000, "{seen:?}");
}

#[test]
fn a_strict_issuer_with_introspection_ends_no_login_for_a_crash_before_the_presentation() {
    // Only answers are lost: no presentation arrives.
    let budget = Budget {
        crashes: 1,
        failures: 2,
        pauses: 2,
        ..TWO
    };
    let seen = all(&setup(Strict, 0, budget));
    assert!(seen.served > 1_000, "{seen:?}");
}

#[test]
fn strict_with_long_pauses_at_every_step_but_the_presentation_itself() {
    let budget = Budget {
        crashes: 1,
        pauses: 2,
        ..TWO
    };
    let seen = all(&Setup {
        // Longer than the wait for an announcement.
        pause_ms: 45_000,
        ..setup(Strict, 0, budget)
    });
    assert!(seen.served > 1_000 && seen.ended > 100, "{seen:?}");
}

#[test]
fn strict_with_a_crash_an_outage_and_a_pause() {
    let budget = Budget {
        crashes: 1,
        outages: 1,
        pauses: 1,
        ..TWO
    };
    let seen = all(&setup(Strict, 0, budget));
    assert!(seen.served > 1_000 && seen.ended > 1_000, "{seen:?}");
}

#[test]
fn strict_with_a_lost_answer_a_failure_a_login_and_a_pause() {
    let budget = Budget {
        lost: 1,
        failures: 1,
        pauses: 1,
        logins: 1,
        ..TWO
    };
    let seen = all(&setup(Strict, 0, budget));
    assert!(seen.served > 1_000 && seen.ended > 1_000, "{seen:?}");
}

#[test]
fn strict_with_clocks_two_minutes_apart() {
    let budget = Budget {
        crashes: 1,
        pauses: 2,
        ..TWO
    };
    for skews_ms in [vec![60_000, -60_000], vec![-60_000, 60_000]] {
        let seen = all(&Setup {
            skews_ms,
            // Above the margin for the clock that is ahead, too.
            life_seconds: 300,
            ..setup(Strict, 0, budget)
        });
        assert!(seen.served > 1_000 && seen.ended > 1_000, "{seen:?}");
    }
}

#[test]
fn tolerant_with_a_crash_an_outage_and_a_pause_inside_a_reuse_interval_of_a_minute_loses_no_login() {
    let budget = Budget {
        crashes: 1,
        outages: 1,
        pauses: 1,
        ..TWO
    };
    let seen = all(&setup(Tolerant, MINUTE_MS, budget));
    assert_eq!(seen.ended, 0, "{seen:?}");
}

#[test]
fn tolerant_with_a_lost_answer_a_failure_a_login_and_a_pause_loses_no_login() {
    let budget = Budget {
        lost: 1,
        failures: 1,
        pauses: 1,
        logins: 1,
        ..TWO
    };
    let seen = all(&setup(Tolerant, MINUTE_MS, budget));
    assert_eq!(seen.ended, 0, "{seen:?}");
}

#[test]
fn tolerant_with_clocks_two_minutes_apart_loses_nobody_inside_five_minutes() {
    let budget = Budget {
        crashes: 1,
        lost: 1,
        pauses: 1,
        ..TWO
    };
    for skews_ms in [vec![60_000, -60_000], vec![-60_000, 60_000]] {
        let seen = all(&Setup {
            skews_ms,
            // Above the margin for the clock that is ahead, too.
            life_seconds: 300,
            ..setup(Tolerant, 5 * MINUTE_MS, budget)
        });
        assert_eq!(seen.ended, 0, "{seen:?}");
    }
}

#[test]
fn tolerant_without_reuse_loses_exactly_those_whose_answer_was_lost() {
    let budget = Budget {
        crashes: 1,
        outages: 1,
        lost: 1,
        pauses: 1,
        ..TWO
    };
    let seen = all(&setup(Tolerant, 0, budget));
    assert!(seen.served > 1_000 && seen.ended > 1_000, "{seen:?}");
}

#[test]
fn an_issuer_that_fails_ends_a_login_only_by_a_long_streak() {
    let budget = Budget {
        starts: 4,
        failures: 4,
        pauses: 2,
        ..TWO
    };
    // Two pauses are longer than the transient limit.
    let seen = all(&Setup {
        pause_ms: 1_000_000,
        skews_ms: vec![0],
        ..setup(Tolerant, 0, budget)
    });
    assert!(seen.ended > 0 && seen.served > seen.ended, "{seen:?}");
}
