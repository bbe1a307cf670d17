//! What others can make one worker keep.

use tokenward_filter::flight::MOST_WAITERS;
use tokenward_filter::worker::Verdict;

use crate::host::{Envoy, ISSUER, home, status, token};

const KUBE: &str = "/kubernetes/mcp";

#[test]
fn ten_thousand_different_tokens_may_wait_and_the_next_is_told_to_come_back_soon() {
    let mut envoy = Envoy::new(1);
    for number in 0..MOST_WAITERS {
        let presented = token(ISSUER, "kube", &format!("user-{number}"), -5);
        assert_eq!(envoy.send(0, KUBE, Some(&presented), None).1, Verdict::Pause);
    }
    let (_, verdict) = envoy.send(0, KUBE, Some(&home(-5)), None);
    assert_eq!(status(&verdict), Some(503));
    assert_eq!(envoy.calls(), MOST_WAITERS);
    assert_eq!(
        envoy
            .host
            .count_of("tokenward.server=kubernetes;outcome=gated_busy.requests_total"),
        1
    );
    // Answers make room.
    envoy.answer(0, 1, &token(ISSUER, "kube", "user-0", 1800));
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
}

#[test]
fn tokens_near_their_expiry_are_fetched_ahead_for_ten_thousand_at_once_and_all_are_forwarded() {
    let mut envoy = Envoy::new(1);
    for number in 0..MOST_WAITERS + 500 {
        let presented = token(ISSUER, "kube", &format!("user-{number}"), 100);
        assert_eq!(envoy.send(0, KUBE, Some(&presented), None).1, Verdict::Continue);
    }
    // A tick starts as many as its bytes allow, so that requests need not wait for it.
    for _ in 0..20 {
        envoy.workers[0].on_tick();
    }
    assert_eq!(envoy.calls(), MOST_WAITERS);
}
