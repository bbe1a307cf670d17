//! Client authentication with a private key: which keys are read, and what their assertions are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokenward_control::upstream::issuer::client_assertion::{Assertion, BadClientKey, ClientKey};
use tokenward_control::upstream::issuer::jwk::VerifyingKey;
use tokenward_control::upstream::issuer::verify::{read_header, signed_by};

const NOW_MS: u64 = 1_800_000_000_000;

fn assertion(id: &str, with_pss: bool) -> Assertion<'_> {
    Assertion {
        client_id: "muster",
        audience: "https://sso.example.com/realms/home",
        now_ms: NOW_MS,
        id,
        with_pss,
    }
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn rsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).expect("an RSA key")
}

#[test]
fn every_supported_key_signs_assertions_that_its_own_public_key_verifies() {
    let keys = [
        (rsa(), false, "RS256"),
        (rsa(), true, "PS256"),
        (
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"),
            false,
            "ES256",
        ),
        (
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"),
            false,
            "ES384",
        ),
        (
            KeyPair::generate_for(&PKCS_ED25519).expect("a key"),
            true,
            "EdDSA",
        ),
    ];
    for (pair, with_pss, algorithm) in keys {
        let key = ClientKey::read(&pair.serialize_pem().into()).expect(algorithm);
        let signed = key.sign(&assertion("one", with_pss)).expect("an assertion");
        let token = signed.expose_secret();
        let header = part(token, 0);
        assert_eq!(header["alg"], algorithm);
        assert_eq!(header["kid"], key.key_id());
        let Value::Object(jwk) = key.jwk() else {
            panic!("a JWK is an object");
        };
        assert_eq!(jwk["kid"], key.key_id());
        let public = VerifyingKey::read(&jwk).expect("a usable JWK");
        let algorithm = read_header(token).expect("a header").algorithm;
        assert!(signed_by(token, algorithm, &public), "{algorithm:?}");
        let (_, other) = token.split_at(token.len() - 8);
        let damaged = token.replace(other, "AAAAAAAA");
        assert!(!signed_by(&damaged, algorithm, &public), "{algorithm:?}");
    }
}

#[test]
fn an_assertion_names_the_client_twice_the_audience_once_and_lives_two_minutes() {
    let key = ClientKey::read(&rsa().serialize_pem().into()).expect("a key");
    let signed = key.sign(&assertion("one", false)).expect("an assertion");
    let claims = part(signed.expose_secret(), 1);
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&"muster".into(), &"muster".into())
    );
    assert_eq!(claims["aud"], "https://sso.example.com/realms/home");
    assert_eq!(claims["jti"], "one");
    assert_eq!(claims["iat"], NOW_MS / 1000);
    assert_eq!(claims["exp"], NOW_MS / 1000 + 120);
    assert_eq!(claims["nbf"], NOW_MS / 1000 - 60);
}

#[test]
fn a_certificate_beside_the_key_names_it_in_place_of_a_key_id() {
    use sha2::{Digest, Sha256};
    let pair = rsa();
    let certificate = CertificateParams::new(vec!["client.example.com".to_owned()])
        .expect("parameters")
        .self_signed(&pair)
        .expect("a certificate");
    let pem = format!("{}{}", pair.serialize_pem(), certificate.pem());
    let key = ClientKey::read(&pem.into()).expect("a key");
    assert!(key.has_certificate());
    let signed = key.sign(&assertion("one", true)).expect("an assertion");
    let header = part(signed.expose_secret(), 0);
    assert_eq!(
        header["x5t#S256"],
        URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.der()))
    );
    assert_eq!(header.get("kid"), None);
}

#[test]
fn what_is_no_key_is_refused_and_nothing_of_it_is_shown() {
    let certificate_only = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_der = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXNlY3JldA==\n-----END PRIVATE KEY-----\n";
    let rows = [
        ("a client secret", BadClientKey::NoKey),
        (certificate_only, BadClientKey::NoKey),
        (no_der, BadClientKey::Unsupported),
    ];
    for (text, why) in rows {
        let refused = ClientKey::read(&text.into()).expect_err(text);
        assert_eq!(refused, why, "{text}");
        assert!(!refused.to_string().contains("secret-secret"));
    }
    let pair = rsa();
    let damaged = format!("{}{certificate_only}", pair.serialize_pem().replace('\r', ""));
    assert!(
        ClientKey::read(&damaged.into()).is_ok(),
        "a certificate is not parsed, only named"
    );
    let key = ClientKey::read(&pair.serialize_pem().into()).expect("a key");
    let shown = format!("{key:?}");
    assert!(shown.contains(key.key_id()) && shown.len() < 120, "{shown}");
}
