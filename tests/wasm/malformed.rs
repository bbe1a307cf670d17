//! Bad tokens and strange bytes are refused at once, reach nobody, ask nobody and harm no worker.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_wasm_host::story::{FilterWorld, HOST, SESSION_HEADER, Sent, exp_in, no_exp, token};
use tokenward_wasm_host::{Headers, Stream};

use crate::fixtures::{assert_refused_once, assert_sound, kubernetes, send_on};

const ALG: &str = r#"{"alg":"RS256"}"#;
const CLAIMS: &str = r#""iss":"https://dex.example.com","sub":"user-1","aud":["kube","muster"]"#;

fn jwt(header: &str, payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
}

/// A token whose `exp` is written so.
fn exp_written(exp: &str) -> String {
    jwt(ALG, &format!("{{{CLAIMS},\"exp\":{exp}}}"))
}

/// Nobody was asked, nothing arrived, and the worker still serves a good request.
fn assert_harmless(world: &FilterWorld, what: &str) {
    assert_eq!(world.control().calls().len(), 0, "{what}");
    assert_eq!(world.upstream_requests().len(), 0, "{what}");
    let all = world.counted(&["requests_total"]);
    let without_token = world.counted(&["outcome=missing_bearer", "requests_total"]);
    assert_eq!(world.warns().len(), usize::from(without_token < all), "{what}");
    let fresh = world.mint(&token(exp_in(1800)));
    assert!(
        send_on(world, 0, &fresh).is_forwarded(),
        "{what}: no service afterwards"
    );
    assert_eq!(world.upstream_requests().len(), 1, "{what}");
    assert_sound(world);
}

fn with_authorizations(world: &FilterWorld, values: &[&[u8]]) -> Sent {
    let request = world.request("kubernetes").session("s1");
    values
        .iter()
        .fold(request, |request, value| request.header("authorization", value))
        .send()
}

#[test]
fn every_token_that_is_no_jwt_with_a_whole_expiry_is_refused() {
    let future = "1900000000";
    let good = exp_written(future);
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let cases: Vec<(&str, String)> = vec![
        ("no dot", "abcdef".into()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("four dots", format!("{good}.{signature}.{signature}")),
        ("dots only", "..".into()),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("bad base64", format!("{header}.{payload}!.{signature}")),
        ("padded base64", format!("{header}.{payload}==.{signature}")),
        ("standard base64", format!("{header}.ey+/.{signature}")),
        ("impossible base64", format!("{header}.{payload}.a")),
        ("a payload that is not JSON", jwt(ALG, "exp=1900000000")),
        ("a payload that is a list", jwt(ALG, "[1900000000]")),
        ("a payload that is a number", jwt(ALG, future)),
        (
            "a payload cut short",
            jwt(ALG, &format!("{{{CLAIMS},\"exp\":190000")),
        ),
        (
            "more after the payload",
            jwt(ALG, &format!("{{{CLAIMS},\"exp\":{future}}}{{}}")),
        ),
        ("an endless nesting", jwt(ALG, &"[".repeat(20_000))),
        ("exp missing", jwt(ALG, &format!("{{{CLAIMS}}}"))),
        (
            "exp nested",
            jwt(ALG, &format!("{{{CLAIMS},\"x\":{{\"exp\":{future}}}}}")),
        ),
        ("exp null", exp_written("null")),
        ("exp negative", exp_written("-1900000000")),
        ("exp negative with a fraction", exp_written("-1900000000.5")),
        ("exp with an exponent beyond 2^53", exp_written("19e80")),
        ("exp a string", exp_written("\"1900000000\"")),
        ("exp a list", exp_written("[1900000000]")),
        ("exp beyond 2^53", exp_written("9007199254740993")),
        ("exp beyond 2^64", exp_written("18446744073709551616")),
        ("exp of a thousand digits", exp_written(&"9".repeat(1_000))),
        (
            "exp twice",
            jwt(ALG, &format!("{{{CLAIMS},\"exp\":1,\"exp\":{future}}}")),
        ),
        (
            "exp twice, escaped",
            jwt(ALG, &format!("{{{CLAIMS},\"e\\u0078p\":1,\"exp\":{future}}}")),
        ),
        (
            "iss twice",
            jwt(ALG, &format!("{{{CLAIMS},\"iss\":\"x\",\"exp\":{future}}}")),
        ),
        (
            "no iss",
            jwt(ALG, "{\"sub\":\"u\",\"aud\":\"kube\",\"exp\":1900000000}"),
        ),
        (
            "no sub",
            jwt(
                ALG,
                "{\"iss\":\"https://dex.example.com\",\"aud\":\"kube\",\"exp\":1900000000}",
            ),
        ),
        (
            "alg none",
            jwt(r#"{"alg":"none"}"#, &format!("{{{CLAIMS},\"exp\":{future}}}")),
        ),
        (
            "alg NoNe",
            jwt(r#"{"alg":"NoNe"}"#, &format!("{{{CLAIMS},\"exp\":{future}}}")),
        ),
        ("no alg", jwt("{}", &format!("{{{CLAIMS},\"exp\":{future}}}"))),
        (
            "alg twice",
            jwt(
                r#"{"alg":"none","alg":"RS256"}"#,
                &format!("{{{CLAIMS},\"exp\":{future}}}"),
            ),
        ),
    ];
    for (what, bad) in cases {
        let world = kubernetes().start();
        let sent = send_on(&world, 0, &bad);
        assert_eq!(sent.status(), Some(401), "{what}");
        assert_refused_once(&sent, 401, "malformed_bearer");
        assert_harmless(&world, what);
    }
    let world = kubernetes().start();
    assert!(
        send_on(&world, 0, &good).is_forwarded(),
        "what all of these were made from is good"
    );
}

#[test]
fn a_token_of_the_issuer_without_an_expiry_is_refused_and_asked_for_by_nobody() {
    let world = kubernetes().start();
    assert_refused_once(
        &send_on(&world, 0, &world.mint(&token(no_exp()))),
        401,
        "malformed_bearer",
    );
    assert_harmless(&world, "no exp");
}

#[test]
fn authorizations_that_carry_no_single_bearer_are_refused() {
    let fresh = kubernetes().start().mint(&token(exp_in(1800)));
    let bearer = format!("Bearer {fresh}");
    let joined = format!("Bearer {fresh}, Bearer {fresh}");
    let two_tokens = format!("Bearer {fresh} {fresh}");
    let glued = format!("Bearer{fresh}");
    let basic = b"Basic Zm9vOmJhcg==".as_slice();
    let hundred = vec![bearer.as_bytes(); 100];
    let cases: Vec<(&str, Vec<&[u8]>, &str)> = vec![
        ("none", vec![], "missing_bearer"),
        ("an empty one", vec![b""], "missing_bearer"),
        ("Bearer alone", vec![b"Bearer"], "missing_bearer"),
        ("Bearer and a blank", vec![b"Bearer "], "missing_bearer"),
        ("Basic", vec![basic], "missing_bearer"),
        ("no blank in between", vec![glued.as_bytes()], "missing_bearer"),
        ("the token alone", vec![fresh.as_bytes()], "missing_bearer"),
        (
            "two headers",
            vec![bearer.as_bytes(), bearer.as_bytes()],
            "ambiguous_bearer",
        ),
        (
            "Basic and Bearer",
            vec![basic, bearer.as_bytes()],
            "ambiguous_bearer",
        ),
        (
            "an empty one first",
            vec![b"", bearer.as_bytes()],
            "ambiguous_bearer",
        ),
        ("joined by a comma", vec![joined.as_bytes()], "ambiguous_bearer"),
        ("two tokens", vec![two_tokens.as_bytes()], "ambiguous_bearer"),
        ("a hundred headers", hundred, "ambiguous_bearer"),
    ];
    for (what, values, refusal) in cases {
        let world = kubernetes().start();
        let sent = with_authorizations(&world, &values);
        assert_eq!(sent.refusal().as_deref(), Some(refusal), "{what}");
        assert_refused_once(&sent, 401, refusal);
        assert_harmless(&world, what);
    }
}

#[test]
fn a_second_bearer_behind_fifteen_hundred_headers_is_not_overlooked() {
    let world = kubernetes().start();
    let fresh = world.mint(&token(exp_in(1800)));
    let stale = world.mint(&token(exp_in(-5)));
    let mut request = world.request("kubernetes").session("s1").bearer(&fresh);
    for n in 0..1_500 {
        request = request.header(&format!("x-filler-{n}"), "1");
    }
    assert_refused_once(&request.bearer(&stale).send(), 401, "ambiguous_bearer");
    assert_harmless(&world, "1,500 headers");
}

#[test]
fn bearer_may_be_written_in_any_letter_case_and_with_more_blanks() {
    let world = kubernetes().start();
    let fresh = world.mint(&token(exp_in(1800)));
    let schemes = [
        "Bearer ",
        "bearer ",
        "BEARER ",
        "bEaReR ",
        "Bearer   ",
        "Bearer\t",
        "  Bearer ",
    ];
    for (sent, scheme) in schemes.into_iter().enumerate() {
        let value = format!("{scheme}{fresh}");
        assert!(
            with_authorizations(&world, &[value.as_bytes()]).is_forwarded(),
            "{scheme:?}"
        );
        let arrived = world.upstream_requests();
        assert_eq!(arrived.len(), sent + 1);
        assert_eq!(
            arrived[sent].request.headers.all("authorization"),
            [value.as_bytes()]
        );
    }
    assert_eq!(world.control().calls().len(), 0);
    assert_sound(&world);
}

#[test]
fn bytes_that_are_not_ascii_in_the_authorization_are_refused() {
    let fresh = kubernetes().start().mint(&token(exp_in(1800)));
    for byte in 0x80..=0xff_u8 {
        let world = kubernetes().start();
        let whole = [b"Bearer ".as_slice(), &[byte]].concat();
        let inside = [b"Bearer ".as_slice(), fresh.as_bytes(), &[byte]].concat();
        let scheme = [&[byte], b"earer ".as_slice(), fresh.as_bytes()].concat();
        for (value, refusal) in [
            (&whole, "malformed_bearer"),
            (&inside, "malformed_bearer"),
            (&scheme, "missing_bearer"),
        ] {
            assert_refused_once(&with_authorizations(&world, &[value]), 401, refusal);
        }
        assert_harmless(&world, &format!("byte {byte:#x}"));
    }
}

fn raw(world: &FilterWorld, headers: Headers) -> Stream {
    world.gateway().worker(0).request(headers)
}

#[test]
fn bytes_that_are_not_ascii_in_any_other_header_change_nothing() {
    let world = kubernetes().start();
    let fresh = world.mint(&token(exp_in(1800)));
    let bearer = format!("Bearer {fresh}");
    let every_byte: Vec<u8> = (0x80..=0xff).collect();
    let names = [
        "x-any",
        "traceparent",
        SESSION_HEADER,
        "cookie",
        "user-agent",
        "host",
    ];
    for (sent, name) in names.into_iter().enumerate() {
        let request = Headers::request("POST", HOST, "/kubernetes/mcp")
            .with("authorization", &bearer)
            .with(name, &every_byte);
        let stream = raw(&world, request.clone());
        assert!(!stream.is_paused(), "{name}");
        let arrived = world.upstream_requests();
        assert_eq!(arrived.len(), sent + 1, "{name}");
        assert_eq!(arrived[sent].request.headers, request, "{name}");
    }
    let mut strange_path = Headers::request("POST", HOST, "/");
    strange_path.replace(":path", [b"/kubernetes/".as_slice(), &every_byte].concat());
    assert!(
        raw(&world, strange_path)
            .client_response()
            .is_some_and(|response| response.status == 401)
    );
    let mut strange_host = Headers::request("POST", HOST, "/kubernetes/mcp");
    strange_host.replace(":authority", &every_byte);
    assert!(
        raw(&world, strange_host)
            .client_response()
            .is_some_and(|response| response.status == 401)
    );
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (0, 6)
    );
    assert_sound(&world);
}

#[test]
fn a_session_handle_that_cannot_be_one_is_not_used() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800)));
    let too_long = "s".repeat(513);
    let handles: [&[&[u8]]; 5] = [
        &[b""],
        &[&[0xff, b's']],
        &[b"a b"],
        &[too_long.as_bytes()],
        &[b"s1", b"s2"],
    ];
    for (n, handles) in handles.into_iter().enumerate() {
        let presented = world.mint(&token(exp_in(-5)).id(&format!("token-{n}")));
        let request = world.request("kubernetes").bearer(&presented);
        let sent = handles
            .iter()
            .fold(request, |request, handle| request.header(SESSION_HEADER, handle))
            .send();
        assert!(sent.is_forwarded());
        assert_eq!(
            world.control().calls()[n].session,
            None,
            "the token's subject instead"
        );
    }
    assert_eq!(world.control().calls().len(), 5);
    assert_sound(&world);
}
