use tokenward_filter::config::FilterConfig;
use tokenward_filter::worker::{Verdict, Worker};
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
        *worker = Worker::new(HostOf(envoy.host.clone()), config, text.as_bytes());
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

#[test]
fn a_success_starts_the_count_anew() {
    let mut envoy = with_405_after(1);
    for _ in 0..3 {
        envoy.listen(0, KUBE, None);
    }
    assert_eq!(status(&envoy.listen(0, KUBE, None).1), Some(405));
    envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.refuse(0, 1, Refusal::IssuerUnavailable);
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
