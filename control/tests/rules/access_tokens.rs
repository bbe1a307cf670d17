//! Our own access tokens: what is signed is verified, and nothing else is.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokenward_control::authorization::access_token::{
    AccessTokenClaims, BadSigningKey, MAX_ACCESS_TOKEN_BYTES, NotOurs, SigningKeys, generate,
};
use tokenward_control::config::SigningKeysConfig;
use tokenward_protocol::jwt::Claims;

const ISSUED_AT_SECONDS: u64 = 1_800_000_000;
const NOW_MS: u64 = (ISSUED_AT_SECONDS + 60) * 1000;

/// RFC 8037, appendix A.1, as PKCS#8.
const RFC_8037_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

fn keys(current: &SecretString, next: Option<&SecretString>) -> SigningKeys {
    SigningKeys::from_config(&SigningKeysConfig {
        current: current.clone(),
        next: next.cloned(),
    })
    .expect("usable keys")
}

fn new_key() -> SecretString {
    generate().expect("a key")
}

fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        issuer: "https://mcp.example.com".to_owned(),
        subject: "CgVhbGljZRIEbW9jaw".to_owned(),
        audience: "https://mcp.example.com/kubernetes".to_owned(),
        client_id: "https://vscode.dev/oauth/client-metadata.json".to_owned(),
        scope: "mcp offline_access".to_owned(),
        issued_at_seconds: ISSUED_AT_SECONDS,
        expires_at_seconds: ISSUED_AT_SECONDS + 3600,
        id: "f3b1".to_owned(),
        session: SecretString::from("0123456789abcdef0123456789abcdef"),
    }
}

fn parts(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    });
    [parts.next().expect("a header"), parts.next().expect("a payload")]
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn a_signed_token_is_verified_until_its_last_second_has_passed() {
    let keys = keys(&new_key(), None);
    let claims = claims();
    let token = keys.sign(&claims);
    for now_ms in [0, NOW_MS, claims.expires_at_seconds * 1000 - 1] {
        let read = keys.verify(token.expose_secret(), now_ms).expect("good");
        assert_eq!(format!("{read:?}"), format!("{claims:?}"));
        assert_eq!(read.session.expose_secret(), claims.session.expose_secret());
    }
    for now_ms in [claims.expires_at_seconds * 1000, u64::MAX] {
        assert_eq!(
            keys.verify(token.expose_secret(), now_ms).expect_err("stale"),
            NotOurs::Expired
        );
    }
}

#[test]
fn the_token_has_the_header_and_the_claims_of_its_profile() {
    let keys = keys(&new_key(), None);
    let token = keys.sign(&claims());
    let [header, payload] = parts(token.expose_secret());
    let key_id = keys.jwks()["keys"][0]["kid"].clone();
    assert_eq!(header, json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key_id}));
    let expected = json!({
        "iss": "https://mcp.example.com", "sub": "CgVhbGljZRIEbW9jaw", "aud": ["https://mcp.example.com/kubernetes"],
        "client_id": "https://vscode.dev/oauth/client-metadata.json", "scope": "mcp offline_access",
        "iat": 1_800_000_000, "exp": 1_800_003_600, "jti": "f3b1", "sid": "0123456789abcdef0123456789abcdef",
    });
    assert_eq!(payload, expected);
    // The filter's own parser reads the same.
    let filters = Claims::read(token.expose_secret().as_bytes()).expect("claims");
    assert_eq!(filters.exp_seconds, 1_800_003_600);
    assert_eq!(filters.audiences, ["https://mcp.example.com/kubernetes"]);
    assert!(
        token.expose_secret().len() < 700,
        "{}",
        token.expose_secret().len()
    );
}

#[test]
fn the_key_id_is_the_thumbprint_and_the_published_key_verifies() {
    let keys = keys(&SecretString::from(RFC_8037_KEY), None);
    // RFC 8037, appendices A.2 and A.3.
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "use": "sig", "alg": "EdDSA",
    });
    assert_eq!(keys.jwks(), json!({"keys": [jwk]}));
    let token = keys.sign(&claims());
    let (input, signature) = token.expose_secret().rsplit_once('.').expect("a signature");
    let public = URL_SAFE_NO_PAD
        .decode(jwk["x"].as_str().expect("x"))
        .expect("bytes");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("bytes");
    UnparsedPublicKey::new(&ED25519, public)
        .verify(input.as_bytes(), &signature)
        .expect("verified by the published key");
}

#[test]
fn a_rotation_in_either_order_retains_every_token_and_a_removed_key_ends_its_tokens() {
    let (first, second, third) = (new_key(), new_key(), new_key());
    let token = keys(&first, None).sign(&claims());
    let verified = |keys: SigningKeys| keys.verify(token.expose_secret(), NOW_MS).map(drop);
    assert_eq!(verified(keys(&first, Some(&second))), Ok(()));
    assert_eq!(verified(keys(&second, Some(&first))), Ok(()));
    assert_eq!(verified(keys(&second, Some(&third))), Err(NotOurs::UnknownKey));
    let both = keys(&first, Some(&second)).jwks();
    assert_eq!(both["keys"].as_array().map(Vec::len), Some(2));
    assert_ne!(both["keys"][0]["kid"], both["keys"][1]["kid"]);
}

#[test]
fn another_header_is_refused_even_with_a_good_signature() {
    let pem = new_key();
    let keys = keys(&pem, None);
    let key_id = keys.jwks()["keys"][0]["kid"].clone();
    let [good, payload] = parts(keys.sign(&claims()).expose_secret());
    let with = |name: &str, value: Value| {
        let mut header = good.clone();
        header[name] = value;
        header
    };
    let headers = [
        (with("alg", json!("none")), NotOurs::Header),
        (with("alg", json!("HS256")), NotOurs::Header),
        (with("alg", json!("Ed25519")), NotOurs::Header),
        (with("alg", json!("eddsa")), NotOurs::Header),
        (with("typ", json!("JWT")), NotOurs::Header),
        (with("typ", json!("application/at+jwt")), NotOurs::Header),
        (with("crit", json!(["exp"])), NotOurs::Header),
        (with("jwk", json!({"kty": "OKP"})), NotOurs::Header),
        (with("b64", json!(false)), NotOurs::Header),
        (with("kid", json!(null)), NotOurs::Header),
        (with("kid", json!("other")), NotOurs::UnknownKey),
        (json!({"alg": "EdDSA", "kid": key_id}), NotOurs::Header),
        (json!({"typ": "at+jwt", "kid": key_id}), NotOurs::Header),
        (json!([]), NotOurs::Header),
    ];
    for (header, why) in headers {
        let input = format!("{}.{}", encoded(&header), encoded(&payload));
        let token = signed(&pem, &input);
        assert_eq!(keys.verify(&token, NOW_MS).expect_err("refused"), why, "{header}");
    }
    // The same way of signing, with nothing changed.
    let input = format!("{}.{}", encoded(&good), encoded(&payload));
    assert!(keys.verify(&signed(&pem, &input), NOW_MS).is_ok());
}

#[test]
fn other_claims_are_refused_and_additional_ones_are_ignored() {
    let pem = new_key();
    let keys = keys(&pem, None);
    let [header, good] = parts(keys.sign(&claims()).expose_secret());
    let verified = |payload: &str| {
        let input = format!("{}.{}", encoded(&header), URL_SAFE_NO_PAD.encode(payload));
        keys.verify(&signed(&pem, &input), NOW_MS).map(drop)
    };
    for name in [
        "iss",
        "sub",
        "aud",
        "client_id",
        "scope",
        "iat",
        "exp",
        "jti",
        "sid",
    ] {
        let mut payload = good.clone();
        payload.as_object_mut().expect("an object").remove(name);
        assert_eq!(verified(&payload.to_string()), Err(NotOurs::Claims), "{name}");
    }
    let several = json!([
        "https://mcp.example.com/kubernetes",
        "https://mcp.example.com/other"
    ]);
    let others = [
        ("aud", json!("https://mcp.example.com/kubernetes")),
        ("aud", several),
        ("aud", json!([])),
        ("exp", json!("1800003600")),
        ("exp", json!(1_800_003_600.5)),
        ("exp", json!(-1)),
        ("sid", json!(null)),
    ];
    for (name, value) in others {
        let mut payload = good.clone();
        payload[name] = value;
        assert_eq!(verified(&payload.to_string()), Err(NotOurs::Claims), "{payload}");
    }
    let twice = good.to_string().replacen('{', r#"{"exp":9999999999,"#, 1);
    assert_eq!(verified(&twice), Err(NotOurs::Claims));
    let mut more = good.clone();
    more["acr"] = json!("later");
    assert_eq!(verified(&more.to_string()), Ok(()));
}

#[test]
fn every_altered_byte_makes_a_token_unusable() {
    let keys = keys(&new_key(), None);
    let token = keys.sign(&claims());
    let token = token.expose_secret();
    let mut refused = 0;
    for position in 0..token.len() {
        let mut altered = token.as_bytes().to_vec();
        altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).expect("ASCII");
        assert!(keys.verify(&altered, NOW_MS).is_err(), "at {position}");
        refused += 1;
    }
    assert_eq!(refused, token.len());
}

#[test]
fn what_is_no_compact_jws_is_refused() {
    let keys = keys(&new_key(), None);
    for token in ["", ".", "..", "a.b", "a.b.c.d", "e30.e30.e30=", "e30.e30.%%"] {
        let why = keys.verify(token, NOW_MS).expect_err("refused");
        assert!(
            matches!(why, NotOurs::Unreadable | NotOurs::Header),
            "{token}: {why}"
        );
    }
    let mut large = claims();
    large.client_id = "c".repeat(MAX_ACCESS_TOKEN_BYTES);
    let token = keys.sign(&large);
    assert_eq!(
        keys.verify(token.expose_secret(), NOW_MS).expect_err("refused"),
        NotOurs::TooLong
    );
}

#[test]
fn a_key_that_is_not_one_ed25519_key_in_pem_is_refused_with_its_reason() {
    let made = new_key();
    let made = made.expose_secret();
    let rsa = "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n";
    let cases = [
        (String::new(), BadSigningKey::NotPem),
        (made.replace("PRIVATE", "PUBLIC"), BadSigningKey::NotPem),
        (format!("{made}{made}"), BadSigningKey::NotPem),
        (made.replace("MC4C", "MC4%"), BadSigningKey::NotPem),
        (
            made.lines().nth(1).unwrap_or_default().to_owned(),
            BadSigningKey::NotPem,
        ),
        (rsa.to_owned(), BadSigningKey::NotEd25519),
    ];
    for (pem, why) in cases {
        let config = SigningKeysConfig {
            current: SecretString::from(pem),
            next: None,
        };
        assert_eq!(SigningKeys::from_config(&config).expect_err("refused"), why);
    }
    let twice = SigningKeysConfig {
        current: SecretString::from(made),
        next: Some(SecretString::from(format!("\n{made}\n"))),
    };
    assert_eq!(
        SigningKeys::from_config(&twice).expect_err("refused"),
        BadSigningKey::SameKey
    );
}

#[test]
fn no_output_contains_a_key_or_a_session() {
    let pem = new_key();
    let keys = keys(&pem, None);
    let secret = pem.expose_secret().lines().nth(1).expect("a line").to_owned();
    let printed = format!("{keys:?} {:?} {}", claims(), keys.jwks());
    assert!(
        !printed.contains(&secret) && !printed.contains("0123456789abcdef"),
        "{printed}"
    );
}

/// `input` with the signature of `pem`'s key, made without the code under test.
fn signed(pem: &SecretString, input: &str) -> String {
    use base64::engine::general_purpose::STANDARD;
    let body: String = pem
        .expose_secret()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = STANDARD.decode(body).expect("base64");
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).expect("a key");
    format!(
        "{input}.{}",
        URL_SAFE_NO_PAD.encode(pair.sign(input.as_bytes()).as_ref())
    )
}
