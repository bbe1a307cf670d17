//! Where a session handle is required, a token alone gets no replacement.

use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::verdict::Verdict;

use crate::host::{CONFIG, Envoy, HostOf, home, status};

const KUBE: &str = "/kubernetes/mcp";

fn envoy() -> Envoy {
    let mut envoy = Envoy::new(1);
    let text = CONFIG.replacen("\"servers\"", "\"session_required\": true, \"servers\"", 1);
    let config = FilterConfig::parse(text.as_bytes(), |_| None);
    assert!(config.is_ok());
    envoy.workers[0] = Filter::new(HostOf(envoy.host.clone()), config, text.as_bytes());
    envoy
}

#[test]
fn a_stale_token_without_a_session_is_refused_without_a_call() {
    let mut envoy = envoy();
    for _ in 0..5 {
        let (_, verdict) = envoy.send(0, KUBE, Some(&home(-5)), None);
        assert_eq!(status(&verdict), Some(401));
    }
    assert_eq!(envoy.calls(), 0);
    let refused = "tokenward.server=kubernetes;outcome=unknown_session;mcp_method=none.requests_total";
    assert_eq!(envoy.host.count_of(refused), 5);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), Some("s1")).1, Verdict::Pause);
}

#[test]
fn a_sessions_replacement_is_not_given_to_a_request_without_one() {
    let mut envoy = envoy();
    envoy.send(0, KUBE, Some(&home(-5)), Some("s1"));
    envoy.answer(0, 1, &home(1800));
    assert!(matches!(
        envoy.send(0, KUBE, Some(&home(-5)), Some("s1")).1,
        Verdict::ContinueWith(_)
    ));
    assert_eq!(status(&envoy.send(0, KUBE, Some(&home(-5)), None).1), Some(401));
}

#[test]
fn a_fresh_token_without_a_session_is_forwarded_and_nothing_is_fetched_for_it() {
    let mut envoy = envoy();
    for life_seconds in [1800, 100] {
        let (_, verdict) = envoy.send(0, KUBE, Some(&home(life_seconds)), None);
        assert_eq!(verdict, Verdict::Continue);
    }
    envoy.workers[0].on_tick();
    assert_eq!(envoy.calls(), 0);
}

#[test]
fn an_exchange_server_takes_no_token_without_a_session() {
    let mut envoy = envoy();
    let (_, verdict) = envoy.send(0, "/remote/mcp", Some(&home(1800)), None);
    assert_eq!((status(&verdict), envoy.calls()), (Some(401), 0));
}
