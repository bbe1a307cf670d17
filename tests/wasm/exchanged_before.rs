//! An aggregator that exchanges by itself presents a token of the server's own issuer: it is used like a forwarded one.

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;
use tokenward_wasm_host::story::{
    FilterWorld, FilterWorldBuilder, ISSUER, Sent, exchange, exchanged_token, exp_in, millis, secs, token,
};
use tokenward_wasm_host::{Headers, UpstreamReply};

use crate::fixtures::{assert_refused_once, assert_sound, lines, remote};

/// Such an aggregator sends no session handle.
fn send(world: &FilterWorld, presented: &str) -> Sent {
    world.request("remote-1").bearer(presented).send()
}

#[test]
fn a_fresh_one_is_forwarded_as_it_is_and_causes_no_call() {
    let world = remote().start();
    let presented = world.mint(&exchanged_token(exp_in(1800)));
    for _ in 0..50 {
        let sent = send(&world, &presented);
        assert_eq!(sent.forwarded_bearer().as_deref(), Some(presented.as_str()));
        assert_eq!(sent.stream().resumes(), 0);
        world.advance(secs(1));
    }
    assert_eq!(
        (world.upstream_requests().len(), world.control().calls().len()),
        (50, 0)
    );
    assert_eq!(world.counted(&["outcome=forwarded;", "requests_total"]), 50);
    assert_eq!(lines(&world), (0, 0, 0));
    assert_sound(&world);
}

#[test]
fn one_near_its_expiry_is_fetched_ahead_once_and_its_successor_takes_over_without_a_pause() {
    let world = remote().start();
    world.control().answers(exchanged_token(exp_in(1800)));
    let presented = world.mint(&exchanged_token(exp_in(90)));
    for _ in 0..120 {
        let sent = send(&world, &presented);
        assert!(sent.is_forwarded());
        assert_eq!(sent.stream().resumes(), 0, "it waited");
        world.advance(secs(1));
    }
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (
            calls[0].reason,
            &calls[0].subject_token,
            calls[0].session.as_deref()
        ),
        (Reason::NearExpiry, &presented, None)
    );
    let arrived = world.upstream_requests();
    let as_it_was = arrived
        .iter()
        .filter(|request| request.bearer.as_deref() == Some(&*presented));
    assert_eq!((arrived.len(), as_it_was.count()), (120, 30));
    assert_sound(&world);
}

#[test]
fn a_stale_one_is_replaced_by_control_in_one_call_and_never_reaches_the_server() {
    let world = remote().start();
    world
        .control()
        .answers(exchanged_token(exp_in(1800)))
        .takes_ms(80);
    let stale = world.mint(&exchanged_token(exp_in(-5)));
    let waiting: Vec<Sent> = (0..20).map(|_| send(&world, &stale)).collect();
    assert!(waiting.iter().all(Sent::is_paused));
    world.advance(millis(100));
    assert!(waiting.iter().all(Sent::is_forwarded));
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].reason, &calls[0].subject_token),
        (Reason::Stale, &stale)
    );
    assert_eq!(world.stale_arrivals().len(), 0);
    assert_eq!(world.upstream_requests().len(), 20);
    assert_sound(&world);
}

/// The listener's header stays as it is: control does not know whose token it was.
#[test]
fn a_stale_one_that_control_does_not_know_is_refused_quietly_and_from_memory() {
    let world = remote().start();
    world.control().refuses(Refusal::TokenExpired);
    let stale = world.mint(&exchanged_token(exp_in(-5)));
    for _ in 0..60 {
        let sent = world.request("remote-1").get().bearer(&stale).send();
        assert_refused_once(&sent, 401, "token_expired");
        world.advance(secs(1));
    }
    assert_eq!((world.upstream_requests().len(), world.warns().len()), (0, 1));
    assert!(
        world.control().calls().len() <= 5,
        "{}",
        world.control().calls().len()
    );
    // The next login's token opens the way at once.
    let fresh = world.mint(&exchanged_token(exp_in(1800)));
    assert!(send(&world, &fresh).is_forwarded());
    assert_sound(&world);
}

#[test]
fn one_that_the_server_rejects_is_replaced_like_a_forwarded_one() {
    let world = remote().start();
    world.control().answers(exchanged_token(exp_in(1800)).id("new"));
    let presented = world.mint(&exchanged_token(exp_in(1800)));
    world.upstream_replies(UpstreamReply::StayOpen);
    let sent = send(&world, &presented);
    sent.respond(401, &Headers::new(), "");
    assert_eq!(sent.status(), Some(503));
    world.advance(millis(200));
    let calls = world.control().calls();
    assert_eq!((calls.len(), calls[0].reason), (1, Reason::Rejected));
    let next = send(&world, &presented);
    assert!(next.is_forwarded());
    assert_ne!(next.forwarded_bearer().as_deref(), Some(presented.as_str()));
    next.respond(200, &Headers::new(), "");
    assert_sound(&world);
}

/// An unregistered user's token cannot be replaced. Usually the server has only not seen the issuer's new key yet.
#[test]
fn one_that_the_server_rejects_and_control_cannot_replace_is_tried_again_twice_a_minute() {
    let world = remote().start();
    world.control().refuses(Refusal::NotRegistered);
    let presented = world.mint(&exchanged_token(exp_in(1800)));
    let rejects = |status| UpstreamReply::Respond {
        status,
        headers: Headers::new(),
        body: Vec::new(),
    };
    world.upstream_replies(rejects(401));
    for _ in 0..120 {
        assert_eq!(send(&world, &presented).status(), Some(503));
        world.advance(secs(1));
    }
    let tries = world.upstream_requests().len();
    assert!((4..=5).contains(&tries), "{tries} tries");
    assert!(world.warns().len() <= 2, "{:#?}", world.warns());
    let calls = world.control().calls().len();
    assert!(calls <= 25, "{calls} calls");
    world.upstream_replies(rejects(200));
    let failed = (0..60).filter(|_| {
        let sent = send(&world, &presented);
        world.advance(secs(1));
        sent.status() != Some(200)
    });
    let failed = failed.count();
    assert!(failed <= 30, "{failed} s until it works again");
    assert_sound(&world);
}

#[test]
fn its_replacement_must_be_of_the_servers_issuer_and_of_the_same_subject() {
    for (what, answer) in [
        (
            "another user's",
            exchanged_token(exp_in(1800)).subject("another-user"),
        ),
        ("the home issuer's", token(exp_in(1800))),
    ] {
        let world = remote().start();
        world.control().answers(answer);
        let stale = world.mint(&exchanged_token(exp_in(-5)));
        assert_refused_once(&send(&world, &stale), 503, "answer_unfit");
        assert_eq!(world.upstream_requests().len(), 0, "{what}");
    }
}

#[test]
fn one_without_the_servers_audience_is_refused_before_control_is_called() {
    let world = remote().start();
    let presented = world.mint(&exchanged_token(exp_in(1800)).audiences(&["elsewhere"]));
    assert_refused_once(&send(&world, &presented), 401, "wrong_audience");
    assert_eq!(
        (world.upstream_requests().len(), world.control().calls().len()),
        (0, 0)
    );
}

/// Both kinds of tokens at one server are two users' or two aggregators': each has its own pair and its own fate.
#[test]
fn a_home_token_at_the_same_server_is_exchanged_as_before() {
    let world = remote().start();
    world.control().answers(exchanged_token(exp_in(1800)).id("made"));
    let (home, own) = (
        world.mint(&token(exp_in(1800))),
        world.mint(&exchanged_token(exp_in(1800))),
    );
    for _ in 0..5 {
        assert_eq!(send(&world, &own).forwarded_bearer().as_deref(), Some(&*own));
        let exchanged = send(&world, &home);
        assert!(exchanged.is_forwarded());
        assert!(![&home, &own].contains(&&exchanged.forwarded_bearer().expect("a bearer")));
    }
    assert_eq!(world.control().calls().len(), 1);
    assert_sound(&world);
}

#[test]
fn where_the_aggregator_and_the_server_have_one_issuer_each_token_is_exchanged() {
    let one_issuer: FilterWorldBuilder =
        FilterWorld::builder().server(exchange("remote-1").issuer(ISSUER).audience("remote"));
    let world = one_issuer.start();
    world
        .control()
        .answers(token(exp_in(1800)).audiences(&["remote"]));
    let presented = world.mint(&token(exp_in(1800)));
    let sent = send(&world, &presented);
    assert!(sent.is_forwarded());
    assert_ne!(sent.forwarded_bearer().as_deref(), Some(presented.as_str()));
    assert_eq!(world.control().calls().len(), 1);
    assert_sound(&world);
}
