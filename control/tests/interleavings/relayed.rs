//! A client refreshes through the relay beside the servers' callers, on any replica, with the newest token that it holds or
//! an older one, and may lose its answers. Nothing is presented twice at a strict issuer, and the client has a login as long
//! as the servers' callers have one.

use tokenward_control::config::IssuerPolicy::{self, Strict, Tolerant};

use crate::search::{Seen, every_state};
use crate::setup::{Budget, Setup};

const PAUSE_MS: u64 = 16_000;
const MINUTE_MS: u64 = 60_000;

fn all(issuer: IssuerPolicy, reuse_ms: u64, budget: Budget) -> Seen {
    let setup = Setup {
        issuer,
        reuse_ms,
        introspects: true,
        skews_ms: vec![0, 0],
        life_seconds: 70,
        pause_ms: PAUSE_MS,
        budget,
    };
    let seen = every_state(&setup);
    println!("{setup:?}: {seen:?}");
    seen
}

#[test]
fn a_client_and_a_server_at_once_cause_one_refresh_and_lose_no_login() {
    for issuer in [Strict, Tolerant] {
        let budget = Budget {
            starts: 1,
            presents: 2,
            lost: 1,
            ..Budget::default()
        };
        let seen = all(issuer, 0, budget);
        assert!(seen.states > 1_000 && seen.served > 1_000, "{seen:?}");
    }
}

#[test]
fn a_client_that_presents_old_and_new_tokens_after_pauses_keeps_its_login() {
    for (issuer, reuse_ms) in [(Strict, 0), (Tolerant, 0), (Tolerant, MINUTE_MS)] {
        let budget = Budget {
            presents: 3,
            pauses: 1,
            ..Budget::default()
        };
        let seen = all(issuer, reuse_ms, budget);
        assert!(seen.states > 1_000 && seen.served > 1_000, "{seen:?}");
    }
}

#[test]
fn a_process_that_dies_or_a_store_that_is_silent_under_a_clients_refresh_costs_no_more_than_a_servers() {
    for (issuer, reuse_ms) in [(Strict, 0), (Tolerant, MINUTE_MS)] {
        let budget = Budget {
            starts: 1,
            presents: 2,
            crashes: 1,
            outages: 1,
            ..Budget::default()
        };
        let seen = all(issuer, reuse_ms, budget);
        assert!(seen.served > 1_000, "{seen:?}");
        if issuer == Tolerant {
            assert_eq!(seen.ended, 0, "{seen:?}");
        }
    }
}

#[test]
fn a_login_and_a_failing_issuer_beside_a_clients_refresh_cost_no_login() {
    let budget = Budget {
        presents: 2,
        failures: 1,
        logins: 1,
        pauses: 1,
        ..Budget::default()
    };
    let seen = all(Tolerant, MINUTE_MS, budget);
    assert_eq!(seen.ended, 0, "{seen:?}");
}
