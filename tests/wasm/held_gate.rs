//! A storm is refused from the worker's own memory: shared data is read once a tick, and every refusal still counts.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::LogLevel;
use tokenward_wasm_host::story::{FilterWorld, FilterWorldBuilder, exp_in, forward, millis, secs, token};

use crate::fixtures::{assert_sound, kubernetes, lines, number_in, retry_after, send_on};

/// As production logs: at DEBUG each refusal is a line of its own, for which the pair's memory is asked.
fn at_info(builder: FilterWorldBuilder) -> FilterWorldBuilder {
    builder.gateway(|gateway| gateway.log_level(LogLevel::Info))
}

fn shared_calls(world: &FilterWorld) -> usize {
    let calls = world.gateway().host_calls();
    calls.count("proxy_get_shared_data") + calls.count("proxy_set_shared_data")
}

#[test]
fn a_thousand_refusals_between_two_ticks_look_into_shared_data_once() {
    let world = at_info(kubernetes()).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
    world.gateway().forget_host_calls();
    for _ in 0..1_000 {
        let sent = send_on(&world, 0, &stale);
        assert_eq!((sent.status(), sent.stream().local_replies()), (Some(401), 1));
        assert_eq!(sent.refusal().as_deref(), Some("needs_login"));
    }
    assert_eq!(shared_calls(&world), 2, "one read, one write");
    world.advance(millis(100));
    assert_eq!(shared_calls(&world), 4, "the tick tells what was refused");
    assert_eq!(
        world.counted(&["server=kubernetes", "outcome=gated_needs_login", "requests_total"]),
        1_000
    );
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 0)
    );
    assert_sound(&world);
}

#[test]
fn a_gated_request_costs_three_host_calls() {
    let world = at_info(kubernetes()).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for _ in 0..2 {
        assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
    }
    world.gateway().forget_host_calls();
    assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
    let calls = world.gateway().host_calls();
    // Headers, clock, and the answer.
    assert_eq!(calls.total(), 3, "{:?}", calls.by_function());
    let instructions = world.gateway().instructions();
    assert!(
        instructions <= 20_000,
        "{:?}",
        world.gateway().instructions_by_callback()
    );
}

#[test]
fn the_recovery_counts_what_every_worker_refused_from_its_own_memory() {
    let world = at_info(kubernetes()).workers(4).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for n in 0..400 {
        assert_eq!(send_on(&world, n % 4, &stale).status(), Some(401));
    }
    world.advance(millis(100));
    assert!(send_on(&world, 1, &world.mint(&token(exp_in(1800)))).is_forwarded());
    assert_eq!(lines(&world), (1, 1, 0));
    assert_eq!(number_in(&world.infos()[0], "suppressed"), 399);
    assert_sound(&world);
}

#[test]
fn a_probe_that_succeeds_on_one_worker_opens_the_others_a_tick_later() {
    let world = at_info(kubernetes()).workers(2).start();
    world.control().refuses(Refusal::IssuerUnavailable);
    let stale = world.mint(&token(exp_in(-5)));
    for worker in [0, 1] {
        assert_eq!(send_on(&world, worker, &stale).status(), Some(503));
    }
    world.control().answers(token(exp_in(1800)));
    world.advance(secs(6));
    let probe = send_on(&world, 0, &stale);
    world.advance(millis(100));
    assert!(probe.is_forwarded());
    assert!(send_on(&world, 1, &stale).is_forwarded());
    assert_sound(&world);
}

#[test]
fn the_time_to_wait_is_told_anew_as_it_passes() {
    let world = at_info(kubernetes())
        .setting(
            "gate",
            serde_json::json!({"transient_first": "40s", "transient_longest": "40s"}),
        )
        .start();
    world.control().refuses(Refusal::IssuerUnavailable);
    let stale = world.mint(&token(exp_in(-5)));
    assert_eq!(send_on(&world, 0, &stale).status(), Some(503));
    let mut before = u64::MAX;
    for _ in 0..20 {
        let said: Vec<u64> = (0..3).map(|_| retry_after(&send_on(&world, 0, &stale))).collect();
        assert_eq!(said, [said[0]; 3]);
        assert!(said[0] < before, "{said:?} after {before}");
        before = said[0];
        world.advance(secs(1));
    }
    assert_eq!(world.control().calls().len(), 1);
    assert_sound(&world);
}

#[test]
fn a_clock_that_steps_back_an_hour_holds_no_gate() {
    let world = at_info(kubernetes()).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for _ in 0..3 {
        assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
    }
    world.gateway().step_wall_clock_ms(-3_600_000);
    world.control().answers(token(exp_in(1800)));
    // An hour ago the token was fresh; it is presented, not refused.
    assert!(send_on(&world, 0, &stale).is_forwarded());
    assert_sound(&world);
}

#[test]
fn a_new_token_of_the_same_session_is_not_held_up() {
    let world = at_info(kubernetes()).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for _ in 0..5 {
        assert_eq!(send_on(&world, 0, &stale).status(), Some(401));
    }
    assert!(send_on(&world, 0, &world.mint(&token(exp_in(1800)))).is_forwarded());
    assert_eq!(number_in(&world.infos()[0], "suppressed"), 4);
    assert_sound(&world);
}

#[test]
fn many_gates_at_once_are_all_refused_and_none_is_lost() {
    let world = at_info(kubernetes().server(forward("other"))).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for _ in 0..2 {
        for n in 0..6_000 {
            let sent = world
                .request("kubernetes")
                .bearer(&stale)
                .session(&format!("s-{n}"))
                .send();
            assert_eq!(sent.status(), Some(401));
        }
    }
    world.advance(millis(200));
    assert_eq!(world.upstream_requests().len(), 0);
    assert_sound(&world);
}
