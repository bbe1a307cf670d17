//! Requests for none of the servers: where they are refused, nothing stale passes by another spelling of a host or path.

use serde_json::json;
use tokenward_wasm_host::story::{FilterWorld, SESSION_HEADER, exp_in, forward, token};
use tokenward_wasm_host::{Headers, LogLevel};

use crate::fixtures::assert_sound;

const HOST: &str = "mcp.example.com";

fn world(unmatched: &str) -> FilterWorld {
    let builder = FilterWorld::builder()
        .server(forward("kubernetes").host(HOST).path_prefix("/kubernetes"))
        .session_header(SESSION_HEADER)
        .setting("unmatched", unmatched);
    match unmatched {
        "refuse" => builder.setting(
            "unprotected",
            json!([{"host": HOST, "path_prefix": "/.well-known"}]),
        ),
        _ => builder,
    }
    .start()
}

/// Status and refusal of a stale bearer at this host and path.
fn stale_at(world: &FilterWorld, authority: &str, path: &str) -> (u16, String) {
    let stale = format!("Bearer {}", world.mint(&token(exp_in(-5))));
    let headers = Headers::request("POST", authority, path)
        .with("authorization", &stale)
        .with(SESSION_HEADER, "s1");
    let response = world.gateway().worker(0).request(headers).client_response();
    let response = response.unwrap_or_else(|| panic!("no answer at {authority} {path}"));
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let refusal = body["refusal"].as_str().unwrap_or_default();
    (response.status, refusal.to_owned())
}

#[test]
fn a_stale_token_passes_by_no_spelling_of_its_servers_host() {
    for unmatched in ["pass", "refuse"] {
        let world = world(unmatched);
        world.control().is_down();
        for authority in [
            "mcp.example.com",
            "MCP.EXAMPLE.COM",
            "mcp.example.com.",
            "mcp.example.com.:443",
        ] {
            assert_eq!(
                stale_at(&world, authority, "/kubernetes/mcp").0,
                503,
                "{authority}"
            );
        }
        for authority in [
            "user@mcp.example.com",
            "mcp.example.com:443:443",
            "mcp%2eexample.com",
            "mcp..example.com",
        ] {
            let refused = (400, "unreadable_request".to_owned());
            assert_eq!(
                stale_at(&world, authority, "/kubernetes/mcp"),
                refused,
                "{authority}"
            );
        }
        assert_eq!(world.upstream_requests().len(), 0);
        assert_sound(&world);
    }
}

#[test]
fn what_no_server_matches_is_refused_with_404_one_warning_a_minute_and_a_metric() {
    let world = world("refuse");
    for (authority, path) in [
        (HOST, "/"),
        (HOST, "/kubernetesx"),
        (HOST, "//kubernetes/mcp"),
        (HOST, "/x/../kubernetes/mcp"),
        (HOST, "/.well-known/../kubernetes/mcp"),
        ("other.example.com", "/kubernetes/mcp"),
    ] {
        let refused = (404, "unmatched".to_owned());
        assert_eq!(stale_at(&world, authority, path), refused, "{authority} {path}");
    }
    assert_eq!(world.upstream_requests().len(), 0);
    assert_eq!(world.counted(&["outcome=unmatched", "requests_total"]), 6);
    assert_eq!(world.logged(LogLevel::Warn).len(), 1);
    assert_sound(&world);
}

#[test]
fn what_is_listed_as_unprotected_passes_without_a_token() {
    let world = world("refuse");
    let path = "/.well-known/oauth-protected-resource/kubernetes/mcp";
    let stream = world
        .gateway()
        .worker(0)
        .request(Headers::request("GET", HOST, path));
    assert!(
        stream
            .client_response()
            .is_some_and(|response| response.status == 200)
    );
    assert_eq!(world.upstream_requests().len(), 1);
    assert_eq!(world.counted(&["outcome=passed", "requests_total"]), 1);
    assert_sound(&world);
}
