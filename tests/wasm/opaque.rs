//! Servers that get tokens which the filter does not read: always one from control, for the life that control states.

use std::time::Duration;

use serde_json::json;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, Reason, TOKEN_TYPE_ACCESS_TOKEN};
use tokenward_wasm_host::CalloutReply;
use tokenward_wasm_host::story::{
    AUDIENCE, FilterWorld, ISSUER, REMOTE_ISSUER, SESSION_HEADER, exchange, exchanged_token, exp_in, forward,
    token,
};

use crate::fixtures::{assert_not_logged, assert_refused_once, assert_sound, send_on};

/// No JWT, though it has three parts.
const OPAQUE: &str = "an+opaque/token.with~dots.and=";

fn kubernetes() -> FilterWorld {
    FilterWorld::builder()
        .server(forward("kubernetes").opaque())
        .session_header(SESSION_HEADER)
        .start()
}

/// Control answers with this token, which lives for so many seconds by its clock, which is `ahead` of Envoy's.
fn answers(world: &FilterWorld, access_token: &str, expires_in: u64, ahead_seconds: i64) {
    let now_seconds = world.gateway().now_ms() / 1000;
    let body = json!({
        "access_token": access_token,
        "issued_token_type": TOKEN_TYPE_ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "expires_at": now_seconds.saturating_add(expires_in).saturating_add_signed(ahead_seconds),
    });
    replies(world, &body);
}

fn replies(world: &FilterWorld, body: &serde_json::Value) {
    let reply = CalloutReply::answer(200)
        .header(MARKER_HEADER, "0.1.0")
        .body(body.to_string());
    world.control().replies(reply);
}

#[test]
fn a_fresh_presented_token_is_replaced_and_never_passes() {
    let world = kubernetes();
    answers(&world, OPAQUE, 300, 0);
    let presented = world.mint(&token(exp_in(1800)));
    for _ in 0..3 {
        let sent = send_on(&world, 0, &presented);
        assert_eq!(sent.forwarded_bearer().as_deref(), Some(OPAQUE));
    }
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (1, 3)
    );
    assert_not_logged(&world, &[OPAQUE]);
    assert_sound(&world);
}

#[test]
fn without_control_nothing_reaches_the_server() {
    let world = kubernetes();
    let presented = world.mint(&token(exp_in(1800)));
    assert_refused_once(&send_on(&world, 0, &presented), 503, "control_unreachable");
    assert_eq!(world.upstream_requests().len(), 0);
}

/// An aggregator's own exchanged token, which passes where the filter reads the server's tokens.
#[test]
fn a_token_of_the_servers_own_issuer_does_not_pass_either() {
    let world = FilterWorld::builder()
        .server(exchange("kubernetes").opaque())
        .session_header(SESSION_HEADER)
        .start();
    answers(&world, OPAQUE, 300, 0);
    let presented = world.mint(&token(exp_in(1800)));
    assert_eq!(
        send_on(&world, 0, &presented).forwarded_bearer().as_deref(),
        Some(OPAQUE)
    );
    let exchanged = world.mint(&exchanged_token(exp_in(1800)).issuer(REMOTE_ISSUER));
    assert!(send_on(&world, 0, &exchanged).is_refused());
    assert_eq!(world.upstream_requests().len(), 1);
    assert_sound(&world);
}

#[test]
fn it_is_held_for_the_life_in_the_answer_less_the_margin_whatever_controls_clock_is() {
    for ahead_seconds in [0, 3600, -3600] {
        let world = kubernetes();
        answers(&world, OPAQUE, 300, ahead_seconds);
        let presented = world.mint(&token(exp_in(1800)));
        assert!(send_on(&world, 0, &presented).is_forwarded());
        // The margin is a minute; in the minute before, the next one is fetched ahead of time.
        world.advance(Duration::from_secs(179));
        assert!(send_on(&world, 0, &presented).is_forwarded());
        assert_eq!(world.control().calls().len(), 1, "{ahead_seconds}");
        answers(&world, "the-next", 300, ahead_seconds);
        world.advance(Duration::from_secs(2));
        assert_eq!(
            send_on(&world, 0, &presented).forwarded_bearer().as_deref(),
            Some(OPAQUE)
        );
        world.advance(Duration::from_secs(1));
        let calls = world.control().calls();
        assert_eq!(
            (calls.len(), calls[1].reason),
            (2, Reason::NearExpiry),
            "{ahead_seconds}"
        );
        assert_eq!(
            send_on(&world, 0, &presented).forwarded_bearer().as_deref(),
            Some("the-next")
        );
        // Past both, with a control that has nothing: no request gets a token that has ended.
        world.control().is_down();
        world.advance(Duration::from_secs(241));
        assert!(send_on(&world, 0, &presented).is_refused());
        assert_eq!(world.upstream_requests().len(), 4);
        assert_sound(&world);
    }
}

#[test]
fn an_answer_that_lives_no_longer_than_the_margin_or_states_no_life_is_refused() {
    let world = kubernetes();
    let presented = world.mint(&token(exp_in(1800)));
    let now_seconds = world.gateway().now_ms() / 1000;
    let without = json!({
        "access_token": OPAQUE,
        "issued_token_type": TOKEN_TYPE_ACCESS_TOKEN,
        "expires_at": now_seconds + 3600,
    });
    replies(&world, &without);
    assert_refused_once(&send_on(&world, 0, &presented), 503, "answer_stale");
    world.advance(Duration::from_secs(300));
    answers(&world, OPAQUE, 60, 0);
    assert_refused_once(&send_on(&world, 0, &presented), 503, "answer_stale");
    assert_eq!(world.upstream_requests().len(), 0);
}

#[test]
fn a_token_that_no_header_can_carry_is_refused() {
    for broken in [
        "",
        "two words",
        "line\r\nx-injected: yes",
        "tab\there",
        "caf\u{e9}",
        "nul\0",
    ] {
        let world = kubernetes();
        answers(&world, broken, 300, 0);
        let presented = world.mint(&token(exp_in(1800)));
        assert_refused_once(&send_on(&world, 0, &presented), 503, "control_garbled");
        assert_eq!(world.upstream_requests().len(), 0, "{broken:?}");
        assert_eq!(world.gateway().crashes().len(), 0);
    }
}

#[test]
fn a_stale_presented_token_keeps_working_as_long_as_control_takes_it() {
    let world = kubernetes();
    answers(&world, OPAQUE, 300, 0);
    let presented = world.mint(&token(exp_in(-3600)));
    assert_eq!(
        send_on(&world, 0, &presented).forwarded_bearer().as_deref(),
        Some(OPAQUE)
    );
    assert_eq!(world.control().calls()[0].reason, Reason::Stale);
    assert_sound(&world);
}

#[test]
fn a_presented_token_must_still_fit_the_server() {
    let world = FilterWorld::builder()
        .server(forward("kubernetes").audience(AUDIENCE).opaque())
        .session_header(SESSION_HEADER)
        .start();
    answers(&world, OPAQUE, 300, 0);
    let elsewhere = world.mint(&token(exp_in(1800)).issuer(REMOTE_ISSUER));
    assert!(send_on(&world, 0, &elsewhere).is_refused());
    let other_audience = world.mint(&token(exp_in(1800)).issuer(ISSUER).audiences(&["another"]));
    assert!(send_on(&world, 0, &other_audience).is_refused());
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (0, 0)
    );
}

/// A JWT access token at a server whose tokens the filter reads: an exchange can bring one.
#[test]
fn an_access_token_is_read_like_an_id_token_where_the_server_is_not_opaque() {
    let world = FilterWorld::builder()
        .server(exchange("kubernetes"))
        .session_header(SESSION_HEADER)
        .start();
    let presented = world.mint(&token(exp_in(1800)));
    let fit = world.mint(&exchanged_token(exp_in(1800)));
    answers(&world, &fit, 1800, 0);
    assert_eq!(send_on(&world, 0, &presented).forwarded_bearer(), Some(fit));
    let world = FilterWorld::builder()
        .server(exchange("kubernetes"))
        .session_header(SESSION_HEADER)
        .start();
    answers(&world, OPAQUE, 1800, 0);
    assert_refused_once(&send_on(&world, 0, &presented), 503, "control_garbled");
}

#[test]
fn any_other_value_of_delivered_is_a_fault_of_the_configuration() {
    let world = FilterWorld::builder()
        .setting(
            "servers",
            json!([{"name": "kubernetes", "path_prefix": "/kubernetes",
                    "auth": {"kind": "forward", "issuer": ISSUER, "delivered": "jwt"}}]),
        )
        .start();
    let presented = world.mint(&token(exp_in(1800)));
    assert_refused_once(&send_on(&world, 0, &presented), 503, "filter_misconfigured");
    assert!(
        world.warns()[0].contains("servers[0].auth.delivered"),
        "{:?}",
        world.warns()
    );
}
