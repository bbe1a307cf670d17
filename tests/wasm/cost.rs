//! What a request costs inside the sandbox, in instructions and host calls: the same on every machine.

use serde_json::json;
use tokenward_wasm_host::story::{FilterWorld, SESSION_HEADER, exp_in, forward, token};

/// What a client of MCP 2026-07-28 sends besides; a client of before sends none of it.
const OF_2026: [(&str, &str); 3] = [
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/call"),
    ("mcp-name", "list_pods"),
];

#[test]
fn a_fresh_token_seen_before_costs_three_host_calls_and_few_instructions() {
    for (style, headers, most) in [("before 2026", &[][..], 8_500), ("2026", &OF_2026, 9_300)] {
        let instructions = of_a_fresh_token_seen_before(headers);
        println!("{instructions} instructions for a fresh token seen before, in the style of {style}");
        assert!(instructions <= most, "{style}: {instructions}");
    }
}

fn of_a_fresh_token_seen_before(headers: &[(&str, &str)]) -> u64 {
    let world = FilterWorld::builder()
        .server(forward("kubernetes"))
        .session_header(SESSION_HEADER)
        .start();
    let bearer = world.mint(&token(exp_in(1800)).groups(40));
    let send = || {
        let request = world.request("kubernetes").bearer(&bearer).session("s1");
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value));
        assert!(request.send().is_forwarded());
    };
    send();
    world.gateway().forget_host_calls();
    send();
    let calls = world.gateway().host_calls();
    // Headers and clock of the request; the status of the answer.
    assert_eq!(calls.total(), 3, "{:?}", calls.by_function());
    // Three of a hundred thousand before tokens were compared eight bytes at a time.
    world.gateway().instructions()
}

/// An access token of our own is swapped from the worker's cache at the price of a stale token's replacement.
#[test]
fn an_access_token_of_our_own_costs_what_a_replaced_token_costs() {
    let (issuer, resource) = ("https://gw.example.com", "https://gw.example.com/kubernetes");
    let world = FilterWorld::builder()
        .setting("authorization_server", json!({"issuer": issuer}))
        .server(forward("kubernetes").resource(resource))
        .session_header(SESSION_HEADER)
        .start();
    world.control().answers(token(exp_in(1800)).groups(40));
    let own = token(exp_in(1800)).issuer(issuer).audiences(&[resource]);
    let own = world.mint(&own.claim("sid", "s1").groups(40));
    let stale = world.mint(&token(exp_in(-5)).groups(40));
    let cost_of = |presented: &str| {
        let send = || {
            let request = world.request("kubernetes").bearer(presented).session("s1");
            assert!(request.send().is_forwarded());
        };
        // The worker's tables grow at the first requests.
        for _ in 0..4 {
            send();
        }
        world.gateway().forget_host_calls();
        send();
        world.gateway().instructions()
    };
    let (swapped, replaced) = (cost_of(&own), cost_of(&stale));
    println!("{swapped} instructions for an access token of our own, {replaced} for a stale token");
    assert!(swapped.max(replaced) <= 8_900, "{swapped} and {replaced}");
    assert!(
        swapped.saturating_mul(20) <= replaced.saturating_mul(21),
        "{swapped} of {replaced}"
    );
    assert_eq!(world.control().calls().len(), 2);
}
