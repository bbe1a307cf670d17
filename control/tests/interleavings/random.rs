//! Larger random setups: three replicas, clocks that differ, and more of every_state. Failures are shrunk.

use proptest::collection::vec;
use proptest::prelude::*;
use tokenward_control::config::IssuerPolicy::{self, Strict, Tolerant};

use crate::search::one_way;
use crate::setup::{Budget, Setup};

const STEPS: usize = 160;
const MINUTE_MS: u64 = 60_000;

fn setup(issuer: IssuerPolicy, reuse_ms: u64) -> impl Strategy<Value = Setup> {
    let skew = -60_000_i64..=60_000;
    let budget = (0_u8..4, 0_u8..4, 0_u8..3, 0_u8..3, 0_u8..4, 0_u8..3).prop_map(
        |(crashes, outages, lost, failures, pauses, logins)| Budget {
            starts: 8,
            crashes,
            outages,
            lost,
            failures,
            pauses,
            logins,
            ..Budget::default()
        },
    );
    (vec(skew, 3), budget, 16_000_u64..150_000, any::<bool>()).prop_map(
        move |(skews_ms, budget, pause_ms, introspects)| Setup {
            issuer,
            reuse_ms,
            introspects,
            skews_ms,
            life_seconds: 150,
            pause_ms,
            budget,
        },
    )
}

/// The number of sequences: `TOKENWARD_WAYS` for longer runs.
fn config() -> ProptestConfig {
    let cases = std::env::var("TOKENWARD_WAYS")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_strict_issuer_sees_no_token_twice(
        setup in setup(Strict, 0),
        choices in vec(any::<u16>(), STEPS),
    ) {
        one_way(&setup, &choices).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_tolerant_issuer_without_reuse_ends_only_logins_whose_answer_was_lost(
        setup in setup(Tolerant, 0),
        choices in vec(any::<u16>(), STEPS),
    ) {
        one_way(&setup, &choices).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_tolerant_issuer_goes_on_with_every_login_that_it_still_knows(
        setup in setup(Tolerant, 5 * MINUTE_MS),
        choices in vec(any::<u16>(), STEPS),
    ) {
        one_way(&setup, &choices).map_err(TestCaseError::fail)?;
    }
}
