use std::time::Duration;

use proptest::prelude::*;
use tokenward_filter_core::config::{AuthKind, Server, TokenShape};
use tokenward_filter_core::decision::{Decision, Standing, decide, judge_presented};
use tokenward_filter_core::replacement::Replacement;
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
        number: 0,
        name: "s".into(),
        route: None,
        resource_metadata: None,
        access_tokens: None,
        listener_405_after: None,
        kind,
        presented,
        delivered,
        is_opaque: false,
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

/// A decision without the data that it carries.
#[derive(Debug, PartialEq, Eq)]
enum Decided {
    Forward { prefetch: bool },
    Replace { prefetch: bool },
    Call,
}

fn replacement(exp_seconds: u64) -> Replacement {
    Replacement {
        authorization: format!("Bearer {exp_seconds}").into(),
        exp_seconds,
        server: 0,
    }
}

fn decided(kind: AuthKind, exp_in: i64, cached_in: Option<i64>) -> Decided {
    decided_of(&claims(exp_in), &server(kind), cached_in)
}

fn decided_of(presented: &Claims, server: &Server, cached_in: Option<i64>) -> Decided {
    let (policy, now_ms) = (policy(), NOW_S * 1000);
    let cached = cached_in.map(|cached_in| replacement(NOW_S.saturating_add_signed(cached_in)));
    let standing = judge_presented(presented, server, &policy, false, now_ms).unwrap();
    match decide(standing, cached, &policy, now_ms) {
        Decision::Forward { prefetch } => Decided::Forward { prefetch },
        Decision::Replace { prefetch, .. } => Decided::Replace { prefetch },
        Decision::Call => Decided::Call,
    }
}

#[test]
fn each_row_of_the_table() {
    use AuthKind::{Exchange, Forward};
    let forward = |prefetch| Decided::Forward { prefetch };
    let replace = |prefetch| Decided::Replace { prefetch };
    for (kind, exp_in, cached_in, expected) in [
        (Forward, 1800, None, forward(false)),
        (Forward, 1800, Some(1800), forward(false)),
        (Forward, 90, None, forward(true)),
        (Forward, 90, Some(90), forward(true)),
        (Forward, 90, Some(60), forward(true)),
        (Forward, 90, Some(1800), forward(false)),
        (Forward, 60, None, Decided::Call),
        (Forward, -5, Some(1800), replace(false)),
        (Forward, -5, Some(90), replace(true)),
        (Forward, -5, Some(60), Decided::Call),
        (Forward, -5, None, Decided::Call),
        (Exchange, 1800, None, Decided::Call),
        (Exchange, 1800, Some(1800), replace(false)),
        (Exchange, -5, Some(1800), replace(false)),
        (Exchange, 1800, Some(90), replace(true)),
    ] {
        assert_eq!(
            decided(kind, exp_in, cached_in),
            expected,
            "{kind:?} {exp_in} {cached_in:?}"
        );
    }
}

/// An aggregator that exchanges by itself presents what the server takes.
#[test]
fn a_token_of_an_exchange_servers_own_issuer_is_judged_like_one_that_is_forwarded() {
    use AuthKind::{Exchange, Forward};
    for exp_in in [1800, 90, 60, -5] {
        for cached_in in [None, Some(1800), Some(90), Some(60)] {
            let own = Claims {
                issuer: "remote".into(),
                ..claims(exp_in)
            };
            assert_eq!(
                decided_of(&own, &server(Exchange), cached_in),
                decided(Forward, exp_in, cached_in),
                "{exp_in} {cached_in:?}"
            );
        }
    }
    let mut own = claims(1800);
    own.issuer = "remote".into();
    own.audiences = vec!["other".into()];
    let judged = judge_presented(&own, &server(Exchange), &policy(), false, NOW_S * 1000);
    assert_eq!(judged, Err(Refusal::WrongAudience));
    own.audiences = vec!["kube".into()];
    let judged = judge_presented(&own, &server(Exchange), &policy(), true, NOW_S * 1000);
    assert_eq!(judged, Ok(Standing::NeedsReplacement), "distrusted");
}

#[test]
fn where_one_issuer_is_the_aggregators_and_the_servers_each_token_is_exchanged() {
    let mut server = server(AuthKind::Exchange);
    server.delivered.issuer = server.presented.issuer.clone();
    assert_eq!(decided_of(&claims(1800), &server, None), Decided::Call);
}

#[test]
fn a_token_that_does_not_fit_the_server_is_refused_by_itself() {
    for kind in [AuthKind::Forward, AuthKind::Exchange] {
        let judged = |claims: &Claims| judge_presented(claims, &server(kind), &policy(), false, NOW_S * 1000);
        for exp_in in [-5, 90, 1800] {
            let mut other = claims(exp_in);
            other.issuer = "elsewhere".into();
            assert_eq!(judged(&other), Err(Refusal::WrongIssuer));
            let mut other = claims(exp_in);
            other.audiences = vec!["other".into()];
            assert_eq!(judged(&other), Err(Refusal::WrongAudience));
        }
    }
}

proptest! {
    /// Against a plain reference: what leaves the gateway lives longer than the margin, always.
    #[test]
    fn no_stale_token_is_forwarded_or_used_as_replacement(
        exchange: bool, own: bool, distrusted: bool, now_ms in 0u64..4_000_000_000_000, exp: u64, cached: Option<u64>,
    ) {
        let kind = if exchange { AuthKind::Exchange } else { AuthKind::Forward };
        let mut presented = claims(0);
        presented.exp_seconds = exp;
        if own && exchange {
            presented.issuer = "remote".into();
        }
        let lives = |exp: u64| u128::from(exp) * 1000 > u128::from(now_ms) + u128::from(MARGIN_S) * 1000;
        let standing = judge_presented(&presented, &server(kind), &policy(), distrusted, now_ms);
        prop_assert!(standing.is_ok(), "a fitting token was refused");
        match decide(standing.unwrap(), cached.map(replacement), &policy(), now_ms) {
            Decision::Forward { .. } => prop_assert!((own || !exchange) && !distrusted && lives(exp)),
            Decision::Replace { replacement, .. } => {
                prop_assert!(cached == Some(replacement.exp_seconds) && lives(replacement.exp_seconds));
            }
            Decision::Call => prop_assert!(!cached.is_some_and(lives)),
        }
    }
}
