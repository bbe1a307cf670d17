//! A store that goes back in time at any step of one replica that lives: what it knows is put back, nothing is presented
//! twice, and nobody is sent to log in. With two replicas, of which one may die, a strict issuer is asked before anything
//! is presented that the store may have lost the end of.

use tokenward_control::config::IssuerPolicy::{self, Strict, Tolerant};

use crate::search::{Seen, everything};
use crate::setup::{Budget, Setup};

const PAUSE_MS: u64 = 16_000;
/// Longer than what was announced before the store went back may be under way.
const LONG_PAUSE_MS: u64 = 45_000;

fn all(issuer: IssuerPolicy, budget: Budget) -> Seen {
    everything_of(issuer, vec![0], PAUSE_MS, budget)
}

fn everything_of(issuer: IssuerPolicy, skews_ms: Vec<i64>, pause_ms: u64, budget: Budget) -> Seen {
    let setup = Setup {
        issuer,
        reuse_ms: 0,
        tells: true,
        skews_ms,
        // With the margin of a minute it is of use for ten seconds, so that every pause makes it stale.
        life_seconds: 70,
        pause_ms,
        budget: Budget {
            saves: 1,
            rewinds: 1,
            ..budget
        },
    };
    let seen = everything(&setup);
    println!("{setup:?}: {seen:?}");
    seen
}

#[test]
fn two_refreshes_and_a_failure_are_put_back() {
    for issuer in [Strict, Tolerant] {
        let budget = Budget {
            starts: 3,
            failures: 1,
            pauses: 2,
            ..Budget::default()
        };
        let seen = all(issuer, budget);
        assert_eq!((seen.served, seen.ended), (seen.states, 0));
        assert!(seen.states > 1_000, "{seen:?}");
    }
}

#[test]
fn a_refresh_between_two_outages_is_put_back() {
    for issuer in [Strict, Tolerant] {
        let budget = Budget {
            starts: 2,
            outages: 2,
            pauses: 1,
            ..Budget::default()
        };
        let seen = all(issuer, budget);
        assert_eq!((seen.served, seen.ended), (seen.states, 0));
        assert!(seen.states > 1_000, "{seen:?}");
    }
}

#[test]
fn two_replicas_of_a_strict_issuer_that_live_lose_nobody_and_present_nothing_twice() {
    let budget = Budget {
        starts: 2,
        pauses: 1,
        ..Budget::default()
    };
    let seen = everything_of(Strict, vec![0, 0], LONG_PAUSE_MS, budget);
    assert_eq!((seen.served, seen.ended), (seen.states, 0));
    assert!(seen.states > 1_000, "{seen:?}");
}

#[test]
fn a_replica_that_dies_with_what_the_store_has_lost_makes_nobody_present_it_again() {
    let budget = Budget {
        starts: 2,
        crashes: 1,
        pauses: 1,
        ..Budget::default()
    };
    let seen = everything_of(Strict, vec![0, 0], LONG_PAUSE_MS, budget);
    assert!(seen.served > 1_000 && seen.ended > 100, "{seen:?}");
}
