//! Who may have an exchanged token: a registered login, an unregistered user with a later token than the last sign-out, or
//! neither.

use tokenward_control::upstream::entitlement::Entitlement;
use tokenward_control::upstream::exchange::record::{ExchangeRecord, ExchangedToken};
use tokenward_control::upstream::exchange::standing::Standing;
use tokenward_control::upstream::grant::record::{DeathReason, GrantRecord, GrantState};

use crate::records::plain_grant;

/// A sign-out at second 1,000, by which tokens count from the next second on.
const SIGNED_OUT: GrantState = GrantState::SignedOut { since_ms: 1_000_500 };

fn record(state: GrantState, sign_outs: u64) -> GrantRecord {
    GrantRecord {
        state,
        sign_outs,
        valid_from_seconds: (sign_outs > 0).then_some(1_001),
        ..plain_grant()
    }
}

fn token(issued_at_seconds: u64) -> Entitlement {
    Entitlement {
        sign_outs: None,
        issued_at_seconds: Some(issued_at_seconds),
        only_registered: false,
    }
}

fn session(sign_outs: u64, issued_at_seconds: u64) -> Entitlement {
    Entitlement {
        sign_outs: Some(sign_outs),
        ..token(issued_at_seconds)
    }
}

const fn unregistered(sign_outs: u64, signed_out_at_ms: Option<u64>) -> Standing {
    Standing::Unregistered {
        sign_outs,
        signed_out_at_ms,
    }
}

#[test]
fn a_standing_follows_from_the_grant_and_what_the_caller_presents() {
    let dead = GrantState::Dead {
        reason: DeathReason::Claimed,
        since_ms: 0,
    };
    let later = unregistered(1, Some(1_000_500));
    let rows = [
        (None, token(5), unregistered(0, None)),
        (None, token(0), unregistered(0, None)),
        (
            Some(record(GrantState::Active, 0)),
            token(5),
            Standing::Registered,
        ),
        (Some(record(dead, 0)), token(5), Standing::Registered),
        (Some(record(GrantState::Active, 1)), token(1_000), Standing::Ended),
        (
            Some(record(GrantState::Active, 1)),
            token(1_001),
            Standing::Registered,
        ),
        (
            Some(record(GrantState::Active, 1)),
            session(0, 1_001),
            Standing::Ended,
        ),
        (
            Some(record(GrantState::Active, 1)),
            session(1, 1_001),
            Standing::Registered,
        ),
        (Some(record(SIGNED_OUT, 1)), token(0), Standing::Ended),
        (Some(record(SIGNED_OUT, 1)), token(1_000), Standing::Ended),
        (Some(record(SIGNED_OUT, 1)), token(1_001), later),
        (Some(record(SIGNED_OUT, 1)), session(1, 1_001), later),
        (Some(record(SIGNED_OUT, 1)), session(0, 1_001), Standing::Ended),
        // The last session ended by itself: no count, and the earlier tokens are over all the same.
        (Some(record(SIGNED_OUT, 0)), token(1_000), Standing::Ended),
        (
            Some(record(SIGNED_OUT, 0)),
            token(1_001),
            unregistered(0, Some(1_000_500)),
        ),
    ];
    for (number, (record, entitlement, expected)) in rows.into_iter().enumerate() {
        assert_eq!(
            Standing::of(record.as_ref(), entitlement),
            expected,
            "row {number}"
        );
    }
}

#[test]
fn what_a_sign_out_interrupts_is_not_finished() {
    let (first, second) = (unregistered(0, None), unregistered(1, Some(7)));
    let rows = [
        (Standing::Registered, Standing::Registered, true),
        (Standing::Registered, first, false),
        (Standing::Registered, Standing::Ended, false),
        (first, first, true),
        (first, second, false),
        (first, unregistered(0, Some(7)), false),
        // The aggregator registered the login meanwhile.
        (first, Standing::Registered, true),
        (first, Standing::Ended, false),
    ];
    for (number, (before, after, expected)) in rows.into_iter().enumerate() {
        assert_eq!(before.lasts_as(after), expected, "row {number}");
    }
}

#[test]
fn a_token_from_before_an_interrupted_sign_out_counts_as_absent() {
    let made_at = |made_at_ms| {
        let token = ExchangedToken {
            sealed: b"s".to_vec().into(),
            exp_seconds: 5_000,
            issued_at_seconds: None,
            made_at_ms,
        };
        ExchangeRecord::of(Some(token), None)
    };
    let is_there = |standing: Standing, made_at_ms| {
        let record = standing.without_ended_token(made_at(made_at_ms));
        record.token.is_some()
    };
    let after = unregistered(1, Some(1_000_500));
    assert_eq!(
        [999_999, 1_000_500, 1_000_501].map(|made_at_ms| is_there(after, made_at_ms)),
        [false, false, true]
    );
    assert!(is_there(unregistered(0, None), 0));
    assert!(is_there(Standing::Registered, 0));
}
