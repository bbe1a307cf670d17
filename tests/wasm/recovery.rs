//! A pair that works again says so once, with the number of refusals that nobody read.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::LogLevel;
use tokenward_wasm_host::story::{SESSION_HEADER, exchange, exp_in, millis, secs, token};

use crate::fixtures::{assert_sound, kubernetes, lines, moments_ms, number_in, remote, send_on};

#[test]
fn a_new_login_on_another_worker_is_told_once_for_the_whole_envoy() {
    let world = kubernetes().workers(4).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for n in 0..20 {
        assert_eq!(send_on(&world, n % 2, &stale).status(), Some(401));
    }
    let fresh = world.mint(&token(exp_in(1800)));
    for n in 0..40 {
        let sent = send_on(&world, 3 - n % 4, &fresh);
        assert_eq!(sent.forwarded_bearer().as_deref(), Some(fresh.as_str()));
    }
    assert_eq!(lines(&world), (1, 1, 19));
    let info = &world.infos()[0];
    assert_eq!(number_in(info, "suppressed"), 19);
    assert!(info.starts_with("recovered server=kubernetes pair="), "{info}");
    assert!(info.contains(" after=needs_login "), "{info}");
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 40)
    );
    assert_sound(&world);
}

#[test]
fn a_probe_that_gets_a_token_recovers_the_pair_on_every_worker() {
    let world = kubernetes().workers(4).start();
    world.control().refuses(Refusal::IssuerUnavailable);
    let stale = world.mint(&token(exp_in(-5)));
    for n in 0..8 {
        assert_eq!(send_on(&world, n % 4, &stale).status(), Some(503));
    }
    world.control().answers(token(exp_in(1800)));
    world.advance(secs(6));
    for n in 0..40 {
        assert!(send_on(&world, n % 4, &stale).is_forwarded());
    }
    assert_eq!(lines(&world), (1, 1, 7));
    assert_eq!(number_in(&world.infos()[0], "suppressed"), 7);
    // One refused, then one for each worker's own cache.
    assert_eq!(world.control().calls().len(), 5);
    assert_sound(&world);
}

#[test]
fn many_waiters_of_one_probe_are_one_recovery() {
    let world = remote().start();
    world.control().refuses_once(Refusal::ExchangeUnavailable);
    let presented = world.mint(&token(exp_in(1800)));
    let send = || world.request("remote-1").bearer(&presented).session("s1").send();
    assert_eq!(send().status(), Some(503));
    world.advance(secs(6));
    world
        .control()
        .answers(tokenward_wasm_host::story::exchanged_token(exp_in(1800)));
    for _ in 0..30 {
        assert!(send().is_forwarded());
    }
    assert_eq!(lines(&world), (1, 1, 0));
    assert_eq!(number_in(&world.infos()[0], "suppressed"), 0);
    assert_eq!(world.control().calls().len(), 2);
}

#[test]
fn a_pair_that_never_failed_recovers_from_nothing() {
    let world = kubernetes().workers(2).start();
    world.control().answers(token(exp_in(1800)));
    let stale = world.mint(&token(exp_in(-5)));
    let fresh = world.mint(&token(exp_in(1800)));
    for worker in [0, 1, 0, 1] {
        assert!(send_on(&world, worker, &stale).is_forwarded());
        assert!(send_on(&world, worker, &fresh).is_forwarded());
    }
    assert_eq!(lines(&world), (0, 0, 0));
    // The pair's slot is empty again.
    let memory = world.gateway().shared_data();
    let slots: Vec<_> = memory
        .keys()
        .filter(|key| key.starts_with(b"tokenward/pairs/"))
        .collect();
    assert!(
        slots
            .iter()
            .all(|key| memory.get(key).is_some_and(|(bytes, _)| bytes.len() == 1))
    );
}

#[test]
fn one_sessions_recovery_is_not_anothers() {
    let world = kubernetes().server(exchange("remote-1")).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for (server, session) in [("kubernetes", "s1"), ("kubernetes", "s2"), ("remote-1", "s1")] {
        let refused = world
            .request(server)
            .bearer(&stale)
            .header(SESSION_HEADER, session);
        assert_eq!(refused.send().status(), Some(401));
    }
    assert!(send_on(&world, 0, &world.mint(&token(exp_in(1800)))).is_forwarded());
    assert_eq!((world.warns().len(), world.infos().len()), (3, 1));
    assert!(world.infos()[0].contains("server=kubernetes "));
}

#[test]
fn a_pair_that_flaps_writes_no_more_than_a_warning_and_a_recovery_a_minute() {
    let world = kubernetes().workers(2).start();
    let mut refusals = 0;
    // Ten minutes; each second one new token fails and one new token works.
    for second in 0..600_i64 {
        world.control().refuses(Refusal::NeedsLogin);
        let bad = world.mint(&token(exp_in(-5)).id(&format!("bad-{second}")));
        assert_eq!(send_on(&world, 0, &bad).status(), Some(401));
        refusals += 1;
        world.advance(millis(500));
        let good = world.mint(&token(exp_in(1800)).id(&format!("good-{second}")));
        assert!(send_on(&world, 1, &good).is_forwarded());
        world.advance(millis(500));
    }
    let (warns, infos) = (world.warns(), world.infos());
    assert_eq!((warns.len(), infos.len()), (10, 10));
    for level in [LogLevel::Warn, LogLevel::Info] {
        let moments = moments_ms(&world, level);
        assert!(moments.windows(2).all(|pair| pair[1] - pair[0] >= 60_000));
    }
    let suppressed: u32 = warns
        .iter()
        .chain(&infos)
        .map(|line| number_in(line, "suppressed"))
        .sum();
    // What came after the last line is still to be told: 59 refusals since the last recovery.
    assert_eq!(10 + suppressed, refusals - 59);
    assert_sound(&world);
}

#[test]
fn a_token_that_worked_all_along_recovers_its_pair_within_a_minute() {
    let world = kubernetes().workers(2).start();
    let fresh = world.mint(&token(exp_in(1800)));
    assert!(send_on(&world, 0, &fresh).is_forwarded());
    assert!(send_on(&world, 1, &fresh).is_forwarded());
    let unfit = world.mint(&token(exp_in(1800)).audiences(&["other"]));
    let bad = send_on(&world, 0, &unfit);
    assert_eq!((bad.status(), world.warns().len()), (Some(401), 1));
    for n in 0..62 {
        world.advance(secs(1));
        assert!(send_on(&world, n % 2, &fresh).is_forwarded());
    }
    assert_eq!(lines(&world), (1, 1, 0));
}
