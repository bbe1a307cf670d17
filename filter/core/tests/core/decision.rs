use std::time::Duration;

use proptest::prelude::*;
use tokenward_filter_core::config::{AuthKind, Server, TokenShape};
use tokenward_filter_core::decision::{Decision, decide};
use tokenward_filter_core::pair::gate::Admission;
use tokenward_protocol::freshness::FreshnessPolicy;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

const MARGIN_S: u64 = 60;
const AHEAD_S: u64 = 120;
const NOW_S: u64 = 1_800_000_000;

fn server(kind: AuthKind) -> Server {
    let shape = |issuer: &str| TokenShape {
        issuer: issuer.into(),
        audiences: vec!["kube".into()],
    };
    let presented = shape("home");
    let delivered = if kind == AuthKind::Forward {
        shape("home")
    } else {
        shape("remote")
    };
    Server {
        name: "s".into(),
        route: None,
        resource_metadata: None,
        listener_405_after: None,
        kind,
        presented,
        delivered,
    }
}

fn claims(exp_in: i64) -> Claims {
    Claims {
        exp_seconds: NOW_S.saturating_add_signed(exp_in),
        issued_at_seconds: None,
        issuer: "home".into(),
        subject: "alice".into(),
        audiences: vec!["kube".into()],
    }
}

fn policy() -> FreshnessPolicy {
    FreshnessPolicy::new(Duration::from_secs(MARGIN_S), Duration::from_secs(AHEAD_S)).unwrap()
}

fn decision(kind: AuthKind, exp_in: i64, cached_in: Option<i64>, gate: Admission) -> Decision {
    let cached = cached_in.map(|cached_in| NOW_S.saturating_add_signed(cached_in));
    decide(
        NOW_S * 1000,
        &policy(),
        &server(kind),
        Ok(&claims(exp_in)),
        false,
        || cached,
        || gate,
    )
}

const CLOSED: Admission = Admission::Closed {
    refusal: Refusal::NeedsLogin,
    retry_after_ms: 5_000,
};

#[test]
fn each_row_of_the_table() {
    use AuthKind::{Exchange, Forward};
    let from_gate = Decision::RefuseFromGate {
        refusal: Refusal::NeedsLogin,
        retry_after_ms: 5_000,
    };
    for (kind, exp_in, cached_in, gate, expected) in [
        (Forward, 1800, None, Admission::Open, Decision::Forward),
        (Forward, 1800, Some(1800), CLOSED, Decision::Forward),
        (Forward, 90, None, Admission::Open, Decision::ForwardAndPrefetch),
        (
            Forward,
            90,
            Some(90),
            Admission::Open,
            Decision::ForwardAndPrefetch,
        ),
        (Forward, 90, Some(1800), Admission::Open, Decision::Forward),
        (Forward, 60, None, Admission::Open, Decision::Ask { probe: false }),
        (Forward, -5, Some(1800), Admission::Open, Decision::Replace),
        (Forward, -5, Some(1800), CLOSED, Decision::Replace),
        (
            Forward,
            -5,
            Some(90),
            Admission::Open,
            Decision::ReplaceAndPrefetch,
        ),
        (
            Forward,
            -5,
            Some(60),
            Admission::Open,
            Decision::Ask { probe: false },
        ),
        (Forward, -5, None, Admission::Probe, Decision::Ask { probe: true }),
        (Forward, -5, None, CLOSED, from_gate),
        (
            Exchange,
            1800,
            None,
            Admission::Open,
            Decision::Ask { probe: false },
        ),
        (Exchange, 1800, Some(1800), Admission::Open, Decision::Replace),
        (Exchange, -5, Some(1800), Admission::Open, Decision::Replace),
        (
            Exchange,
            1800,
            Some(90),
            Admission::Open,
            Decision::ReplaceAndPrefetch,
        ),
        (Exchange, 1800, None, CLOSED, from_gate),
    ] {
        assert_eq!(
            decision(kind, exp_in, cached_in, gate),
            expected,
            "{kind:?} {exp_in} {cached_in:?} {gate:?}"
        );
    }
}

#[test]
fn a_token_that_does_not_fit_the_server_is_refused_without_asking_anybody() {
    let gate = || -> Admission { panic!("the gate was asked") };
    for kind in [AuthKind::Forward, AuthKind::Exchange] {
        for exp_in in [-5, 90, 1800] {
            let mut other = claims(exp_in);
            other.issuer = "elsewhere".into();
            let decided = decide(
                NOW_S * 1000,
                &policy(),
                &server(kind),
                Ok(&other),
                false,
                || Some(u64::MAX),
                gate,
            );
            assert_eq!(decided, Decision::Refuse(Refusal::WrongIssuer));
            let mut other = claims(exp_in);
            other.audiences = vec!["other".into()];
            let decided = decide(
                NOW_S * 1000,
                &policy(),
                &server(kind),
                Ok(&other),
                false,
                || Some(u64::MAX),
                gate,
            );
            assert_eq!(decided, Decision::Refuse(Refusal::WrongAudience));
        }
        let decided = decide(
            0,
            &policy(),
            &server(kind),
            Err(Refusal::MalformedBearer),
            false,
            || Some(u64::MAX),
            gate,
        );
        assert_eq!(decided, Decision::Refuse(Refusal::MalformedBearer));
    }
}

fn gates() -> impl Strategy<Value = Admission> {
    prop_oneof![Just(Admission::Open), Just(Admission::Probe), Just(CLOSED)]
}

proptest! {
    /// Against a plain reference: what leaves the gateway lives longer than the margin, always.
    #[test]
    fn no_stale_token_is_forwarded_or_used_as_replacement(
        exchange: bool, rejected: bool, now_ms in 0u64..4_000_000_000_000, exp: u64, cached: Option<u64>, gate in gates(),
    ) {
        let kind = if exchange { AuthKind::Exchange } else { AuthKind::Forward };
        let mut presented = claims(0);
        presented.exp_seconds = exp;
        let lives = |exp: u64| u128::from(exp) * 1000 > u128::from(now_ms) + u128::from(MARGIN_S) * 1000;
        match decide(now_ms, &policy(), &server(kind), Ok(&presented), rejected, || cached, || gate) {
            Decision::Forward | Decision::ForwardAndPrefetch => prop_assert!(!exchange && !rejected && lives(exp)),
            Decision::Replace | Decision::ReplaceAndPrefetch => prop_assert!(cached.is_some_and(lives)),
            Decision::Ask { .. } => prop_assert!(gate != CLOSED),
            Decision::RefuseFromGate { .. } => prop_assert!(gate == CLOSED),
            Decision::Refuse(_) => prop_assert!(false, "a fitting token was refused"),
        }
    }
}
