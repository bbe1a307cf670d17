//! The real filter runs in this host: it starts, decides, asks control and answers.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::story::{
    FilterWorld, FilterWorldBuilder, SESSION_HEADER, exp_in, forward, secs, token,
};

fn kubernetes() -> FilterWorldBuilder {
    FilterWorld::builder()
        .server(forward("kubernetes"))
        .session_header(SESSION_HEADER)
}

#[test]
fn a_fresh_token_passes_without_a_call() {
    let world = kubernetes().workers(2).start();
    world.gateway().forget_host_calls();
    let sent = world
        .request("kubernetes")
        .bearer(token(exp_in(1800)))
        .session("s1")
        .send();
    assert!(sent.is_forwarded());
    assert_eq!(sent.status(), Some(200));
    assert_eq!(world.control().calls().len(), 0);
    assert_eq!(world.upstream_requests().len(), 1);
    assert_eq!(
        world.gateway().host_calls().count("proxy_get_header_map_pairs"),
        1
    );
}

#[test]
fn a_stale_token_is_replaced_before_it_leaves() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(30);
    let sent = world
        .request("kubernetes")
        .bearer(token(exp_in(5)))
        .session("s1")
        .send();
    assert!(sent.is_paused());
    world.advance(secs(1));
    assert!(sent.is_forwarded());
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].server.as_str(), calls[0].session.as_deref()),
        ("kubernetes", Some("s1"))
    );
    assert_ne!(
        sent.forwarded_bearer().as_deref(),
        Some(calls[0].subject_token.as_str())
    );
    assert_eq!(
        (world.upstream_requests().len(), world.stale_arrivals().len()),
        (1, 0)
    );
    assert_eq!((sent.stream().resumes(), sent.stream().local_replies()), (1, 0));
}

#[test]
fn a_session_that_needs_a_login_gets_401_and_the_server_nothing() {
    let world = kubernetes().start();
    world.control().refuses(Refusal::NeedsLogin);
    let sent = world
        .request("kubernetes")
        .bearer(token(exp_in(-5)))
        .session("s1")
        .send();
    assert_eq!(
        (sent.status(), sent.refusal().as_deref()),
        (Some(401), Some("needs_login"))
    );
    assert_eq!((world.upstream_requests().len(), world.warns().len()), (0, 1));
}

#[test]
fn two_workers_that_refuse_one_pair_at_the_same_moment_warn_once() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    let presented = stale.clone();
    world.race(0, "proxy_set_shared_data", 1, move |world| {
        let sent = world
            .request("kubernetes")
            .bearer(&presented)
            .session("s1")
            .on_worker(1)
            .send();
        assert_eq!(sent.status(), Some(401));
    });
    let sent = world.request("kubernetes").bearer(&stale).session("s1").send();
    assert_eq!((sent.status(), world.gateway().races_waiting()), (Some(401), 0));
    assert_eq!((world.warns().len(), world.upstream_requests().len()), (1, 0));
}
