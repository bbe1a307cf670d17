use tokenward_filter_core::host::StreamId;
use tokenward_filter_core::log::Level;
use tokenward_filter_core::verdict::{ResponseVerdict, Verdict};
use tokenward_protocol::refusal::Refusal;

use crate::host::{Envoy, ISSUER, home, status, token};

const KUBE: &str = "/kubernetes/mcp";

/// The server responds to the stream.
fn respond(envoy: &mut Envoy, stream: StreamId, status: u16) -> ResponseVerdict {
    envoy.respond(stream, status, false).expect("a watched answer")
}

fn becomes_unavailable(verdict: &ResponseVerdict) -> bool {
    matches!(verdict, ResponseVerdict::AsUnavailable { .. })
}

#[test]
fn a_401_to_a_fresh_token_becomes_503_and_control_is_called_once_for_a_newly_made_one() {
    let mut envoy = Envoy::new(1);
    let streams: Vec<_> = (0..5)
        .map(|_| envoy.send(0, KUBE, Some(&home(1800)), Some("s1")).0)
        .collect();
    assert!(becomes_unavailable(&respond(&mut envoy, streams[0], 401)));
    envoy.workers[0].on_tick();
    assert_eq!(envoy.calls(), 1);
    let form = envoy.host.calls.borrow()[0].1.clone();
    assert!(
        form.contains("reason=rejected") && form.contains("session=s1"),
        "{form}"
    );
    envoy.answer(0, 1, &home(1900));
    let (_, verdict) = envoy.send(0, KUBE, Some(&home(1800)), Some("s1"));
    assert_eq!(
        verdict,
        Verdict::ContinueWith(format!("Bearer {}", home(1900)).into()),
        "the new one, not the presented"
    );
    assert_eq!(
        envoy
            .host
            .count_of("tokenward.server=kubernetes;status=401.server_rejections_total"),
        1
    );
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 0, "nothing is wrong yet");
}

#[test]
fn requests_that_are_rejected_together_are_one_rejection() {
    let mut envoy = Envoy::new(1);
    let send = |envoy: &mut Envoy| -> Vec<_> {
        (0..5)
            .map(|_| envoy.send(0, KUBE, Some(&home(1800)), Some("s1")))
            .collect()
    };
    let presented = send(&mut envoy);
    for (stream, _) in &presented[..3] {
        assert!(becomes_unavailable(&respond(&mut envoy, *stream, 401)));
    }
    envoy.workers[0].on_tick();
    envoy.answer(0, 1, &home(1900));
    for (stream, _) in &presented[3..] {
        assert!(
            becomes_unavailable(&respond(&mut envoy, *stream, 401)),
            "late, and no news"
        );
    }
    envoy.workers[0].on_tick();
    let replaced = send(&mut envoy);
    for (_, verdict) in &replaced {
        assert_eq!(
            verdict,
            &Verdict::ContinueWith(format!("Bearer {}", home(1900)).into()),
            "the late ones have not thrown it away"
        );
    }
    assert_eq!((envoy.calls(), envoy.host.lines_at(Level::Warn).len()), (1, 0));

    for (stream, _) in &replaced {
        assert!(becomes_unavailable(&respond(&mut envoy, *stream, 401)));
    }
    assert_eq!(status(&send(&mut envoy)[0].1), Some(503), "the gate is closed");
    assert_eq!((envoy.calls(), envoy.host.lines_at(Level::Warn).len()), (1, 1));
    // As long as after one rejection, not after five.
    envoy.host.advance_ms(1_000);
    assert_eq!(send(&mut envoy)[0].1, Verdict::Pause);
}

#[test]
fn a_newly_made_token_that_is_rejected_too_closes_the_gate_with_backoff() {
    let mut envoy = Envoy::new(2);
    let (first, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
    respond(&mut envoy, first, 401);
    envoy.workers[0].on_tick();
    envoy.answer(0, 1, &home(1900));
    let (second, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
    assert!(becomes_unavailable(&respond(&mut envoy, second, 401)));
    for _ in 0..50 {
        let (_, verdict) = envoy.send(0, KUBE, Some(&home(1800)), None);
        assert_eq!(status(&verdict), Some(503), "{verdict:?}");
    }
    assert_eq!(envoy.calls(), 1);
    let warns = envoy.host.lines_at(Level::Warn);
    assert_eq!(warns.len(), 1);
    assert!(warns[0].contains("token_rejected"), "{}", warns[0]);
    // The gate's closing time has passed: one probe calls for another new token.
    envoy.host.advance_ms(1_000);
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, Verdict::Pause);
    assert!(envoy.host.calls.borrow()[1].1.contains("reason=rejected"));
    envoy.answer(0, 2, &home(2000));
    let resumed = envoy.host.resumed.borrow()[0].0;
    assert_eq!(respond(&mut envoy, resumed, 200), ResponseVerdict::PassOn);
    assert_eq!(envoy.host.lines_at(Level::Info).len(), 1);
}

#[test]
fn control_that_has_no_newer_token_yet_closes_the_gate_and_the_login_remains() {
    let mut envoy = Envoy::new(1);
    let (stream, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
    respond(&mut envoy, stream, 401);
    envoy.workers[0].on_tick();
    envoy.refuse(0, 1, Refusal::Busy);
    let (_, verdict) = envoy.send(0, KUBE, Some(&home(1800)), None);
    assert_eq!(status(&verdict), Some(503), "never 401: {verdict:?}");
    assert_eq!(envoy.calls(), 1);
}

#[test]
fn a_plain_403_is_about_permissions_and_passes() {
    let mut envoy = Envoy::new(1);
    let (stream, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
    assert_eq!(envoy.respond(stream, 403, false), Some(ResponseVerdict::PassOn));
    envoy.workers[0].on_tick();
    assert_eq!(envoy.calls(), 0);
    let (stream, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
    assert!(
        becomes_unavailable(&envoy.respond(stream, 403, true).expect("watched")),
        "its challenge names the token"
    );
}

#[test]
fn responses_to_requests_for_no_server_are_not_watched() {
    let mut envoy = Envoy::new(1);
    for path in ["/elsewhere", KUBE] {
        let (stream, _) = envoy.send(0, path, None, None);
        assert_eq!(envoy.respond(stream, 401, false), None, "{path}");
    }
}

#[test]
fn a_rejected_token_is_tried_again_after_a_while_and_a_new_login_at_once() {
    let mut envoy = Envoy::new(1);
    let (stream, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
    respond(&mut envoy, stream, 401);
    assert_eq!(envoy.send(0, KUBE, Some(&home(2000)), None).1, Verdict::Continue);
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, Verdict::Pause);
    envoy.host.advance_ms(300_001);
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, Verdict::Continue);
}

/// One request at worker 0: the server rejects every token, and control makes a new one for each call. Whether anything
/// reached the server.
fn send_to_a_server_that_rejects_all(envoy: &mut Envoy, life_seconds: i64) -> bool {
    envoy.workers[0].on_tick();
    let (calls, resumed) = (envoy.calls(), envoy.host.resumed.borrow().len());
    let (stream, verdict) = envoy.send(0, KUBE, Some(&home(1800)), Some("s1"));
    for call in calls..envoy.calls() {
        envoy.answer(0, u32::try_from(call + 1).unwrap(), &home(life_seconds));
    }
    let arrived = match verdict {
        Verdict::Continue | Verdict::ContinueWith(_) => true,
        Verdict::Pause => envoy.host.resumed.borrow().len() > resumed,
        Verdict::Reply(_) => false,
    };
    if arrived {
        assert!(becomes_unavailable(&respond(envoy, stream, 401)));
    }
    // The background call that the rejection caused.
    let calls = envoy.calls();
    envoy.workers[0].on_tick();
    for call in calls..envoy.calls() {
        envoy.answer(0, u32::try_from(call + 1).unwrap(), &home(life_seconds + 1));
    }
    arrived
}

#[test]
fn a_server_that_rejects_every_new_token_is_tried_less_and_less_often() {
    let mut envoy = Envoy::new(1);
    let mut arrived = 0;
    for second in 0..180 {
        arrived += usize::from(send_to_a_server_that_rejects_all(&mut envoy, 2_000 + 2 * second));
        envoy.host.advance_ms(1_000);
    }
    // The presented one, the newly made one, and probes after about 1, 2, 4, 8, 16, 32, 60 and 60 seconds, each up to
    // a quarter earlier.
    assert!((8..=12).contains(&arrived), "{arrived} of 180 reached the server");
    let (warns, infos) = (envoy.host.lines_at(Level::Warn), envoy.host.lines_at(Level::Info));
    assert!((2..=4).contains(&warns.len()), "{warns:#?}");
    assert_eq!(infos.len(), 0, "nothing has recovered: {infos:#?}");
}

#[test]
fn thousands_of_other_clients_tokens_do_not_evict_a_rejection() {
    let mut envoy = Envoy::new(1);
    let (stream, _) = envoy.send(0, KUBE, Some(&home(1800)), None);
    respond(&mut envoy, stream, 401);
    envoy.workers[0].on_tick();
    envoy.answer(0, 1, &home(1900));
    for number in 0..5_000 {
        let other = |exp_in| token(ISSUER, "kube", &format!("user-{number}"), exp_in);
        assert_eq!(envoy.send(0, KUBE, Some(&other(-5)), None).1, Verdict::Pause);
        let call = u32::try_from(envoy.calls()).unwrap();
        envoy.answer(0, call, &other(1800));
    }
    let (_, verdict) = envoy.send(0, KUBE, Some(&home(1800)), None);
    assert_ne!(verdict, Verdict::Continue, "the server has rejected this one");
}

#[test]
fn a_response_that_does_not_judge_the_token_is_no_recovery() {
    for status in [408, 429, 500, 503] {
        let mut envoy = Envoy::new(1);
        for _ in 0..2 {
            assert!(send_to_a_server_that_rejects_all(&mut envoy, 1_900));
        }
        assert!(
            !send_to_a_server_that_rejects_all(&mut envoy, 1_900),
            "the gate is closed"
        );
        envoy.host.advance_ms(1_000);
        let (probe, _) = envoy.send(0, KUBE, Some(&home(1800)), Some("s1"));
        let call = u32::try_from(envoy.calls()).unwrap();
        envoy.answer(0, call, &home(2_000));
        assert_eq!(respond(&mut envoy, probe, status), ResponseVerdict::PassOn);
        assert_eq!(envoy.host.lines_at(Level::Info).len(), 0, "{status}");
    }
}
