//! Which signatures are accepted, and why others are not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokenward_control::upstream::issuer::algorithm::Algorithm;
use tokenward_control::upstream::issuer::jwk::VerifyingKey;
use tokenward_control::upstream::issuer::key_set::KeySet;
use tokenward_control::upstream::issuer::loggable::loggable;
use tokenward_control::upstream::issuer::verify::{BadHeader, read_header, signed_by};

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signing_input(alg: &str) -> String {
    let header = json!({"alg": alg}).to_string();
    format!("{}.{}", encoded(header.as_bytes()), encoded(b"{}"))
}

fn key(jwk: &Value) -> VerifyingKey {
    let set = KeySet::read(json!({"keys": [jwk]}).to_string().as_bytes()).expect("a set");
    set.keys.into_iter().next().expect("one key")
}

fn is_accepted(token: &str, key: &VerifyingKey) -> bool {
    read_header(token).is_ok_and(|header| signed_by(token, header.algorithm, key))
}

/// RFC 8037, appendix A.4.
#[test]
fn the_eddsa_example_of_the_rfc_is_accepted_and_an_altered_one_is_not() {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    assert!(is_accepted(token, &key(&jwk)));
    assert!(!is_accepted(
        &token.replace("RXhhbXBsZS", "RXhhbXBsZT"),
        &key(&jwk)
    ));
}

#[test]
fn ed25519_is_accepted_by_either_name_in_the_header_and_in_the_key() {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let x = encoded(pair.public_key().as_ref());
    for header in ["EdDSA", "Ed25519"] {
        let input = signing_input(header);
        let token = format!("{input}.{}", encoded(pair.sign(input.as_bytes()).as_ref()));
        for alg in [json!(null), json!("EdDSA"), json!("Ed25519")] {
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": alg});
            assert!(is_accepted(&token, &key(&jwk)), "{header} {alg}");
        }
    }
}

#[test]
fn es512_is_accepted_by_a_p521_key_and_by_no_other_name() -> Result<(), aws_lc_rs::error::Unspecified> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING)?;
    let point = pair.public_key().as_ref();
    let (x, y) = (encoded(&point[1..67]), encoded(&point[67..]));
    let jwk = json!({"kty": "EC", "crv": "P-521", "x": x, "y": y, "alg": "ES512", "use": "sig"});
    for (alg, accepted) in [("ES512", true), ("ES384", false), ("ES521", false)] {
        let input = signing_input(alg);
        let signature = pair.sign(&SystemRandom::new(), input.as_bytes())?;
        let token = format!("{input}.{}", encoded(signature.as_ref()));
        assert_eq!(is_accepted(&token, &key(&jwk)), accepted, "{alg}");
    }
    Ok(())
}

#[test]
fn an_unsupported_algorithm_is_named_and_differs_from_an_unreadable_header() {
    let read = |header: &str| read_header(&format!("{}.e30.AA", encoded(header.as_bytes())));
    for alg in ["HS256", "none", "ES256K", "Ed448", "ML-DSA-44", "RSA-OAEP"] {
        let header = json!({"alg": alg}).to_string();
        assert_eq!(read(&header), Err(BadHeader::Algorithm(alg.to_owned())));
    }
    for header in [
        "",
        "[]",
        "{}",
        r#"{"alg":5}"#,
        r#"{"alg":"RS256","crit":["x"]}"#,
        r#"{"alg":"RS256","alg":"HS256"}"#,
        r#"{"alg":"RS256","kid":5}"#,
    ] {
        assert_eq!(read(header), Err(BadHeader::Unreadable), "{header}");
    }
    let good = read(r#"{"alg":"PS384","kid":"a","jku":"https://x.example"}"#).expect("a header");
    assert_eq!(
        (good.algorithm, good.key_id.as_deref()),
        (Algorithm::Ps384, Some("a"))
    );
}

#[test]
fn header_values_are_logged_short_and_without_control_characters() {
    assert_eq!(loggable("key-1_A.~:/+="), "key-1_A.~:/+=");
    assert_eq!(loggable("a\"b\\c\nd\u{1b}e"), "a?b?c?d?e");
    assert_eq!(loggable(&"x".repeat(1000)), format!("{}...", "x".repeat(64)));
}
