//! Client assertions: claims, lifetime and signature.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokenward_control::authorization::client::assertion::{Assertion, BadAssertion};
use tokenward_control::upstream::issuer::jwk::VerifyingKey;
use tokenward_control::upstream::issuer::key_set::KeySet;

const CLIENT: &str = "https://chatgpt.com/oauth/client.json";
const ISSUER: &str = "https://mcp.example.com";
const TOKEN_ENDPOINT: &str = "https://mcp.example.com/token";
const NOW_SECONDS: u64 = 1_800_000_000;

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims() -> Value {
    json!({"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": NOW_SECONDS + 60, "iat": NOW_SECONDS, "jti": "1"})
}

fn signed(pair: &Ed25519KeyPair, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", encoded(header), encoded(claims));
    let signature = pair.sign(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn read(token: &str) -> Result<Assertion, BadAssertion> {
    Assertion::read(token, CLIENT, &[ISSUER, TOKEN_ENDPOINT], NOW_SECONDS)
}

/// Reads an assertion with these claims replaced.
fn with(members: &Value) -> Result<Assertion, BadAssertion> {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let mut claims = claims();
    for (name, value) in members.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    read(&signed(&pair, &json!({"alg": "EdDSA"}), &claims))
}

fn keys(pair: &Ed25519KeyPair, kid: Option<&str>) -> Vec<VerifyingKey> {
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid}]});
    KeySet::read(set.to_string().as_bytes()).expect("a set").keys
}

#[test]
fn an_assertion_that_the_clients_key_signed_is_accepted() {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let token = signed(
        &pair,
        &json!({"alg": "EdDSA", "kid": "a", "typ": "JWT"}),
        &claims(),
    );
    let assertion = read(&token).expect("reads");
    assert_eq!(
        (assertion.id.as_str(), assertion.expires_at_seconds),
        ("1", NOW_SECONDS + 60)
    );
    assert!(assertion.is_signed(&token, &keys(&pair, Some("a"))));
    assert!(assertion.is_signed(&token, &keys(&pair, None)));
    assert!(!assertion.is_signed(&token, &keys(&pair, Some("b"))));
    let other = Ed25519KeyPair::generate().expect("a key");
    assert!(!assertion.is_signed(&token, &keys(&other, Some("a"))));
    assert!(!assertion.is_signed(&token, &[]));
    // Remembered until no clock accepts it any more.
    assert_eq!(assertion.remembered_for_seconds(NOW_SECONDS), 180);
}

#[test]
fn an_assertion_is_of_its_client_and_for_us_alone() {
    for aud in [json!(ISSUER), json!([ISSUER]), json!(TOKEN_ENDPOINT)] {
        assert!(with(&json!({"aud": aud})).is_ok(), "{aud}");
    }
    for aud in [
        json!("https://mcp.example.com/"),
        json!("https://evil.example"),
        json!([ISSUER, "https://evil.example"]),
        json!([ISSUER, TOKEN_ENDPOINT]),
        json!([]),
    ] {
        assert_eq!(with(&json!({"aud": aud})), Err(BadAssertion::Audience), "{aud}");
    }
    assert_eq!(with(&json!({"iss": ISSUER})), Err(BadAssertion::Client));
    assert_eq!(
        with(&json!({"sub": "https://evil.example/c"})),
        Err(BadAssertion::Client)
    );
}

#[test]
fn an_assertion_lives_for_minutes_and_has_an_id() {
    for (exp, expected) in [
        (NOW_SECONDS - 60, Some(BadAssertion::Expired)),
        (NOW_SECONDS - 59, None),
        (NOW_SECONDS + 360, None),
        (NOW_SECONDS + 361, Some(BadAssertion::TooLong)),
    ] {
        assert_eq!(with(&json!({"exp": exp})).err(), expected, "{exp}");
    }
    for (name, at, expected) in [
        ("iat", NOW_SECONDS + 60, None),
        ("iat", NOW_SECONDS + 61, Some(BadAssertion::NotYet)),
        ("nbf", NOW_SECONDS + 60, None),
        ("nbf", NOW_SECONDS + 61, Some(BadAssertion::NotYet)),
    ] {
        assert_eq!(with(&json!({name: at})).err(), expected, "{name} {at}");
    }
    for members in [
        json!({"jti": ""}),
        json!({"jti": 1}),
        json!({"jti": null}),
        json!({"exp": "soon"}),
        json!({"nbf": "now"}),
    ] {
        assert_eq!(with(&members), Err(BadAssertion::Unreadable), "{members}");
    }
    assert_eq!(
        with(&json!({"jti": "j".repeat(9000)})),
        Err(BadAssertion::Unreadable)
    );
}

#[test]
fn only_the_advertised_algorithms_are_accepted() {
    let pair = Ed25519KeyPair::generate().expect("a key");
    for alg in ["none", "HS256", "PS256", "ES384", "RS512", "eddsa"] {
        let token = signed(&pair, &json!({"alg": alg}), &claims());
        assert_eq!(read(&token), Err(BadAssertion::Algorithm), "{alg}");
    }
    for alg in ["RS256", "ES256"] {
        let token = signed(&pair, &json!({"alg": alg}), &claims());
        let assertion = read(&token).expect("reads");
        assert!(
            !assertion.is_signed(&token, &keys(&pair, None)),
            "{alg} with an Ed25519 key"
        );
    }
    assert!(read("a.b").is_err());
}
