//! A store that goes back in time at any step of a live replica: what that replica knows is restored, nothing is
//! presented twice, and no user has to log in. With two replicas, of which one may crash, a strict issuer is
//! introspected before anything is presented whose outcome the store may have lost.

use tokenward_control::config::IssuerPolicy::{self, Strict, Tolerant};

use crate::search::{Seen, every_state};
use crate::setup::{Budget, Setup};

const PAUSE_MS: u64 = 16_000;
/// Longer than an announcement from before the rollback may be in progress.
const LONG_PAUSE_MS: u64 = 45_000;

fn all(issuer: IssuerPolicy, budget: Budget) -> Seen {
    every_state_of(issuer, vec![0], PAUSE_MS, budget)
}

fn every_state_of(issuer: IssuerPolicy, skews_ms: Vec<i64>, pause_ms: u64, budget: Budget) -> Seen {
    let setup = Setup {
        issuer,
        reuse_ms: 0,
        introspects: true,
        skews_ms,
        // With the margin of a minute it is fresh for ten seconds, so every pause makes it stale.
        life_seconds: 70,
        pause_ms,
        budget: Budget {
            saves: 1,
            rewinds: 1,
            ..budget
        },
    };
    let seen = every_state(&setup);
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
    let seen = every_state_of(Strict, vec![0, 0], LONG_PAUSE_MS, budget);
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
    let seen = every_state_of(Strict, vec![0, 0], LONG_PAUSE_MS, budget);
    assert!(seen.served > 1_000 && seen.ended > 100, "{seen:?}");
}
