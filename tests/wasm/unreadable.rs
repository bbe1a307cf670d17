//! Headers that cannot be read might hold a stale token.

use tokenward_wasm_host::story::{FilterWorld, HOST, exp_in, token};
use tokenward_wasm_host::{Headers, wire};

use crate::fixtures::{assert_sound, kubernetes};

/// The answer to these headers: status and refusal.
fn answered(world: &FilterWorld, headers: Headers) -> (u16, Option<String>) {
    let response = world
        .gateway()
        .worker(0)
        .request(headers)
        .client_response()
        .expect("an answer");
    let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
    (response.status, body["refusal"].as_str().map(str::to_owned))
}

#[test]
fn headers_without_a_path_or_a_host_are_refused_and_not_taken_for_no_servers() {
    let world = kubernetes().start();
    let stale = format!("Bearer {}", world.mint(&token(exp_in(-5))));
    let whole = Headers::request("POST", HOST, "/kubernetes/mcp").with("authorization", &stale);
    let mut without = Vec::new();
    for name in [":path", ":authority"] {
        let mut headers = whole.clone();
        headers.remove(name);
        without.push(headers);
        let mut headers = whole.clone();
        headers.replace(name, b"");
        without.push(headers);
    }
    without.push(Headers::new());
    for headers in without {
        let refused = (400, Some("unreadable_request".to_owned()));
        assert_eq!(answered(&world, headers.clone()), refused, "{headers:?}");
    }
    assert_eq!((world.upstream_requests().len(), world.warns().len()), (0, 1));
    assert_eq!(world.counted(&["unreadable_request", "requests_total"]), 5);
    assert_sound(&world);
}

#[test]
fn a_header_map_that_the_host_cuts_short_anywhere_is_refused() {
    let world = kubernetes().start();
    let stale = format!("Bearer {}", world.mint(&token(exp_in(-5))));
    let headers = Headers::request("POST", HOST, "/elsewhere")
        .with("x-any", "1")
        .with("authorization", &stale);
    let whole = wire::encode_pairs(&headers).len();
    for bytes in 0..whole {
        world.gateway().cut_header_maps(bytes);
        let refused = (400, Some("unreadable_request".to_owned()));
        assert_eq!(answered(&world, headers.clone()), refused, "{bytes} bytes");
    }
    assert_eq!(world.upstream_requests().len(), 0);
    world.gateway().cut_header_maps(whole);
    assert!(
        world
            .gateway()
            .worker(0)
            .request(headers)
            .client_response()
            .is_some_and(|response| response.status == 200)
    );
    assert_eq!(world.upstream_requests().len(), 1);
}
