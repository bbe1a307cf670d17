//! Small setups, every interleaving of them.

use tokenward_control::config::IssuerPolicy::{self, Strict, Tolerant};

use crate::search::{Seen, everything};
use crate::setup::{Budget, Setup};

const MINUTE_MS: u64 = 60_000;
/// Longer than a lease.
const PAUSE_MS: u64 = 16_000;

/// Two attempts, and nothing else happens.
const TWO: Budget = Budget {
    starts: 2,
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
        tells: true,
        skews_ms: vec![0, 0],
        // With the margin of a minute it is of use for ten seconds, so that every pause makes it stale.
        life_seconds: 70,
        pause_ms: PAUSE_MS,
        budget,
    }
}

/// Every interleaving; prints how many states there were.
fn all(setup: &Setup) -> Seen {
    let seen = everything(setup);
    println!("{setup:?}: {seen:?}");
    seen
}

#[test]
fn two_attempts_cause_one_refresh_and_nobody_is_sent_away() {
    for issuer in [Strict, Tolerant] {
        let seen = all(&setup(issuer, 0, TWO));
        assert!(seen.states > 100, "{seen:?}");
        // The heir comes to a world in which somebody died with an answer in hand, but never without that.
        assert!(seen.served > 0);
    }
}

#[test]
fn a_strict_issuer_that_does_not_tell_ends_no_login_whose_token_may_be_unused_without_a_mark() {
    let budget = Budget {
        crashes: 1,
        outages: 1,
        pauses: 1,
        ..TWO
    };
    let seen = all(&Setup {
        tells: false,
        ..setup(Strict, 0, budget)
    });
    assert!(seen.served > 1_000 && seen.ended > 1_000, "{seen:?}");
}

#[test]
fn a_strict_issuer_that_tells_ends_no_login_for_a_process_that_died_before_it_presented() {
    // Nothing is lost but answers: no presentation ever arrives.
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
        // Longer than an announcement is waited for.
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
            // Beyond the margin for the clock that is ahead, too.
            life_seconds: 300,
            ..setup(Strict, 0, budget)
        });
        assert!(seen.served > 1_000 && seen.ended > 1_000, "{seen:?}");
    }
}

#[test]
fn tolerant_with_a_crash_an_outage_and_a_pause_inside_a_reuse_interval_of_a_minute_loses_nobody() {
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
fn tolerant_with_a_lost_answer_a_failure_a_login_and_a_pause_loses_nobody() {
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
            // Beyond the margin for the clock that is ahead, too.
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
