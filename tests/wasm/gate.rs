//! The gate: a refused token is refused from memory, for all workers, until one probe may try again.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::CalloutReply;
use tokenward_wasm_host::story::{FilterWorld, exp_in, forward, millis, mins, secs, token};

use crate::fixtures::{assert_refused_once, assert_sound, kubernetes, lines, retry_after, send_on};

/// What the keys of the pairs' slots begin with.
const SLOT_KEY: &[u8] = b"tokenward/pairs/";

#[test]
fn a_gate_closed_by_one_worker_is_closed_for_all() {
    let world = kubernetes().workers(4).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for n in 0..40 {
        assert_refused_once(&send_on(&world, n % 4, &stale), 401, "needs_login");
    }
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 0)
    );
    assert_eq!(lines(&world), (1, 0, 39));
    assert_eq!(
        world.counted(&["outcome=gated_needs_login", "requests_total"]),
        39
    );
    assert_sound(&world);
}

#[test]
fn retry_after_is_honest_and_counts_down() {
    let world = kubernetes().workers(2).start();
    world.control().refuses_for(Refusal::IssuerUnavailable, 40);
    let stale = world.mint(&token(exp_in(-5)));
    let first = retry_after(&send_on(&world, 0, &stale));
    assert!((30..=40).contains(&first), "{first}");
    for passed in 1..first {
        world.advance(secs(1));
        let sent = send_on(&world, usize::from(passed % 2 == 0), &stale);
        assert_eq!(retry_after(&sent), first - passed);
    }
    assert_eq!(world.control().calls().len(), 1);
    world.advance(secs(1));
    world.control().answers(token(exp_in(1800)));
    assert!(
        send_on(&world, 1, &stale).is_forwarded(),
        "after the promised time it works"
    );
    assert_eq!(world.control().calls().len(), 2);
    assert_sound(&world);
}

#[test]
fn four_workers_send_one_probe_when_the_time_is_over() {
    let world = kubernetes().workers(4).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    assert_refused_once(&send_on(&world, 0, &stale), 401, "needs_login");
    world.advance(secs(6));
    world.control().takes_ms(1_000);
    let prober = send_on(&world, 2, &stale);
    assert!(prober.is_paused());
    for n in 0..40 {
        assert_refused_once(&send_on(&world, n % 4, &stale), 401, "needs_login");
    }
    assert_eq!(world.control().calls().len(), 2);
    world.advance(secs(2));
    assert_refused_once(&prober, 401, "needs_login");
    assert_refused_once(&send_on(&world, 3, &stale), 401, "needs_login");
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (2, 0)
    );
    assert_sound(&world);
}

#[test]
fn a_probe_whose_client_leaves_does_not_keep_the_gate_closed_for_ever() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    assert_refused_once(&send_on(&world, 0, &stale), 401, "needs_login");
    world.advance(secs(6));
    world.control().answers(token(exp_in(1800))).takes_ms(1_000);
    let prober = send_on(&world, 0, &stale);
    assert!(prober.is_paused());
    prober.disconnect();
    // A probe holds the gate for the longest pause (5.5 s) and a second.
    world.advance(millis(6_500));
    let next = send_on(&world, 1, &stale);
    assert!(next.is_paused());
    world.advance(secs(1));
    assert!(next.is_forwarded());
    assert_eq!(world.control().calls().len(), 3);
    assert_sound(&world);
}

/// Refuses a request every `step_ms` with `refusal`, and returns how long the gate stayed closed each time.
fn closings_ms(world: &FilterWorld, refusal: Refusal, times: usize, step_ms: u64) -> Vec<u64> {
    world.control().refuses_for(refusal, 0);
    let stale = world.mint(&token(exp_in(-5)));
    let mut moments = Vec::new();
    while moments.len() <= times {
        let before = world.control().calls().len();
        assert_eq!(
            send_on(world, 0, &stale).refusal().as_deref(),
            Some(refusal.name())
        );
        if world.control().calls().len() > before {
            moments.push(world.gateway().now_ms());
        }
        world.advance(millis(step_ms));
    }
    moments.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn the_gate_doubles_its_time_up_to_the_longest_of_each_class() {
    let classes: [(Refusal, &[u64]); 3] = [
        (Refusal::NeedsLogin, &[5, 10, 20, 30, 30]),
        (Refusal::IssuerUnavailable, &[1, 2, 4, 8, 16, 32, 60, 60]),
        (Refusal::IssuerMisconfigured, &[300, 300]),
    ];
    for (refusal, expected_seconds) in classes {
        let world = kubernetes().start();
        let step_ms = expected_seconds[0] * 50;
        let closings = closings_ms(&world, refusal, expected_seconds.len(), step_ms);
        for (closed_ms, expected_seconds) in closings.into_iter().zip(expected_seconds) {
            // Up to a quarter off, and until the next request.
            let longest_ms = expected_seconds * 1_000;
            let fits = (longest_ms - longest_ms / 4..=longest_ms + step_ms).contains(&closed_ms);
            assert!(fits, "{refusal:?}: {closed_ms} ms, not {expected_seconds} s");
        }
        assert_eq!(world.upstream_requests().len(), 0);
    }
}

#[test]
fn configured_times_take_the_place_of_the_usual_ones() {
    let world = kubernetes()
        .gate("login_first", "100ms")
        .gate("login_longest", "400ms")
        .start();
    for closed_ms in closings_ms(&world, Refusal::NeedsLogin, 8, 50)
        .into_iter()
        .skip(2)
    {
        assert!((300..=450).contains(&closed_ms), "{closed_ms} ms");
    }
}

#[test]
fn control_cannot_close_a_gate_for_longer_than_its_class_allows() {
    let world = kubernetes().start();
    world.control().refuses_for(Refusal::StoreUnavailable, 86_400);
    let stale = world.mint(&token(exp_in(-5)));
    let waits = retry_after(&send_on(&world, 0, &stale));
    assert!((45..=60).contains(&waits), "{waits} s");
}

#[test]
fn a_new_token_opens_the_gate_at_once_and_closes_nobody_elses() {
    let world = kubernetes().workers(2).server(forward("prometheus")).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    assert_refused_once(&send_on(&world, 0, &stale), 401, "needs_login");
    // Fresh: forwarded on any worker at once. Stale but new: asked at once.
    let fresh = world.mint(&token(exp_in(1800)));
    assert!(send_on(&world, 1, &fresh).is_forwarded());
    world.control().answers(token(exp_in(1800)));
    let newer = world.mint(&token(exp_in(-4)));
    assert!(send_on(&world, 1, &newer).is_forwarded());
    assert_eq!(world.control().calls().len(), 2);
    // The old token stays refused; the same token in another session or at another server is another matter.
    assert_refused_once(&send_on(&world, 1, &stale), 401, "needs_login");
    assert_eq!(world.control().calls().len(), 2);
    let other_session = world.request("kubernetes").bearer(&stale).session("s2").send();
    let other_server = world.request("prometheus").bearer(&stale).session("s1").send();
    assert!(other_session.is_forwarded() && other_server.is_forwarded());
    assert_eq!(world.control().calls().len(), 4);
    assert_sound(&world);
}

#[test]
fn somebody_who_presents_forged_tokens_in_a_session_closes_no_gate_of_its_owner_and_holds_them_up_for_a_second()
 {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::SubjectRejected);
    for n in 0..100_i64 {
        let forged = world.mint(&token(exp_in(-5 - n)).subject("attacker"));
        let refused = match n {
            0..6 => (401, "subject_rejected"),
            _ => (503, "call_limit"),
        };
        assert_refused_once(&send_on(&world, 0, &forged), refused.0, refused.1);
    }
    assert_eq!(world.control().calls().len(), 6);
    world.control().answers(token(exp_in(1800)));
    let owners = world.mint(&token(exp_in(-5)));
    let turned_away = send_on(&world, 1, &owners);
    assert_refused_once(&turned_away, 503, "call_limit");
    assert_eq!(retry_after(&turned_away), 1);
    world.advance(secs(1));
    assert!(send_on(&world, 1, &owners).is_forwarded());
    assert_eq!(world.control().calls().len(), 7);
    assert_sound(&world);
}

#[test]
fn a_clock_that_steps_back_an_hour_does_not_keep_a_gate_closed_for_an_hour() {
    let world = kubernetes().workers(4).start();
    world.control().refuses(Refusal::IssuerMisconfigured);
    let stale = world.mint(&token(exp_in(-7_200)));
    assert_refused_once(&send_on(&world, 0, &stale), 503, "issuer_misconfigured");
    world.gateway().step_wall_clock_ms(-3_600_000);
    let asks_again = send_on(&world, 1, &stale);
    assert_refused_once(&asks_again, 503, "issuer_misconfigured");
    assert!(retry_after(&asks_again) <= 300);
    assert_eq!(world.control().calls().len(), 2);
    // Closed anew, by the new clock, for all.
    for worker in 0..4 {
        assert_refused_once(&send_on(&world, worker, &stale), 503, "issuer_misconfigured");
    }
    assert_eq!(world.control().calls().len(), 2);
    world.advance(mins(5));
    world.control().answers(token(exp_in(1800)));
    assert!(send_on(&world, 2, &stale).is_forwarded());
    assert_sound(&world);
}

#[test]
fn a_reloaded_vm_remembers_the_gate_and_the_throttle() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    assert_refused_once(&send_on(&world, 0, &stale), 401, "needs_login");
    for worker in 0..2 {
        world.gateway().worker(worker).reload().expect("a new VM");
        assert_refused_once(&send_on(&world, worker, &stale), 401, "needs_login");
    }
    assert_eq!((world.control().calls().len(), lines(&world)), (1, (1, 0, 2)));
    world
        .reconfigure(|configuration| configuration["margin"] = "61s".into())
        .expect("a good configuration");
    assert_refused_once(&send_on(&world, 1, &stale), 401, "needs_login");
    assert_eq!((world.control().calls().len(), lines(&world)), (1, (1, 0, 3)));
    assert_sound(&world);
}

#[test]
fn the_memory_of_an_older_format_counts_as_empty_and_is_overwritten() {
    let world = kubernetes().start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    assert_refused_once(&send_on(&world, 0, &stale), 401, "needs_login");
    let keys: Vec<Vec<u8>> = world.gateway().shared_data().keys().map(<[u8]>::to_vec).collect();
    let keys: Vec<&Vec<u8>> = keys.iter().filter(|key| key.starts_with(SLOT_KEY)).collect();
    assert_eq!(keys.len(), 1);
    for garbage in [
        &b""[..],
        b"\x00",
        b"\x01rest of another version",
        &[1; 48],
        &[0xff; 100_000],
    ] {
        let before = world.control().calls().len();
        world.gateway().overwrite_shared_data(keys[0], garbage);
        assert_refused_once(&send_on(&world, 0, &stale), 401, "needs_login");
        assert_refused_once(&send_on(&world, 0, &stale), 401, "needs_login");
        assert_eq!(world.control().calls().len(), before + 1);
    }
    let memory = world.gateway().shared_data();
    let slots = memory.keys().filter(|key| key.starts_with(SLOT_KEY)).count();
    assert_eq!(slots, 1);
    drop(memory);
    assert_sound(&world);
}

#[test]
fn ten_thousand_sessions_leave_a_bounded_memory() {
    let world = kubernetes().start();
    world.control().replies(CalloutReply::NoHost);
    let stale = world.mint(&token(exp_in(-5)));
    for n in 0..10_000 {
        let sent = world
            .request("kubernetes")
            .bearer(&stale)
            .session(&format!("session-{n}"))
            .send();
        assert_eq!(sent.status(), Some(503));
    }
    let memory = world.gateway().shared_data();
    // The slots, the salt, the allowance and the lines of the whole Envoy; 88 bytes a pair with one gate.
    assert!(memory.key_count() <= 2_048 + 3, "{} keys", memory.key_count());
    assert!(
        memory.byte_count() <= 10_000 * 88 + 2_051 * 40,
        "{} bytes",
        memory.byte_count()
    );
    assert_eq!(world.upstream_requests().len(), 0);
    assert_sound(&world);
}
