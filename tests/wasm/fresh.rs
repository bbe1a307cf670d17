//! A fresh token passes untouched: nobody is asked, nothing is written, and it costs next to nothing.

use tokenward_wasm_host::Headers;
use tokenward_wasm_host::story::{FilterWorld, HOST, SESSION_HEADER, exp_in, forward, secs, token};

use crate::fixtures::{assert_sound, kubernetes, lines, send_on};

#[test]
fn a_fresh_request_arrives_byte_for_byte_as_it_was_sent() {
    let world = kubernetes().start();
    let every_byte: Vec<u8> = (1..=255).filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let bearer = format!("bEaReR {}", world.mint(&token(exp_in(1800))));
    let sent = Headers::request("POST", HOST, "/kubernetes/mcp?x=%20&y")
        .with("content-type", "application/json")
        .with("x-bytes", &every_byte)
        .with("authorization", &bearer)
        .with("x-twice", "1")
        .with("x-twice", "2")
        .with(SESSION_HEADER, "s1");
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let stream = world.gateway().worker(0).request_with_body(sent.clone(), body);
    let arrived = world.upstream_requests();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].request.headers, sent);
    assert_eq!(arrived[0].request.body, body);
    assert_eq!((stream.resumes(), stream.local_replies()), (0, 0));
    assert_eq!((world.control().calls().len(), lines(&world)), (0, (0, 0, 0)));
    assert_sound(&world);
}

#[test]
fn a_known_fresh_token_costs_three_host_calls_a_request_and_no_shared_data() {
    let world = kubernetes().start();
    let presented = world.mint(&token(exp_in(1800)));
    assert!(send_on(&world, 0, &presented).is_forwarded());
    for _ in 0..10 {
        world.gateway().forget_host_calls();
        assert!(send_on(&world, 0, &presented).is_forwarded());
        let calls = world.gateway().host_calls();
        assert!(calls.total() <= 3, "{:?}", calls.by_function());
        assert_eq!(calls.count("proxy_get_shared_data"), 0);
    }
    assert_eq!(world.gateway().shared_data().key_count(), 0);
    assert_eq!(
        world.counted(&["server=kubernetes", "outcome=forwarded", "requests_total"]),
        11
    );
}

#[test]
fn a_fresh_token_asks_nobody_and_logs_nothing_on_every_worker_for_as_long_as_it_is_fresh() {
    let world = kubernetes().workers(4).start();
    let presented = world.mint(&token(exp_in(1800)));
    // Near expiry begins 120 s before exp: the last of these is at 1,650 s.
    for round in 0..12 {
        for worker in 0..4 {
            let sent = send_on(&world, worker, &presented);
            assert_eq!(sent.forwarded_bearer().as_deref(), Some(presented.as_str()));
            assert_eq!(sent.status(), Some(200));
        }
        assert_eq!(world.upstream_requests().len(), (round + 1) * 4);
        world.advance(secs(150));
    }
    assert_eq!((world.control().calls().len(), lines(&world)), (0, (0, 0, 0)));
    assert_sound(&world);
}

#[test]
fn a_request_to_no_server_passes_with_whatever_it_carries_and_is_counted() {
    let world = kubernetes().start();
    let stale = world.mint(&token(exp_in(-5)));
    let with_stale = world.request("somewhere-else").bearer(&stale).send();
    let without = world.request("kubernetes-too").send();
    let root = world.request("kubernetes").path("/").send();
    for sent in [&with_stale, &without, &root] {
        assert!(sent.is_forwarded());
        assert_eq!((sent.stream().local_replies(), sent.stream().resumes()), (0, 0));
    }
    assert_eq!(with_stale.forwarded_bearer().as_deref(), Some(stale.as_str()));
    assert_eq!(
        world.counted(&["server=-", "outcome=passed", "requests_total"]),
        3
    );
    assert_eq!(world.counted(&["requests_total"]), 3);
    assert_eq!((world.control().calls().len(), lines(&world)), (0, (0, 0, 0)));
}

#[test]
fn the_routes_annotation_names_the_server_and_goes_before_host_and_path() {
    let world = FilterWorld::builder()
        .server(forward("by-path"))
        .server(forward("by-name").without_path().audience("other"))
        .start();
    let fits_by_name = token(exp_in(1800)).audiences(&["other"]);
    let annotated = world
        .request("by-path")
        .annotated("by-name")
        .bearer(fits_by_name.clone())
        .send();
    assert!(annotated.is_forwarded());
    let by_path = world.request("by-path").bearer(fits_by_name).send();
    assert_eq!(by_path.refusal().as_deref(), Some("wrong_audience"));
    assert_eq!(
        world.counted(&["server=by-name", "outcome=forwarded", "requests_total"]),
        1
    );
    assert_eq!(
        world.counted(&["server=by-path", "outcome=wrong_audience", "requests_total"]),
        1
    );
    assert_eq!(
        (world.upstream_requests().len(), world.control().calls().len()),
        (1, 0)
    );
}

#[test]
fn a_route_annotated_with_a_server_that_is_not_configured_never_passes() {
    let world = kubernetes()
        .setting("server_annotation", "tokenward-server")
        .workers(2)
        .start();
    for worker in 0..2 {
        let sent = world
            .request("kubernetes")
            .annotated("nobody")
            .bearer(token(exp_in(1800)))
            .on_worker(worker)
            .send();
        assert_eq!(
            (sent.status(), sent.refusal().as_deref()),
            (Some(503), Some("unknown_server"))
        );
        assert_eq!(sent.stream().local_replies(), 1);
    }
    assert_eq!((world.upstream_requests().len(), lines(&world)), (0, (1, 0, 1)));
}

#[test]
fn hosts_and_paths_find_the_server_as_routes_do() {
    let world = FilterWorld::builder()
        .server(forward("any-host").path_prefix("/mcp"))
        .server(forward("wildcard").host("*.example.com").path_prefix("/mcp"))
        .server(forward("exact").host("one.example.com").path_prefix("/mcp"))
        .server(forward("deeper").host("one.example.com").path_prefix("/mcp/deep"))
        .start();
    let fresh = world.mint(&token(exp_in(1800)));
    let routes = [
        ("other.org", "/mcp", "any-host"),
        ("two.example.com:8443", "/mcp/x", "wildcard"),
        ("ONE.example.com:8443", "/mcp?q=1", "exact"),
        ("one.example.com", "/mcp/deep", "deeper"),
        ("one.example.com", "/mcp/deeper", "exact"),
        ("one.example.com", "/mcpx", "-"),
    ];
    for (sent, (host, path, server)) in routes.into_iter().enumerate() {
        let before = world.counted(&[&format!("server={server};"), "requests_total"]);
        let request = world.request("x").host(host).path(path).bearer(&fresh).send();
        assert!(request.is_forwarded(), "{host}{path}");
        let after = world.counted(&[&format!("server={server};"), "requests_total"]);
        assert_eq!(after, before + 1, "{host}{path}");
        assert_eq!(world.upstream_requests().len(), sent + 1);
    }
    assert_eq!((world.control().calls().len(), lines(&world)), (0, (0, 0, 0)));
}

#[test]
fn without_a_setting_host_and_path_decide_and_an_annotation_only_where_these_lead_nowhere() {
    let world = kubernetes().start();
    let fresh = world.mint(&token(exp_in(1800)));
    let by_path = world
        .request("kubernetes")
        .annotated("nobody")
        .bearer(fresh.as_str());
    assert!(by_path.send().is_forwarded());
    let elsewhere = world.request("kubernetes").path("/elsewhere");
    let annotated = elsewhere.annotated("kubernetes").bearer(token(exp_in(-5))).send();
    world.advance(secs(1));
    assert_eq!(
        annotated.stream().local_replies(),
        1,
        "an annotation alone protects as well"
    );
    let unknown = world
        .request("kubernetes")
        .path("/elsewhere")
        .annotated("nobody")
        .send();
    assert_eq!(unknown.refusal().as_deref(), Some("unknown_server"));
    assert_eq!(world.upstream_requests().len(), 1);
}
