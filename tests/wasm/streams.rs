//! What the filter stores of a request is freed when it ends, although the filter requests no callback for that.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::story::{exp_in, millis, secs, token};
use tokenward_wasm_host::{Headers, UpstreamReply};

use crate::fixtures::{assert_sound, kubernetes, send_on};

#[test]
fn a_request_enters_the_vm_three_times() {
    let world = kubernetes().start();
    let presented = world.mint(&token(exp_in(1800)));
    assert!(send_on(&world, 0, &presented).is_forwarded());
    world.gateway().forget_host_calls();
    assert!(send_on(&world, 0, &presented).is_forwarded());
    let entered = world.gateway().instructions_by_callback();
    let callbacks: Vec<_> = entered.keys().copied().collect();
    assert_eq!(
        callbacks,
        [
            "proxy_on_context_create",
            "proxy_on_request_headers",
            "proxy_on_response_headers"
        ]
    );
}

#[test]
fn a_hundred_thousand_clients_that_leave_before_the_answer_leave_no_memory_behind() {
    let world = kubernetes().start();
    world.upstream_replies(UpstreamReply::StayOpen);
    let presented = world.mint(&token(exp_in(1800)));
    let abandon = |count: usize| {
        for _ in 0..count {
            send_on(&world, 0, &presented).disconnect();
        }
        world.gateway().worker(0).memory_bytes()
    };
    let warm = abandon(10_000);
    assert_eq!(abandon(90_000), warm);
    assert_sound(&world);
}

#[test]
fn open_streams_are_retained_through_any_number_of_ended_ones() {
    let world = kubernetes().start();
    world.upstream_replies(UpstreamReply::StayOpen);
    let presented = world.mint(&token(exp_in(1800)));
    let open: Vec<_> = (0..50).map(|_| send_on(&world, 0, &presented)).collect();
    for _ in 0..5_000 {
        send_on(&world, 0, &presented).disconnect();
    }
    // A server's rejection of a fresh token becomes 503: only for a stream that the filter remembers.
    for sent in &open {
        sent.stream()
            .respond(401, &Headers::new().with("www-authenticate", "Bearer"), "");
        assert_eq!(sent.status(), Some(503));
    }
    assert_sound(&world);
}

#[test]
fn configurations_that_are_gone_leave_no_memory_behind() {
    let world = kubernetes().start();
    let presented = world.mint(&token(exp_in(1800)));
    let push = |count: u64| {
        for n in 0..count {
            world
                .reconfigure(|config| config["margin"] = format!("{}s", 30 + n % 7).into())
                .expect("a good configuration");
            assert!(send_on(&world, 0, &presented).is_forwarded());
            world.gateway().drain_old_configuration();
        }
        world.gateway().worker(0).memory_bytes()
    };
    let warm = push(50);
    assert_eq!(push(200), warm);
    assert_sound(&world);
}

#[test]
fn the_places_of_clients_that_have_left_are_free_for_others() {
    let world = kubernetes().start();
    world.control().refuses(Refusal::NeedsLogin).takes_ms(4_000);
    let stale = world.mint(&token(exp_in(-5)));
    for _ in 0..12_000 {
        let sent = send_on(&world, 0, &stale);
        sent.disconnect();
    }
    world.advance(millis(200));
    let waits = send_on(&world, 0, &stale);
    assert!(
        waits.is_paused(),
        "all 10,000 places were taken by clients that have left"
    );
    world.advance(secs(5));
    assert_eq!((waits.status(), world.control().calls().len()), (Some(401), 1));
    assert_sound(&world);
}
