//! What Envoy lets through, the filter reads; beyond that it says how large the token is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_protocol::jwt::MAX_TOKEN_BYTES;

use crate::fixtures::{assert_refused_once, assert_sound, kubernetes, send_on};

/// A fresh token of exactly so many bytes.
fn token_of(bytes: usize) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let padding = "x".repeat((bytes - 400) / 4 * 3);
    let payload = format!(
        r#"{{"iss":"https://dex.example.com","sub":"user-1","aud":["kube","muster"],"exp":1900000000,"pad":"{padding}"}}"#
    );
    let about = format!(
        "{}.{}.{}",
        encode(r#"{"alg":"RS256"}"#),
        encode(&payload),
        encode("signature")
    );
    let missing = bytes - about.len();
    format!("{about}{}", "A".repeat(missing))
}

#[test]
fn a_token_as_large_as_the_headers_of_a_request_may_be_is_forwarded() {
    let world = kubernetes().start();
    for bytes in [33_000, 48_000, MAX_TOKEN_BYTES] {
        let large = token_of(bytes);
        assert_eq!(large.len(), bytes);
        assert!(send_on(&world, 0, &large).is_forwarded(), "{bytes} bytes");
    }
    assert_eq!((world.control().calls().len(), world.warns().len()), (0, 0));
    assert_sound(&world);
}

#[test]
fn a_larger_token_is_refused_by_its_size_and_nobody_is_sent_to_log_in() {
    for large in [
        token_of(MAX_TOKEN_BYTES + 1),
        token_of(200_000),
        "x".repeat(70_000),
    ] {
        let world = kubernetes().start();
        let sent = send_on(&world, 0, &large);
        assert_refused_once(&sent, 431, "token_too_large");
        let body = sent.json().expect("JSON");
        assert_eq!(body["token_bytes"], large.len());
        assert!(
            body["error_description"]
                .as_str()
                .is_some_and(|text| text.contains("61440")),
            "{body}"
        );
        assert_eq!(sent.header("www-authenticate"), None);
        assert_eq!(
            (world.control().calls().len(), world.upstream_requests().len()),
            (0, 0)
        );
        assert_eq!(world.warns().len(), 1);
        assert_sound(&world);
    }
    let world = kubernetes().start();
    let joined = format!("Bearer {}, Bearer {}", token_of(40_000), token_of(40_000));
    let sent = world.request("kubernetes").header("authorization", joined).send();
    assert_refused_once(&sent, 401, "ambiguous_bearer");
}
