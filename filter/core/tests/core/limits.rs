//! Bounds on what clients can make one worker store.

use tokenward_filter_core::log::Level;
use tokenward_filter_core::verdict::Verdict;
use tokenward_filter_core::worker::MOST_WAITERS;

use crate::host::{Envoy, ISSUER, home, status, token};

const KUBE: &str = "/kubernetes/mcp";

#[test]
fn ten_thousand_requests_may_wait_and_the_next_gets_503_with_one_warning_a_minute() {
    let mut envoy = Envoy::new(1);
    for _ in 0..MOST_WAITERS {
        assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
    }
    for number in 0..20 {
        let other = token(ISSUER, "kube", &format!("user-{number}"), -5);
        let (_, verdict) = envoy.send(0, KUBE, Some(&other), None);
        assert_eq!(status(&verdict), Some(503));
    }
    assert_eq!(envoy.calls(), 1);
    let busy = "tokenward.server=kubernetes;outcome=gated_busy;mcp_method=none.requests_total";
    assert_eq!(envoy.host.count_of(busy), 20);
    // It is the worker that is busy, not twenty pairs that fail.
    let warns = envoy.host.lines_at(Level::Warn);
    assert_eq!(warns.len(), 1);
    assert!(warns[0].contains("refusal=busy"), "{}", warns[0]);
    envoy.host.advance_ms(60_000);
    envoy.send(0, KUBE, Some(&token(ISSUER, "kube", "user-0", -5)), None);
    let warns = envoy.host.lines_at(Level::Warn);
    assert!(
        warns.len() == 2 && warns[1].contains("suppressed=19"),
        "{warns:#?}"
    );
    // Responses make room.
    envoy.answer(0, 1, &home(1800));
    let other = token(ISSUER, "kube", "user-0", -5);
    assert_eq!(envoy.send(0, KUBE, Some(&other), None).1, Verdict::Pause);
}

#[test]
fn tokens_near_their_expiry_are_fetched_ahead_as_far_as_calls_may_be_under_way_and_all_are_forwarded() {
    let mut envoy = Envoy::new(1);
    for number in 0..MOST_WAITERS + 500 {
        let presented = token(ISSUER, "kube", &format!("user-{number}"), 100);
        assert_eq!(envoy.send(0, KUBE, Some(&presented), None).1, Verdict::Continue);
    }
    // A tick starts as many as its bytes allow, so that requests need not wait for it.
    for _ in 0..20 {
        envoy.workers[0].on_tick();
    }
    assert_eq!(envoy.calls(), 1_152);
    assert_eq!(
        envoy.host.lines_at(Level::Warn),
        Vec::<String>::new(),
        "none was refused"
    );
}
