//! Workers that read and write a pair's memory at the same moment: nothing is said twice, asked twice or lost.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::story::{FilterWorld, exp_in, millis, secs, token};

use crate::fixtures::{assert_sound, calls_of_worker, kubernetes, number_in, send_on};

const WRITE: &str = "proxy_set_shared_data";

/// Refusals that log lines account for: one for each WARN, and all suppressed ones.
fn told(world: &FilterWorld) -> u32 {
    let warns = world.warns();
    let lines = warns
        .iter()
        .chain(&world.infos())
        .map(|line| number_in(line, "suppressed"))
        .sum::<u32>();
    u32::try_from(warns.len()).unwrap() + lines
}

/// Worker 1 sends the stale token just before the `nth` write of worker 0 takes effect.
fn worker_1_cuts_in(world: &FilterWorld, nth: usize, stale: &str) {
    let stale = stale.to_owned();
    world.race(0, WRITE, nth, move |world| {
        let sent = send_on(world, 1, &stale);
        assert_eq!((sent.status(), sent.stream().local_replies()), (Some(401), 1));
    });
}

/// Worker 0's life with one pair: refused, refused from memory, the probe is refused, refused from memory, and a new
/// login. Each is one write of the pair's record, the first one and the probe are two (taking leave or claiming it, and
/// the refusal). The first one makes the salt as well, takes leave of the whole Envoy and gives it back, and counts its
/// WARN.
fn refused_probed_and_recovered(world: &FilterWorld, stale: &str) {
    for pause in [0, 0, 6, 0] {
        world.advance(secs(pause));
        let sent = send_on(world, 0, stale);
        assert_eq!((sent.status(), sent.stream().local_replies()), (Some(401), 1));
    }
    let fresh = world.mint(&token(exp_in(1800)));
    assert!(send_on(world, 0, &fresh).is_forwarded());
}

#[test]
fn a_life_without_races_is_eleven_writes() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    world.gateway().forget_host_calls();
    refused_probed_and_recovered(&world, &stale);
    assert_eq!(world.gateway().host_calls().count(WRITE), 11);
    assert_eq!((world.control().calls().len(), told(&world)), (2, 4));
}

#[test]
fn whichever_write_another_worker_cuts_into_one_warning_one_probe_one_recovery_and_every_refusal_counted() {
    for nth in 1..=11 {
        let world = kubernetes().workers(2).start();
        world.control().refuses(Refusal::NeedsLogin);
        let stale = world.mint(&token(exp_in(-5)));
        worker_1_cuts_in(&world, nth, &stale);
        refused_probed_and_recovered(&world, &stale);
        assert_eq!(world.gateway().races_waiting(), 0, "write {nth}");
        // The sixth counts the WARN, and no other worker has one.
        assert_eq!(
            world.gateway().shared_data().mismatches() >= 1,
            nth != 6,
            "write {nth} lost no race"
        );
        assert_eq!((world.warns().len(), world.infos().len()), (1, 1), "write {nth}");
        assert_eq!(told(&world), 5, "write {nth}");
        // Until the refusal is written nothing is known yet: then both workers ask, as two at once always may.
        let asked = if nth <= 5 { 3 } else { 2 };
        assert_eq!(world.control().calls().len(), asked, "write {nth}");
        assert_eq!(world.upstream_requests().len(), 1);
        assert_sound(&world);
    }
}

/// #939, #943: a race in the counter of failures.
#[test]
fn a_worker_that_loses_ten_races_in_a_row_still_counts_and_warns_once() {
    for rounds in [1, 5, 10] {
        let world = kubernetes().workers(2).start();
        world.control().refuses(Refusal::NeedsLogin);
        let stale = world.mint(&token(exp_in(-5)));
        for nth in 1..=rounds {
            worker_1_cuts_in(&world, nth, &stale);
        }
        assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
        assert_eq!((world.gateway().races_waiting(), world.warns().len()), (0, 1));
        assert!(send_on(&world, 1, &world.mint(&token(exp_in(1800)))).is_forwarded());
        assert_eq!(told(&world), u32::try_from(rounds).unwrap() + 1);
        assert_sound(&world);
    }
}

#[test]
fn a_worker_that_never_gets_through_answers_quietly_and_exactly_once() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for nth in 1..=40 {
        worker_1_cuts_in(&world, nth, &stale);
    }
    let sent = send_on(&world, 0, &stale);
    assert_eq!((sent.status(), sent.stream().local_replies()), (Some(401), 1));
    assert!(world.gateway().races_waiting() > 0, "it gave up");
    assert_eq!((world.warns().len(), world.upstream_requests().len()), (1, 0));
    assert_sound(&world);
}

#[test]
fn two_probes_at_the_same_moment_are_one_call() {
    // 1: before worker 0 has read the gate for the claim; 2: between that and its claim.
    for (function, nth) in [("proxy_get_shared_data", 2), (WRITE, 1)] {
        let world = kubernetes().workers(2).start();
        world.control().refuses(Refusal::NeedsLogin);
        let stale = world.mint(&token(exp_in(-5)));
        assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
        world.advance(secs(6));
        world.control().takes_ms(300);
        let presented = stale.clone();
        world.race(0, function, nth, move |world| {
            assert!(
                send_on(world, 1, &presented).is_paused(),
                "worker 1 has the probe"
            );
        });
        let sent = send_on(&world, 0, &stale);
        assert_eq!(
            (sent.status(), sent.refusal().as_deref()),
            (Some(401), Some("needs_login"))
        );
        world.advance(secs(1));
        assert_eq!(world.gateway().races_waiting(), 0);
        assert_eq!(
            (calls_of_worker(&world, 0), calls_of_worker(&world, 1)),
            (1, 1),
            "{function}"
        );
        assert_sound(&world);
    }
}

#[test]
fn a_refusal_that_arrives_while_another_worker_recovers_loses_nothing() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
    let fresh = world.mint(&token(exp_in(1800)));
    // Worker 1 recovers the pair first: worker 0 finds it recovered already.
    let presented = fresh.clone();
    world.race(0, WRITE, 1, move |world| {
        assert!(send_on(world, 1, &presented).is_forwarded());
    });
    assert!(send_on(&world, 0, &fresh).is_forwarded());
    assert_eq!((world.gateway().races_waiting(), world.infos().len()), (0, 1));
    assert_eq!((told(&world), world.warns().len()), (1, 1));
    assert_sound(&world);
}

#[test]
fn two_pairs_that_share_a_slot_never_lose_each_others_gate() {
    // 2,048 slots: among 1,500 sessions many share one.
    let world = kubernetes().workers(2).setting("warn_limit", 2_000).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    let send = |world: &FilterWorld, n: usize| {
        world
            .request("kubernetes")
            .bearer(&stale)
            .session(&format!("session-{n}"))
            .on_worker(n % 2)
            .send()
    };
    for n in 0..1_500 {
        assert_eq!(send(&world, n).status(), Some(401));
    }
    world.advance(millis(100));
    assert!(
        world.gateway().shared_data().key_count() < 1_200,
        "some do share a slot"
    );
    for n in 0..1_500 {
        assert_eq!(send(&world, n).status(), Some(401));
    }
    assert_eq!(
        (world.control().calls().len(), world.warns().len()),
        (1_500, 1_500)
    );
    assert_eq!(world.debugs().len(), 1_500);
}
