//! A store that goes back in time at any step of one replica that lives: what it knows is put back, nothing is presented
//! twice, and nobody is sent to log in.

use tokenward_control::config::IssuerPolicy::{self, Strict, Tolerant};

use crate::search::{Seen, everything};
use crate::setup::{Budget, Setup};

const PAUSE_MS: u64 = 16_000;

fn all(issuer: IssuerPolicy, budget: Budget) -> Seen {
    let setup = Setup {
        issuer,
        reuse_ms: 0,
        skews_ms: vec![0],
        // With the margin of a minute it is of use for ten seconds, so that every pause makes it stale.
        life_seconds: 70,
        pause_ms: PAUSE_MS,
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
