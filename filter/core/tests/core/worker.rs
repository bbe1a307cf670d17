use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::CallFailure;
use tokenward_filter_core::log::Level;
use tokenward_filter_core::verdict::Verdict;
use tokenward_protocol::refusal::Refusal;

use crate::host::{Envoy, FakeHost, HostOf, ISSUER, REMOTE, home, status, token};

const KUBE: &str = "/kubernetes/mcp";

#[test]
fn callers_of_one_pair_on_one_worker_share_one_call_and_all_go_on() {
    let mut envoy = Envoy::new(1);
    for _ in 0..200 {
        assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
    }
    assert_eq!(envoy.calls(), 1);
    envoy.answer(0, 1, &home(1800));
    let resumed = envoy.host.resumed.borrow();
    assert_eq!(resumed.len(), 200);
    assert!(
        resumed
            .iter()
            .all(|(_, authorization)| *authorization == format!("Bearer {}", home(1800)))
    );
    assert_eq!(
        envoy
            .host
            .count_of("tokenward.server=kubernetes;outcome=replaced;mcp_method=none.requests_total"),
        200
    );
}

#[test]
fn the_stream_that_started_a_call_may_close_and_the_other_waiters_are_still_resumed() {
    let mut envoy = Envoy::new(1);
    let (starter, _) = envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.close(starter);
    envoy.workers[0].on_tick();
    envoy.answer(0, 1, &home(1800));
    assert_eq!((envoy.calls(), envoy.host.resumed.borrow().len()), (1, 1));
}

#[test]
fn a_call_whose_only_stream_closes_leaves_no_waiter_behind() {
    let mut envoy = Envoy::new(1);
    let (starter, _) = envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.close(starter);
    for _ in 0..100 {
        envoy.workers[0].on_tick();
    }
    assert_eq!((envoy.calls(), envoy.host.replies.borrow().len()), (1, 0));
}

#[test]
fn a_call_that_is_never_answered_ends_at_the_filters_own_deadline_even_if_the_clock_stands_still() {
    let mut envoy = Envoy::new(1);
    envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.send(0, KUBE, Some(&home(-5)), None);
    for _ in 0..60 {
        envoy.workers[0].on_tick();
    }
    {
        let replies = envoy.host.replies.borrow();
        assert_eq!(
            replies.iter().map(|(_, reply)| reply.status).collect::<Vec<_>>(),
            [503, 503]
        );
        assert!(
            replies[0].1.body.contains("control_late"),
            "{}",
            replies[0].1.body
        );
    }
    // Too late: no request gets a second response.
    envoy.answer(0, 1, &home(1800));
    assert_eq!(envoy.host.resumed.borrow().len(), 0);
}

#[test]
fn a_replacement_is_used_for_exactly_this_session_server_and_presented_token() {
    let mut envoy = Envoy::new(1);
    envoy.send(0, KUBE, Some(&home(-5)), Some("s1"));
    envoy.answer(0, 1, &home(1800));
    assert!(matches!(
        envoy.send(0, KUBE, Some(&home(-5)), Some("s1")).1,
        Verdict::ContinueWith(_)
    ));
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), Some("s2")).1, Verdict::Pause);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-6)), Some("s1")).1, Verdict::Pause);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
    assert_eq!(envoy.calls(), 4);
}

#[test]
fn a_replacement_is_not_used_past_its_margin() {
    let mut envoy = Envoy::new(1);
    envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.answer(0, 1, &home(300));
    envoy.host.advance_ms(239_999);
    assert!(matches!(
        envoy.send(0, KUBE, Some(&home(-5)), None).1,
        Verdict::ContinueWith(_)
    ));
    envoy.host.advance_ms(1);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
}

#[test]
fn a_token_near_its_expiry_is_forwarded_and_the_next_one_fetched_once() {
    let mut envoy = Envoy::new(1);
    for _ in 0..50 {
        assert_eq!(envoy.send(0, KUBE, Some(&home(100)), None).1, Verdict::Continue);
    }
    assert_eq!(envoy.calls(), 0, "the root context starts it");
    envoy.workers[0].on_tick();
    assert_eq!(envoy.calls(), 1);
    assert!(envoy.host.calls.borrow()[0].1.contains("reason=near_expiry"));
    envoy.answer(0, 1, &home(1800));
    envoy.host.advance_ms(60_000);
    assert!(matches!(
        envoy.send(0, KUBE, Some(&home(100)), None).1,
        Verdict::ContinueWith(_)
    ));
    assert_eq!(envoy.calls(), 1);
}

#[test]
fn a_prefetch_that_brings_nothing_better_is_not_repeated_with_every_request() {
    let mut envoy = Envoy::new(1);
    for answer in [Some(home(100)), None] {
        let before = envoy.calls();
        envoy.send(0, KUBE, Some(&home(100)), None);
        envoy.workers[0].on_tick();
        let call = u32::try_from(envoy.calls()).unwrap();
        assert_eq!(envoy.calls(), before + 1);
        match answer {
            Some(token) => envoy.answer(0, call, &token),
            None => envoy.refuse(0, call, Refusal::IssuerUnavailable),
        }
        for _ in 0..50 {
            assert_eq!(envoy.send(0, KUBE, Some(&home(100)), None).1, Verdict::Continue);
            envoy.workers[0].on_tick();
        }
        assert_eq!(envoy.calls(), before + 1);
        envoy.host.advance_ms(15_000);
    }
    assert_eq!(
        envoy.host.lines_at(Level::Warn),
        Vec::<String>::new(),
        "no request was refused"
    );
}

#[test]
fn a_refusal_closes_the_gate_for_all_workers_and_warns_once() {
    let mut envoy = Envoy::new(4);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    for worker in [0, 1, 2, 3, 1, 2] {
        assert_eq!(
            status(&envoy.send(worker, KUBE, Some(&home(-5)), None).1),
            Some(401)
        );
    }
    assert_eq!(envoy.calls(), 1);
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 1);
    assert_eq!(envoy.host.lines_at(Level::Debug).len(), 6);
    // A new login is a new token: it passes at once, on any worker, and the recovery is logged once.
    for worker in 0..4 {
        assert_eq!(
            envoy.send(worker, KUBE, Some(&home(1800)), None).1,
            Verdict::Continue
        );
        assert_eq!(
            envoy.send(worker, KUBE, Some(&home(1800)), None).1,
            Verdict::Continue
        );
    }
    let infos = envoy.host.lines_at(Level::Info);
    assert_eq!(infos.len(), 1);
    assert!(
        infos[0].contains("suppressed=6") && infos[0].contains("after=needs_login"),
        "{}",
        infos[0]
    );
}

#[test]
fn a_gate_past_its_closing_time_admits_one_probe_not_one_per_worker() {
    let mut envoy = Envoy::new(4);
    envoy.send(0, KUBE, Some(&home(-5)), None);
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    envoy.host.advance_ms(5_000);
    let verdicts: Vec<_> = (0..4)
        .map(|worker| envoy.send(worker, KUBE, Some(&home(-5)), None).1)
        .collect();
    assert_eq!(verdicts[0], Verdict::Pause);
    assert!(
        verdicts[1..].iter().all(|verdict| status(verdict) == Some(401)),
        "{verdicts:?}"
    );
    assert_eq!(envoy.calls(), 2);
    envoy.answer(0, 2, &home(1800));
    assert_eq!(
        envoy.send(1, KUBE, Some(&home(-5)), None).1,
        Verdict::Pause,
        "the gate is open again"
    );
}

#[test]
fn no_token_closes_the_gate_of_another() {
    let mut envoy = Envoy::new(1);
    let forged = format!("{}x", home(-5));
    envoy.send(0, KUBE, Some(&forged), None);
    envoy.refuse(0, 1, Refusal::SubjectRejected);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
}

#[test]
fn an_answer_that_does_not_fit_is_never_forwarded() {
    for (path, answer, expected) in [
        (KUBE, home(60), "answer_stale"),
        (KUBE, home(-5), "answer_stale"),
        (KUBE, token(ISSUER, "kube", "bob", 1800), "answer_unfit"),
        (KUBE, token(ISSUER, "other", "alice", 1800), "answer_unfit"),
        (KUBE, token(REMOTE, "kube", "alice", 1800), "answer_unfit"),
        ("/remote", home(1800), "answer_unfit"),
        ("/remote", token(REMOTE, "kube", "alice", 1800), "answer_unfit"),
        (KUBE, "not a token".to_owned(), "control_garbled"),
        (KUBE, format!("{}\r\nx: y", home(1800)), "control_garbled"),
    ] {
        let mut envoy = Envoy::new(1);
        envoy.send(0, path, Some(&home(-5)), None);
        envoy.answer(0, 1, &answer);
        assert_eq!(envoy.host.resumed.borrow().len(), 0, "{expected}");
        let replies = envoy.host.replies.borrow();
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].1.status, 503);
        assert!(replies[0].1.body.contains(expected), "{}", replies[0].1.body);
    }
}

#[test]
fn an_exchange_server_never_sees_the_presented_token() {
    let mut envoy = Envoy::new(1);
    assert_eq!(
        envoy.send(0, "/remote", Some(&home(1800)), None).1,
        Verdict::Pause
    );
    let exchanged = token(REMOTE, "rkube", "alice-there", 1800);
    envoy.answer(0, 1, &exchanged);
    assert_eq!(envoy.host.resumed.borrow()[0].1, format!("Bearer {exchanged}"));
    let (_, verdict) = envoy.send(0, "/remote", Some(&home(1800)), None);
    assert_eq!(
        verdict,
        Verdict::ContinueWith(format!("Bearer {exchanged}").into())
    );
}

#[test]
fn a_call_that_cannot_be_started_is_refused_at_once() {
    for (failure, refusal) in [
        (CallFailure::Unavailable, "control_unreachable"),
        (CallFailure::UnknownCluster, "filter_misconfigured"),
    ] {
        let mut envoy = Envoy::new(1);
        envoy.host.call_failure.set(Some(failure));
        let (_, verdict) = envoy.send(0, KUBE, Some(&home(-5)), None);
        let Verdict::Reply(reply) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(reply.status, 503);
        assert!(reply.body.contains(refusal), "{}", reply.body);
        assert!(
            reply
                .headers
                .iter()
                .any(|(name, value)| *name == "retry-after" && value.parse::<u64>().unwrap() > 0)
        );
        assert_eq!(
            envoy.host.replies.borrow().len(),
            0,
            "answered once, by the verdict"
        );
    }
}

#[test]
fn a_request_to_no_server_passes_untouched_and_is_counted() {
    let mut envoy = Envoy::new(1);
    assert_eq!(
        envoy.send(0, "/elsewhere", Some(&home(-5)), None).1,
        Verdict::Continue
    );
    assert_eq!(
        envoy
            .host
            .count_of("tokenward.server=-;outcome=passed;mcp_method=none.requests_total"),
        1
    );
}

#[test]
fn a_route_annotated_with_an_unknown_server_lets_nothing_pass() {
    let mut envoy = Envoy::new(1);
    *envoy.host.annotation.borrow_mut() = Some(b"unknown".to_vec());
    for _ in 0..5 {
        let sent = envoy.send(0, "/elsewhere", Some(&home(1800)), None);
        assert_eq!(status(&sent.1), Some(503));
    }
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 1);
    // Each server has a path of its own here, so a path that leads to one needs no annotation, and reads none.
    envoy.host.annotations_read.set(0);
    assert_eq!(envoy.send(0, KUBE, Some(&home(1800)), None).1, Verdict::Continue);
    assert_eq!(envoy.host.annotations_read.get(), 0);
}

#[test]
fn an_unusable_configuration_refuses_everything_and_is_logged_once_by_all_vms() {
    let host = std::rc::Rc::new(FakeHost::default());
    host.now_ms.set(crate::host::START_MS);
    let text = crate::host::CONFIG
        .replace("margin", "x")
        .replace("\"path_prefix\"", "\"path\nprefix\"");
    let workers: Vec<_> = (0..7)
        .map(|_| {
            Filter::new(
                HostOf(host.clone()),
                FilterConfig::parse(text.as_bytes(), |_| None),
                text.as_bytes(),
            )
        })
        .collect();
    let mut envoy = Envoy::new(0);
    envoy.host = host;
    envoy.workers = workers;
    let warns = envoy.host.lines_at(Level::Warn);
    assert_eq!(warns.len(), 1);
    assert!(
        warns[0].contains("filter misconfigured") && !warns[0].contains('\n'),
        "{}",
        warns[0]
    );
    for worker in 0..7 {
        let (_, verdict) = envoy.send(worker, "/elsewhere", None, None);
        let Verdict::Reply(reply) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(reply.status, 503);
        assert!(reply.body.contains("filter misconfigured"), "{}", reply.body);
    }
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 1);
}

#[test]
fn shared_data_that_fails_lets_no_stale_token_through_and_does_not_warn_without_end() {
    let mut envoy = Envoy::new(1);
    envoy.host.shared_fails.set(true);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    assert_eq!(envoy.host.replies.borrow()[0].1.status, 401);
    assert_eq!(status(&envoy.send(0, KUBE, None, None).1), Some(401));
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 0);
}

#[test]
fn a_control_cluster_that_appears_is_called_at_once() {
    let mut envoy = Envoy::new(2);
    envoy.host.call_failure.set(Some(CallFailure::UnknownCluster));
    for n in 0..20 {
        let (_, verdict) = envoy.send(n % 2, KUBE, Some(&home(-5)), None);
        assert_eq!(status(&verdict), Some(503));
    }
    let counted = |name: &str| {
        let stat = format!("tokenward.server=kubernetes;outcome={name};mcp_method=none.requests_total");
        envoy.host.count_of(&stat)
    };
    assert_eq!(counted("filter_misconfigured"), 20);
    assert_eq!(counted("gated_filter_misconfigured"), 0);
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 1);
    envoy.host.call_failure.set(None);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
}
