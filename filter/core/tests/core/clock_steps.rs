//! A token that a worker has judged stale stays stale, whatever the clock reads afterwards: time does not run backwards, so
//! the clock was wrong before or is wrong now.

use tokenward_filter_core::log::Level;
use tokenward_filter_core::verdict::{ResponseVerdict, Verdict};
use tokenward_protocol::refusal::Refusal;

use crate::host::{Envoy, home};

const KUBE: &str = "/kubernetes/mcp";
const HOUR_MS: u64 = 3_600_000;

fn step_back_an_hour(envoy: &Envoy) {
    let now_ms = envoy.host.now_ms.get();
    envoy.host.now_ms.set(now_ms - HOUR_MS);
}

fn with(token: &str) -> Verdict {
    Verdict::ContinueWith(format!("Bearer {token}").into())
}

#[test]
fn a_token_seen_stale_is_replaced_and_not_forwarded_after_the_clock_steps_back() {
    let mut envoy = Envoy::new(1);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-1800)), None).1, Verdict::Pause);
    envoy.answer(0, 1, &home(1800));
    step_back_an_hour(&envoy);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-1800)), None).1, with(&home(1800)));
    assert_eq!(envoy.calls(), 1);
}

#[test]
fn a_token_seen_stale_without_a_replacement_gets_a_call_again_after_the_clock_steps_back() {
    let mut envoy = Envoy::new(1);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-1800)), None).1, Verdict::Pause);
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    step_back_an_hour(&envoy);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-1800)), None).1, Verdict::Pause);
    assert!(envoy.host.calls.borrow()[1].1.contains("reason=stale"));
}

#[test]
fn a_replacement_seen_stale_is_not_used_again_after_the_clock_steps_back() {
    let mut envoy = Envoy::new(1);
    envoy.send(0, KUBE, Some(&home(-1800)), None);
    envoy.answer(0, 1, &home(1800));
    envoy.host.advance_ms(1_800_000);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-1800)), None).1, Verdict::Pause);
    envoy.refuse(0, 2, Refusal::NeedsLogin);
    step_back_an_hour(&envoy);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-1800)), None).1, Verdict::Pause);
}

#[test]
fn a_token_that_only_a_fast_clock_saw_as_stale_is_served_from_control_once_the_clock_is_right() {
    let mut envoy = Envoy::new(1);
    envoy.host.advance_ms(HOUR_MS);
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, Verdict::Pause);
    // Control's clock is right: to it the token is as good as any.
    envoy.answer(0, 1, &home(1800));
    assert_eq!(envoy.host.replies.borrow()[0].1.status, 503);
    step_back_an_hour(&envoy);
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, Verdict::Pause);
    envoy.answer(0, 2, &home(1800));
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, with(&home(1800)));
    assert_eq!(envoy.calls(), 2);
}

#[test]
fn each_time_that_a_token_is_tried_again_its_rejection_counts_as_the_first() {
    let mut envoy = Envoy::new(1);
    for (round, wait_ms) in [(1, 0), (2, 300_001)] {
        envoy.host.advance_ms(wait_ms);
        let (presented, verdict) = envoy.send(0, KUBE, Some(&home(7200)), None);
        assert_eq!(verdict, Verdict::Continue);
        let softened = envoy.respond(presented, 401, false).expect("a watched answer");
        assert!(matches!(softened, ResponseVerdict::AsUnavailable { .. }));
        envoy.workers[0].on_tick();
        assert_eq!(
            envoy.calls(),
            round,
            "called in the background: no gate is closed"
        );
        envoy.answer(0, u32::try_from(round).unwrap(), &home(7300));
        let (replaced, verdict) = envoy.send(0, KUBE, Some(&home(7200)), None);
        assert_eq!(verdict, with(&home(7300)));
        assert_eq!(envoy.respond(replaced, 200, false), Some(ResponseVerdict::PassOn));
    }
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 0);
}
