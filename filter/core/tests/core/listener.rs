use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::CallFailure;
use tokenward_filter_core::log::Level;
use tokenward_filter_core::verdict::Verdict;
use tokenward_protocol::refusal::Refusal;

use crate::host::{CONFIG, Envoy, HostOf, home, status};

const KUBE: &str = "/kubernetes/mcp";

fn with_405_after(refusals: u32) -> Envoy {
    let mut envoy = Envoy::new(2);
    let text = CONFIG.replacen(
        "\"path_prefix\": \"/kubernetes\",",
        &format!("\"path_prefix\": \"/kubernetes\", \"listener_405_after\": {refusals},"),
        1,
    );
    for worker in &mut envoy.workers {
        let config = FilterConfig::parse(text.as_bytes(), |_| None);
        *worker = Filter::new(HostOf(envoy.host.clone()), config, text.as_bytes());
    }
    envoy
}

#[test]
fn a_listener_is_answered_405_after_so_many_refusals_and_posts_never_are() {
    let mut envoy = with_405_after(3);
    envoy.listen(0, KUBE, Some(&home(-5)));
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    assert_eq!(envoy.host.replies.borrow()[0].1.status, 401);
    let statuses: Vec<_> = (0..6)
        .map(|n| status(&envoy.listen(n % 2, KUBE, Some(&home(-5))).1))
        .collect();
    assert_eq!(
        statuses,
        [Some(401), Some(401), Some(405), Some(405), Some(405), Some(405)]
    );
    assert_eq!(status(&envoy.send(0, KUBE, Some(&home(-5)), None).1), Some(401));
    let (_, Verdict::Reply(reply)) = envoy.listen(0, KUBE, Some(&home(-5))) else {
        panic!("no reply")
    };
    assert!(reply.headers.contains(&("allow", "POST, DELETE".to_owned())));
    assert!(reply.body.contains("needs_login"), "{}", reply.body);
}

/// MCP 2026-07-28: a listener is a request like any other there, and 405 would say that the server has no such endpoint.
#[test]
fn a_listener_that_is_a_post_is_refused_like_any_other_request_however_often() {
    let mut envoy = with_405_after(3);
    envoy.listen(0, KUBE, Some(&home(-5)));
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    for n in 0..10 {
        let verdict = envoy.send_mcp("subscriptions/listen", n % 2, KUBE, &home(-5));
        assert_eq!(status(&verdict), Some(401));
    }
    assert_eq!(status(&envoy.listen(0, KUBE, Some(&home(-5))).1), Some(405));
    let gated = |method: &str| {
        let outcome = "tokenward.server=kubernetes;outcome=gated_needs_login";
        envoy
            .host
            .count_of(&format!("{outcome};mcp_method={method}.requests_total"))
    };
    assert_eq!((gated("subscriptions/listen"), gated("GET")), (10, 1));
}

#[test]
fn both_kinds_of_listener_share_a_call_and_each_gets_its_own_answer() {
    let mut envoy = with_405_after(1);
    for _ in 0..2 {
        envoy.listen(0, KUBE, Some(&home(-5)));
        let verdict = envoy.send_mcp("subscriptions/listen", 0, KUBE, &home(-5));
        assert_eq!(verdict, Verdict::Pause);
    }
    assert_eq!(envoy.calls(), 1);
    envoy.refuse(0, 1, Refusal::IssuerUnavailable);
    let replies = envoy.host.replies.borrow();
    let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
    assert_eq!(statuses, [405, 503, 405, 503]);
}

#[test]
fn a_success_restarts_the_count() {
    let mut envoy = with_405_after(1);
    envoy.send(0, KUBE, Some(&home(-7)), None);
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    assert_eq!(status(&envoy.listen(0, KUBE, Some(&home(-7))).1), Some(405));
    envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.refuse(0, 2, Refusal::IssuerUnavailable);
    assert_eq!(envoy.send(1, KUBE, Some(&home(1800)), None).1, Verdict::Continue);
    assert_eq!(
        status(&envoy.listen(0, KUBE, Some(&home(-5))).1),
        Some(503),
        "the first refusal since"
    );
}

#[test]
fn without_the_option_no_listener_is_ever_answered_405() {
    let mut envoy = Envoy::new(1);
    for _ in 0..100 {
        assert_eq!(status(&envoy.listen(0, KUBE, Some("garbage")).1), Some(401));
    }
}

#[test]
fn a_request_without_a_readable_token_gets_401_however_often_others_were_refused() {
    let mut envoy = with_405_after(3);
    for bearer in [None, Some("garbage")] {
        for _ in 0..20 {
            assert_eq!(status(&envoy.listen(0, KUBE, bearer).1), Some(401));
        }
    }
}

#[test]
fn a_listener_that_is_refused_with_405_is_not_taken_for_a_servers_answer() {
    let mut envoy = with_405_after(1);
    for _ in 0..2 {
        let (stream, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
        envoy.respond(stream, 401, false);
        envoy.workers[0].on_tick();
        envoy.answer(0, 1, &home(1900));
    }
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 1, "rejected twice");
    envoy.host.advance_ms(1_000);
    envoy.host.call_failure.set(Some(CallFailure::Unavailable));
    let (probe, verdict) = envoy.listen(0, KUBE, Some(&home(1800)));
    assert_eq!(status(&verdict), Some(405));
    assert_eq!(envoy.respond(probe, 405, false), None);
    assert_eq!(envoy.host.lines_at(Level::Info).len(), 0, "nothing has recovered");
}
