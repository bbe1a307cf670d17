//! A stale token waits until control has given a fresh one, and reaches nobody itself.

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;
use tokenward_wasm_host::story::{HOST, SESSION_HEADER, exp_in, millis, secs, token};
use tokenward_wasm_host::{CalloutReply, Headers};

use crate::fixtures::{assert_refused_once, assert_sound, calls_of_worker, kubernetes, lines, send_on};

#[test]
fn only_the_authorization_of_a_stale_request_changes() {
    let world = kubernetes().start();
    world
        .control()
        .answers(token(exp_in(1800)).id("next"))
        .takes_ms(30);
    let stale = world.mint(&token(exp_in(59)));
    let sent = Headers::request("POST", HOST, "/kubernetes/mcp?x=%20&y")
        .with("content-type", "application/json")
        .with("x-bytes", [0x80, 0xff])
        .with("authorization", format!("Bearer {stale}"))
        .with(SESSION_HEADER, "s1")
        .with(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let stream = world.gateway().worker(0).request_with_body(sent.clone(), body);
    assert!(stream.is_paused());
    assert_eq!(world.upstream_requests().len(), 0);
    world.advance(millis(30));
    let arrived = world.upstream_requests();
    assert_eq!(arrived.len(), 1);
    let next = arrived[0].bearer.clone().expect("a bearer");
    assert_ne!(next, stale);
    let mut expected = sent;
    expected.replace("authorization", format!("Bearer {next}"));
    assert_eq!(arrived[0].request.headers, expected);
    assert_eq!(arrived[0].request.body, body);
    assert_eq!((stream.resumes(), stream.local_replies()), (1, 0));
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].subject_token.as_str(), calls[0].reason),
        (stale.as_str(), Reason::Stale)
    );
    assert_eq!(
        calls[0].callout.headers.all("traceparent"),
        expected.all("traceparent")
    );
    assert_eq!(lines(&world), (0, 0, 0));
    assert_sound(&world);
}

#[test]
fn the_replacement_is_used_again_until_it_is_near_its_own_end() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800)));
    let stale = world.mint(&token(exp_in(-5)));
    for round in 0..55 {
        let sent = send_on(&world, 0, &stale);
        world.advance(secs(30));
        assert!(sent.is_forwarded());
        assert_eq!(world.upstream_requests().len(), round + 1);
    }
    assert_eq!(world.control().calls().len(), 1);
    assert_eq!(
        world.counted(&["outcome=replaced_from_cache", "requests_total"]),
        54
    );
    assert_sound(&world);
}

#[test]
fn fifty_requests_with_one_stale_token_on_one_worker_share_one_call() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(500);
    let stale = world.mint(&token(exp_in(-5)));
    let sent: Vec<_> = (0..50)
        .map(|_| {
            world.advance(millis(5));
            send_on(&world, 0, &stale)
        })
        .collect();
    assert!(sent.iter().all(|sent| sent.is_paused()));
    world.advance(secs(1));
    for sent in &sent {
        assert!(sent.is_forwarded());
        assert_eq!((sent.stream().resumes(), sent.stream().local_replies()), (1, 0));
    }
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 50)
    );
    assert_eq!(world.counted(&["outcome=replaced", "requests_total"]), 50);
    assert_sound(&world);
}

#[test]
fn each_of_four_workers_asks_at_most_once() {
    let world = kubernetes().workers(4).start();
    world.control().answers(token(exp_in(1800))).takes_ms(500);
    let stale = world.mint(&token(exp_in(-5)));
    let sent: Vec<_> = (0..100).map(|n| send_on(&world, n % 4, &stale)).collect();
    world.advance(secs(1));
    assert!(sent.iter().all(|sent| sent.is_forwarded()));
    assert!(sent.iter().all(|sent| sent.stream().resumes() == 1));
    for worker in 0..4 {
        assert_eq!(calls_of_worker(&world, worker), 1);
    }
    assert_eq!(world.upstream_requests().len(), 100);
    assert_sound(&world);
}

#[test]
fn two_sessions_two_servers_or_two_tokens_never_share_an_answer() {
    let world = kubernetes()
        .server(tokenward_wasm_host::story::forward("prometheus"))
        .start();
    world.control().answers(token(exp_in(1800))).takes_ms(100);
    let one = world.mint(&token(exp_in(-5)).id("one"));
    let other = world.mint(&token(exp_in(-5)).id("other"));
    let asked = [
        ("kubernetes", "s1", &one),
        ("kubernetes", "s2", &one),
        ("prometheus", "s1", &one),
        ("kubernetes", "s1", &other),
    ];
    for (server, session, presented) in asked {
        assert!(
            world
                .request(server)
                .bearer(presented)
                .session(session)
                .send()
                .is_paused()
        );
    }
    world.advance(secs(1));
    let calls = world.control().calls();
    let said: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.server.as_str(),
                call.session.as_deref().unwrap(),
                &call.subject_token,
            )
        })
        .collect();
    assert_eq!(said, asked);
    assert_eq!(world.upstream_requests().len(), 4);
    assert_sound(&world);
}

#[test]
fn a_client_that_leaves_in_the_pause_gets_nothing_and_breaks_nothing() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(500);
    let stale = world.mint(&token(exp_in(-5)));
    let leaver = send_on(&world, 0, &stale);
    world.advance(millis(100));
    leaver.disconnect();
    world.advance(secs(10));
    assert_eq!(
        (leaver.stream().resumes(), leaver.stream().local_replies()),
        (0, 0)
    );
    assert_eq!(
        (world.upstream_requests().len(), world.control().calls().len()),
        (0, 1)
    );
    assert_eq!(lines(&world), (0, 0, 0));
    // The answer was not lost with the client: it is kept for the next request.
    assert!(send_on(&world, 0, &stale).is_forwarded());
    assert_eq!(world.control().calls().len(), 1);
    assert_sound(&world);
}

#[test]
fn others_are_still_served_when_the_client_that_started_the_call_leaves() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(500);
    let stale = world.mint(&token(exp_in(-5)));
    let starter = send_on(&world, 0, &stale);
    let others: Vec<_> = (0..5).map(|_| send_on(&world, 0, &stale)).collect();
    world.advance(millis(200));
    starter.disconnect();
    assert!(others.iter().all(|sent| sent.is_paused()));
    world.advance(secs(2));
    for sent in &others {
        assert!(sent.is_forwarded());
        assert_eq!((sent.stream().resumes(), sent.stream().local_replies()), (1, 0));
    }
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 5)
    );
    assert_sound(&world);
}

#[test]
fn waiters_that_leave_one_by_one_leave_nothing_behind() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(4_000);
    let stale = world.mint(&token(exp_in(-5)));
    let sent: Vec<_> = (0..5).map(|_| send_on(&world, 0, &stale)).collect();
    for sent in &sent {
        world.advance(millis(300));
        sent.disconnect();
    }
    world.advance(secs(20));
    assert!(sent.iter().all(|sent| sent.stream().resumes() == 0));
    assert_eq!((world.upstream_requests().len(), world.warns().len()), (0, 0));
    assert_eq!(world.control().calls().len(), 1);
    assert_sound(&world);
}

#[test]
fn a_call_that_is_never_answered_ends_at_the_filters_own_deadline_and_a_late_answer_changes_nothing() {
    let world = kubernetes().start();
    let stale = world.mint(&token(exp_in(-5)));
    world.control().replies(CalloutReply::Never);
    let lost = send_on(&world, 0, &stale);
    world.advance(millis(5_400));
    assert!(
        lost.is_paused(),
        "5 s for the call and half a second for its answer"
    );
    world.advance(millis(400));
    assert_refused_once(&lost, 503, "control_late");
    world.advance(secs(60));
    assert_eq!(
        (lost.stream().local_replies(), world.control().calls().len()),
        (1, 1)
    );
    assert_eq!((world.upstream_requests().len(), world.warns().len()), (0, 1));
    assert_sound(&world);
}

#[test]
fn a_clock_that_steps_back_in_the_pause_does_not_lengthen_it() {
    let world = kubernetes().start();
    let stale = world.mint(&token(exp_in(-5)));
    world.control().replies(CalloutReply::Never);
    let sent = send_on(&world, 0, &stale);
    world.gateway().step_wall_clock_ms(-3_600_000);
    world.advance(millis(5_800));
    assert_refused_once(&sent, 503, "control_late");
    assert_sound(&world);
}

#[test]
fn nobody_gets_two_answers_when_refusal_deadline_and_departure_fall_together() {
    for leaves_after_ms in [0, 4_999, 5_000, 5_400, 5_500, 5_600, 5_700] {
        let world = kubernetes().start();
        world.control().refuses(Refusal::NeedsLogin).takes_ms(4_999);
        let stale = world.mint(&token(exp_in(-5)));
        let sent: Vec<_> = (0..3).map(|_| send_on(&world, 0, &stale)).collect();
        world.advance(millis(leaves_after_ms));
        sent[0].disconnect();
        world.advance(secs(20));
        for sent in &sent {
            assert!(sent.stream().local_replies() <= 1);
            assert_eq!(sent.stream().resumes(), 0);
            assert!(sent.stream().is_deleted());
        }
        assert!(sent[1..].iter().all(|sent| sent.stream().local_replies() == 1));
        assert_eq!(world.upstream_requests().len(), 0);
        assert_sound(&world);
    }
}

#[test]
fn ten_thousand_may_wait_on_a_worker_and_the_next_is_told_to_come_back_soon() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(4_000);
    let stale = world.mint(&token(exp_in(-5)));
    let waiting: Vec<_> = (0..10_000).map(|_| send_on(&world, 0, &stale)).collect();
    let one_too_many = send_on(&world, 0, &stale);
    assert_refused_once(&one_too_many, 503, "busy");
    assert_eq!(one_too_many.header("retry-after").as_deref(), Some("1"));
    world.advance(secs(5));
    assert!(
        waiting
            .iter()
            .all(|sent| sent.is_forwarded() && sent.stream().resumes() == 1)
    );
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 10_000)
    );
    assert_eq!(world.warns().len(), 1, "the worker is busy, whatever the pair");
    assert_sound(&world);
}
