//! A token near its expiry is forwarded at once, and the next one is fetched once in the background.

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;
use tokenward_wasm_host::CalloutReply;
use tokenward_wasm_host::story::{exp_in, millis, secs, token};

use crate::fixtures::{assert_refused_once, assert_sound, kubernetes, lines, send_on};

#[test]
fn a_hundred_requests_near_expiry_pass_at_once_and_share_one_background_call() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(400);
    let presented = world.mint(&token(exp_in(90)));
    for _ in 0..100 {
        let sent = send_on(&world, 0, &presented);
        assert_eq!(sent.forwarded_bearer().as_deref(), Some(presented.as_str()));
        assert_eq!(sent.stream().resumes(), 0);
        world.advance(millis(20));
    }
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].reason, calls[0].session.as_deref()),
        (Reason::NearExpiry, Some("s1"))
    );
    assert_eq!(calls[0].subject_token, presented);
    assert_eq!(world.upstream_requests().len(), 100);
    assert_eq!((world.warns().len(), world.infos().len()), (0, 0));
    assert_eq!(world.counted(&["reason=near_expiry", "control_calls_total"]), 1);
    assert_sound(&world);
}

#[test]
fn the_fetched_token_takes_over_at_the_expiry_without_a_pause() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800)).id("next"));
    let presented = world.mint(&token(exp_in(90)));
    assert!(send_on(&world, 0, &presented).is_forwarded());
    world.advance(secs(1));
    assert_eq!(world.control().calls().len(), 1);
    world.control().is_silent();
    // 29 s left until the margin: still the presented one; afterwards the fetched one.
    world.advance(secs(28));
    let before = send_on(&world, 0, &presented);
    assert_eq!(before.forwarded_bearer().as_deref(), Some(presented.as_str()));
    world.advance(secs(1));
    let after = send_on(&world, 0, &presented);
    assert!(after.is_forwarded());
    assert_ne!(after.forwarded_bearer().as_deref(), Some(presented.as_str()));
    assert_eq!((after.stream().resumes(), after.stream().local_replies()), (0, 0));
    assert_eq!(world.control().calls().len(), 1);
    assert_eq!(
        world.counted(&["outcome=replaced_from_cache", "requests_total"]),
        1
    );
    assert_sound(&world);
}

#[test]
fn a_fetch_that_fails_is_quiet_harms_no_request_and_is_not_repeated_at_once() {
    for refusal in [Refusal::IssuerUnavailable, Refusal::NeedsLogin] {
        let world = kubernetes().start();
        world.control().refuses_for(refusal, 1);
        let presented = world.mint(&token(exp_in(110)));
        // 4.5 s of ten requests a second; a failed fetch is not tried again within 5 s.
        for _ in 0..45 {
            assert!(send_on(&world, 0, &presented).is_forwarded());
            world.advance(millis(100));
        }
        assert_eq!(world.control().calls().len(), 1, "{refusal:?}");
        assert_eq!(world.upstream_requests().len(), 45);
        assert_eq!(lines(&world), (0, 0, 1), "one DEBUG line reports it");
        world.advance(secs(60));
        world.control().answers(token(exp_in(1800)));
        assert!(
            send_on(&world, 0, &presented).is_forwarded(),
            "no gate was closed"
        );
        assert_sound(&world);
    }
}

#[test]
fn a_fetch_that_failed_for_a_passing_reason_is_tried_again_and_succeeds_before_the_expiry() {
    let world = kubernetes().start();
    world
        .control()
        .answers(token(exp_in(1800)))
        .replies_once(CalloutReply::ConnectionRefused);
    let presented = world.mint(&token(exp_in(110)));
    for _ in 0..60 {
        assert!(send_on(&world, 0, &presented).is_forwarded());
        world.advance(secs(1));
    }
    assert_eq!(world.control().calls().len(), 2);
    assert_eq!(world.upstream_requests().len(), 60);
    assert_eq!(
        (world.warns().len(), world.counted(&["control_answers_total"])),
        (0, 2)
    );
    assert!(world.counted(&["outcome=replaced_from_cache", "requests_total"]) > 0);
    assert_sound(&world);
}

#[test]
fn a_client_that_leaves_before_the_answer_does_not_lose_the_fetched_token() {
    let world = kubernetes().upstream_stays_open().start();
    world.control().answers(token(exp_in(1800))).takes_ms(2_000);
    let presented = world.mint(&token(exp_in(90)));
    let sent = send_on(&world, 0, &presented);
    assert!(sent.is_forwarded());
    sent.disconnect();
    assert!(sent.stream().is_deleted());
    world.advance(secs(60));
    assert_eq!(world.control().calls().len(), 1);
    let after = send_on(&world, 0, &presented);
    assert!(after.is_forwarded());
    assert_ne!(after.forwarded_bearer().as_deref(), Some(presented.as_str()));
    assert_eq!((world.control().calls().len(), after.stream().resumes()), (1, 0));
    after.disconnect();
    assert_sound(&world);
}

#[test]
fn a_request_that_comes_stale_while_the_fetch_is_under_way_waits_for_it_instead_of_calling_again() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(3_000);
    let presented = world.mint(&token(exp_in(61)));
    assert!(send_on(&world, 0, &presented).is_forwarded());
    world.advance(millis(1_500));
    let stale = send_on(&world, 0, &presented);
    assert!(stale.is_paused());
    world.advance(secs(3));
    assert!(stale.is_forwarded());
    assert_eq!((stale.stream().resumes(), stale.stream().local_replies()), (1, 0));
    assert_eq!(world.control().calls().len(), 1);
    assert_sound(&world);
}

#[test]
fn tokens_that_are_always_near_expiry_cause_no_storm_of_fetches() {
    let world = kubernetes().start();
    // The issuer's tokens live 90 s, so every token is within refresh_ahead (120 s) all its life.
    world.control().answers(token(exp_in(90)));
    let presented = world.mint(&token(exp_in(90)));
    for _ in 0..1_000 {
        assert!(send_on(&world, 0, &presented).is_forwarded());
        world.advance(millis(50));
    }
    // 50 s; after each answer with 90 s of life the next fetch waits 10 s ((90 − 60) / 3), so at most 6.
    let calls = world.control().calls().len();
    assert!((2..=6).contains(&calls), "{calls} calls");
    assert_eq!((world.upstream_requests().len(), world.warns().len()), (1_000, 0));
    assert_sound(&world);
}

#[test]
fn a_request_that_waits_for_a_fetch_that_fails_is_refused_and_warned_of_like_any_other() {
    let world = kubernetes().start();
    world.control().refuses(Refusal::NeedsLogin).takes_ms(3_000);
    let presented = world.mint(&token(exp_in(61)));
    assert!(send_on(&world, 0, &presented).is_forwarded());
    world.advance(millis(1_500));
    let waiters = [send_on(&world, 0, &presented), send_on(&world, 0, &presented)];
    assert!(waiters.iter().all(|sent| sent.is_paused()));
    world.advance(secs(3));
    for sent in &waiters {
        assert_refused_once(sent, 401, "needs_login");
    }
    assert_eq!((world.control().calls().len(), world.warns().len()), (1, 1));
    assert_eq!(world.upstream_requests().len(), 1);
    assert_sound(&world);
}
