//! What went wrong once must not go wrong again: each story is named after an incident.

use std::collections::BTreeMap;

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::story::{
    FilterWorld, FilterWorldBuilder, exchange, exchanged_token, exp_in, mins, no_exp, secs, token,
};

use crate::fixtures::{assert_refused_once, assert_sound, kubernetes, lines, number_in, send_on};

const PAIRS: usize = 17;

/// One local and sixteen remote servers.
fn seventeen_servers() -> FilterWorldBuilder {
    (1..=16)
        .map(|n| exchange(&format!("remote-{n}")))
        .fold(kubernetes(), FilterWorldBuilder::server)
}

fn servers() -> Vec<String> {
    let remotes = (1..=16).map(|n| format!("remote-{n}"));
    std::iter::once("kubernetes".to_owned()).chain(remotes).collect()
}

/// Listeners that retry each second for two minutes on every server, with the same stale token.
fn listeners_retry(world: &FilterWorld, stale: &str) {
    for second in 0..120 {
        for (n, server) in servers().iter().enumerate() {
            let sent = world
                .request(server)
                .get()
                .bearer(stale)
                .session("s1")
                .on_worker((second + n) % 4)
                .send();
            assert!(sent.is_refused(), "{server} at {second} s");
            assert_eq!((sent.stream().local_replies(), sent.stream().resumes()), (1, 0));
        }
        world.advance(secs(1));
    }
}

fn per_server(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn calls_by_server(world: &FilterWorld) -> BTreeMap<String, usize> {
    per_server(world.control().calls().into_iter().map(|call| call.server))
}

fn warns_by_server(world: &FilterWorld) -> BTreeMap<String, usize> {
    let server_of = |line: String| {
        let (_, rest) = line.split_once(" server=").expect("a server");
        rest.split(' ').next().unwrap_or_default().to_owned()
    };
    per_server(world.warns().into_iter().map(server_of))
}

/// The most calls that one pair can cause: the gate closes for `first_s` seconds, doubling to `longest_s`, each time
/// with a quarter off, and the listener comes each full second.
fn most_calls(first_s: u64, longest_s: u64) -> usize {
    let (mut at_ms, mut closed_ms, mut calls) = (0_u64, first_s * 1_000, 0);
    while at_ms < 120_000 {
        calls += 1;
        at_ms = (at_ms + closed_ms - closed_ms / 4).next_multiple_of(1_000);
        closed_ms = (closed_ms * 2).min(longest_s * 1_000);
    }
    calls
}

fn assert_storm_was_stopped(world: &FilterWorld, most_calls_each: usize) {
    assert_eq!(world.upstream_requests().len(), 0);
    let calls = calls_by_server(world);
    assert_eq!(calls.len(), PAIRS);
    for (server, calls) in &calls {
        assert!((6..=most_calls_each).contains(calls), "{server}: {calls} calls");
    }
    assert!(world.control().calls().len() <= PAIRS * most_calls_each);
    let warns = warns_by_server(world);
    assert_eq!(warns.len(), PAIRS);
    // At 0 s, and once more after the minute.
    assert!(warns.values().all(|warns| *warns == 2), "{warns:?}");
    let warned = world.warns().len();
    assert_eq!(lines(world), (warned, 0, PAIRS * 120 - warned));
    assert_sound(world);
}

#[test]
fn a_listener_that_retries_each_second_for_two_minutes_on_one_local_and_sixteen_exchange_servers() {
    let world = seventeen_servers().workers(4).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    listeners_retry(&world, &stale);
    // The bound: closings of 5, 10, 20, 30, 30 … s with a quarter off are 3.75, 7.5, 15, 22.5, 22.5 … s, so the
    // earliest calls of a pair are at 0, 4, 12, 27, 50, 73, 96 and 119 s: 8, and 8 × 17 = 136 for all pairs,
    // in place of 2,040 requests.
    assert_eq!(most_calls(5, 30), 8);
    assert_storm_was_stopped(&world, 8);
}

#[test]
fn a_listener_that_retries_each_second_for_two_minutes_while_the_issuers_are_down() {
    let world = seventeen_servers().workers(4).start();
    world.control().refuses_for(Refusal::IssuerUnavailable, 0);
    let stale = world.mint(&token(exp_in(-5)));
    listeners_retry(&world, &stale);
    // The bound: closings of 1, 2, 4 … 32, 60, 60 s with a quarter off are 0.75, 1.5, 3, 6, 12, 24, 45 s, so the
    // earliest calls of a pair are at 0, 1, 3, 6, 12, 24, 48 and 93 s: 8, and 8 × 17 = 136 for all pairs.
    assert_eq!(most_calls(1, 60), 8);
    assert_storm_was_stopped(&world, 8);
}

#[test]
fn a_listener_that_retries_each_second_for_two_minutes_while_control_is_down() {
    let world = seventeen_servers().workers(4).start();
    world.control().is_down();
    let stale = world.mint(&token(exp_in(-5)));
    listeners_retry(&world, &stale);
    assert_storm_was_stopped(&world, most_calls(1, 60));
}

#[test]
fn a_token_stored_without_an_expiry_is_never_served() {
    let world = seventeen_servers().start();
    world.control().answers(token(no_exp()));
    let without = world.mint(&token(no_exp()));
    let stale = world.mint(&token(exp_in(-5)));
    for server in servers() {
        let sent = world.request(&server).bearer(&without).session("s1").send();
        assert_refused_once(&sent, 401, "malformed_bearer");
        let given = world.request(&server).bearer(&stale).session("s1").send();
        assert_refused_once(&given, 503, "control_garbled");
    }
    assert_eq!(
        (world.upstream_requests().len(), world.control().calls().len()),
        (0, PAIRS)
    );
    assert_sound(&world);
}

#[test]
fn idle_past_expiry_then_one_request_succeeds() {
    let world = kubernetes().start();
    world
        .control()
        .answers(token(exp_in(1800)).id("refreshed"))
        .takes_ms(120);
    let presented = world.mint(&token(exp_in(1800)));
    assert!(send_on(&world, 0, &presented).is_forwarded());
    world.advance(mins(45));
    assert_eq!(
        world.control().calls().len(),
        0,
        "nobody asks for an idle session"
    );
    let sent = send_on(&world, 0, &presented);
    world.advance(secs(1));
    assert_eq!((sent.status(), sent.stream().resumes()), (Some(200), 1));
    let arrived = world.upstream_requests();
    assert_eq!((arrived.len(), world.control().calls().len()), (2, 1));
    let left_s = arrived[1].exp_seconds.expect("exp") - arrived[1].request.at_ms / 1000;
    assert!(left_s > 1_700, "{left_s} s left");
    assert_eq!(lines(&world), (0, 0, 0));
    assert_sound(&world);
}

#[test]
fn a_session_whose_grant_is_dead_gets_no_connection_to_any_server() {
    let world = seventeen_servers().workers(4).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-1_800)));
    for server in servers() {
        for worker in 0..4 {
            let sent = world
                .request(&server)
                .bearer(&stale)
                .session("s1")
                .on_worker(worker)
                .send();
            assert_refused_once(&sent, 401, "needs_login");
        }
    }
    assert_eq!(
        (world.upstream_requests().len(), world.control().calls().len()),
        (0, PAIRS)
    );
    assert_eq!(lines(&world), (PAIRS, 0, PAIRS * 3));
    // A later login works on the very next request, everywhere.
    let fresh = world.mint(&token(exp_in(1800)));
    world.control().answers(exchanged_token(exp_in(1800)));
    for server in servers() {
        let sent = world
            .request(&server)
            .bearer(&fresh)
            .session("s1")
            .on_worker(2)
            .send();
        assert!(sent.is_forwarded(), "{server}");
    }
    let infos = world.infos();
    assert_eq!(infos.len(), PAIRS);
    assert!(infos.iter().all(|line| number_in(line, "suppressed") == 3));
    assert_eq!(
        (world.upstream_requests().len(), world.control().calls().len()),
        (PAIRS, PAIRS + 16)
    );
    assert_sound(&world);
}

#[test]
fn exchanged_tokens_of_sixteen_clusters_are_renewed_and_cause_no_error_when_they_end() {
    let world = seventeen_servers().start();
    world.control().answers(exchanged_token(exp_in(1_800)));
    let fresh = world.mint(&token(exp_in(36_000)));
    // 40 minutes of a request every 10 s at each: past the end of the first exchanged tokens.
    for _ in 0..240 {
        for server in servers().iter().skip(1) {
            let sent = world.request(server).bearer(&fresh).session("s1").send();
            assert!(sent.is_forwarded(), "{server}");
        }
        world.advance(secs(10));
    }
    // Each: the exchange, and one renewal between 1,680 and 1,740 s.
    assert_eq!(world.control().calls().len(), 16 * 2);
    assert_eq!(world.upstream_requests().len(), 16 * 240);
    assert_eq!((world.warns().len(), world.infos().len()), (0, 0));
    assert_sound(&world);
}
