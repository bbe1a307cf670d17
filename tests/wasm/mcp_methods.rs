//! Requests in the style of MCP 2026-07-28: what each is for is a label of a line and of a counter, from a fixed list.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::LogLevel;
use tokenward_wasm_host::story::{FilterWorld, Sent, exp_in, secs, token};

use crate::fixtures::{assert_sound, kubernetes, lines};

/// No session header and no `initialize`: the token's subject is the session.
fn send(world: &FilterWorld, mcp_method: &str, presented: &str) -> Sent {
    world
        .request("kubernetes")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", mcp_method)
        .bearer(presented)
        .send()
}

#[test]
fn each_request_is_counted_by_what_it_is_for() {
    let world = kubernetes().start();
    let fresh = world.mint(&token(exp_in(1800)));
    for (mcp_method, times) in [("server/discover", 1), ("tools/list", 2), ("tools/call", 3)] {
        for _ in 0..times {
            assert!(send(&world, mcp_method, &fresh).is_forwarded());
        }
    }
    assert!(send(&world, "subscriptions/listen", &fresh).is_forwarded());
    assert!(
        world
            .request("kubernetes")
            .get()
            .bearer(&fresh)
            .send()
            .is_forwarded()
    );
    assert!(world.request("kubernetes").bearer(&fresh).send().is_forwarded());
    world.advance(secs(1));
    for (mcp_method, times) in [
        ("server/discover", 1),
        ("tools/list", 2),
        ("tools/call", 3),
        ("subscriptions/listen", 1),
        ("GET", 1),
        ("none", 1),
    ] {
        let labels = format!("outcome=forwarded;mcp_method={mcp_method}.requests_total");
        assert_eq!(world.counted(&[&labels]), times, "{mcp_method}");
    }
    assert_sound(&world);
}

#[test]
fn a_long_post_listener_that_retries_each_second_is_one_warning_with_its_method_and_no_405() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    for _ in 0..50 {
        let sent = send(&world, "subscriptions/listen", &stale);
        assert_eq!(sent.status(), Some(401));
        world.advance(secs(1));
    }
    assert_eq!(lines(&world), (1, 0, 49));
    let warn = &world.warns()[0];
    assert!(warn.contains(" mcp_method=subscriptions/listen "), "{warn}");
    let fresh = world.mint(&token(exp_in(1800)));
    assert!(send(&world, "tools/call", &fresh).is_forwarded());
    let info = &world.infos()[0];
    assert!(info.contains(" mcp_method=tools/call "), "{info}");
    assert_eq!(world.upstream_requests().len(), 1);
    assert_sound(&world);
}

/// Envoy never frees a counter, so clients must not be able to make them.
#[test]
fn a_thousand_made_up_methods_make_one_counter_and_reach_no_line() {
    let world = kubernetes().start();
    let fresh = world.mint(&token(exp_in(1800)));
    assert!(send(&world, "tools/call", &fresh).is_forwarded());
    world.advance(secs(1));
    let before = world.gateway().metrics().counters().len();
    for number in 0..1_000 {
        assert!(send(&world, &format!("made/up-{number}"), &fresh).is_forwarded());
        assert_eq!(
            send(&world, &format!("made/up-{number}"), "garbage").status(),
            Some(401)
        );
    }
    world.advance(secs(1));
    let after = world.gateway().metrics().counters().len();
    assert_eq!(after - before, 2, "one of each outcome");
    assert_eq!(world.counted(&["mcp_method=other.requests_total"]), 2_000);
    let levels = [LogLevel::Warn, LogLevel::Info, LogLevel::Debug];
    let mut lines = levels.into_iter().flat_map(|level| world.logged(level));
    assert!(lines.all(|line| !line.contains("made/up")));
    assert_sound(&world);
}
