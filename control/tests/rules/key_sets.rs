//! Key sets as issuers publish them, and how old a set can be when it arrives.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokenward_control::upstream::issuer::jwk::NotUsed;
use tokenward_control::upstream::issuer::key_set::{BadKeySet, CacheTime, KeySet, MOST_KEYS};

/// RFC 7638 §3.1.
const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn rsa(changes: &Value) -> Value {
    let mut jwk = json!({"kty": "RSA", "n": MODULUS, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
    for (name, value) in changes.as_object().expect("an object") {
        jwk[name] = value.clone();
    }
    jwk
}

fn read(keys: &[Value]) -> KeySet {
    KeySet::read(json!({"keys": keys}).to_string().as_bytes()).expect("a set")
}

/// RFC 7638 §3.1, RFC 8037 appendix A.3.
#[test]
fn a_key_has_the_thumbprint_of_the_rfcs() {
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let thumbprints: Vec<String> = read(&[rsa(&json!({})), okp])
        .keys
        .iter()
        .map(|key| key.thumbprint())
        .collect();
    assert_eq!(
        thumbprints,
        [
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        ]
    );
}

#[test]
fn different_encodings_of_a_key_are_the_same_key() {
    let octets = URL_SAFE_NO_PAD.decode(MODULUS).expect("base64url");
    let with_zero = [&[0], octets.as_slice()].concat();
    let broken = format!("{}\n {}", &MODULUS[..60], &MODULUS[60..]);
    let plain = read(&[rsa(&json!({}))]);
    for (what, change) in [
        ("padding", json!({"n": URL_SAFE.encode(&octets)})),
        (
            "a leading zero octet",
            json!({"n": URL_SAFE_NO_PAD.encode(with_zero)}),
        ),
        (
            "an exponent with one",
            json!({"e": URL_SAFE_NO_PAD.encode([0, 1, 0, 1])}),
        ),
        ("the other alphabet", json!({"n": STANDARD.encode(&octets)})),
        ("line breaks", json!({"n": broken})),
        (
            "members of no meaning",
            json!({"x5c": ["AAAA"], "x5t": "x", "exp": 5, "nbf": 1.5, "ext": true}),
        ),
        ("use", json!({"use": "sig"})),
        ("an operation more", json!({"key_ops": ["verify", "weird"]})),
        ("null for what is not said", json!({"use": null, "key_ops": null})),
    ] {
        assert_eq!(read(&[rsa(&change)]).keys, plain.keys, "{what}");
    }
}

#[test]
fn an_unusable_key_is_reported_with_the_reason_and_affects_no_other() {
    let unsupported = |what: &str| NotUsed::Unsupported(what.to_owned());
    let rows = [
        (rsa(&json!({"use": "enc"})), NotUsed::OtherUse),
        (rsa(&json!({"key_ops": ["sign"]})), NotUsed::OtherUse),
        (rsa(&json!({"alg": "RSA-OAEP-256"})), NotUsed::OtherUse),
        (rsa(&json!({"use": "verify"})), unsupported("use verify")),
        (rsa(&json!({"alg": "RS1"})), unsupported("algorithm RS1")),
        (
            rsa(&json!({"alg": "ES256"})),
            NotUsed::Unreadable("its alg does not fit its type"),
        ),
        (rsa(&json!({"n": "AQAB"})), unsupported("an RSA key of 17 bits")),
        (
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}),
            unsupported("key type AKP"),
        ),
        (json!({"kty": "oct", "k": "AAAA"}), unsupported("key type oct")),
        (
            json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
            unsupported("curve secp256k1"),
        ),
        (
            json!({"kty": "OKP", "crv": "Ed448", "x": "AA"}),
            unsupported("curve Ed448"),
        ),
        (
            json!({"kty": "OKP", "crv": "X25519", "x": "AA"}),
            NotUsed::OtherUse,
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}),
            NotUsed::Unreadable("it is not a point of its curve"),
        ),
        (
            json!({"kty": "RSA", "x5c": ["AAAA"]}),
            NotUsed::Unreadable("it has x5c but not n and e (RFC 7518 §6.3.1)"),
        ),
        (json!({"kid": "?"}), NotUsed::Unreadable("it has no kty")),
        (json!(7), NotUsed::Unreadable("it is not a JSON object")),
        (Value::Null, NotUsed::Unreadable("it is not a JSON object")),
    ];
    for (jwk, why) in rows {
        let set = read(&[jwk.clone(), rsa(&json!({}))]);
        let reasons: Vec<_> = set.unused.iter().map(|key| key.why.clone()).collect();
        assert_eq!((set.keys.len(), reasons), (1, vec![why.clone()]), "{jwk}");
        assert_eq!(set.unusable(), usize::from(why != NotUsed::OtherUse), "{jwk}");
    }
}

#[test]
fn a_set_without_keys_is_empty_and_differs_from_a_body_that_is_no_set() {
    for body in [r#"{"keys":[]}"#, r#"{"keys":[{}]}"#, r#"{"keys":[null,7]}"#] {
        assert_eq!(KeySet::read(body.as_bytes()), Err(BadKeySet::Empty), "{body}");
    }
    for body in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#] {
        assert_eq!(KeySet::read(body.as_bytes()), Err(BadKeySet::NotASet), "{body}");
    }
    // All its keys are of a kind that is not supported: that is a set.
    assert_eq!(
        read(&[json!({"kty": "OKP", "crv": "Ed448", "x": "AA"})]).unusable(),
        1
    );
    let marked = [
        b"\xEF\xBB\xBF",
        json!({"keys": [rsa(&json!({}))]}).to_string().as_bytes(),
    ]
    .concat();
    assert_eq!(KeySet::read(&marked).map(|set| set.keys.len()), Ok(1));
}

#[test]
fn beyond_the_maximum_keys_for_signatures_come_first_and_the_others_are_counted() {
    let x = URL_SAFE_NO_PAD.encode([7; 32]);
    let key = |number: usize| json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": number.to_string()});
    let mut keys: Vec<Value> = (0..MOST_KEYS + 10).map(key).collect();
    let mut last = key(9999);
    last["use"] = "sig".into();
    keys.push(last);
    let set = read(&keys);
    assert_eq!((set.keys.len(), set.more, set.unusable()), (MOST_KEYS, 11, 11));
    assert_eq!(set.keys[0].id(), Some("9999"));
    assert_eq!(set.unusable_reasons(), "more than 1000 keys are not read");
}

fn cache(headers: &[(&'static str, &'static str)]) -> CacheTime {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    CacheTime::read(&map)
}

#[test]
fn a_set_is_as_old_as_its_cache_headers_state_and_a_minute_without_them() {
    let seconds = Duration::from_secs;
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (headers, behind, left) in [
        (&[][..], 60, None),
        (
            &[("cache-control", "public, max-age=45"), ("age", "11")],
            11,
            Some(34),
        ),
        (
            &[("cache-control", "max-age=45, s-maxage=90"), ("age", "100")],
            100,
            Some(0),
        ),
        (&[("cache-control", "max-age=\"45\"")], 45, None),
        (&[("cache-control", "max-age=45"), ("age", "0")], 0, None),
        (&[("cache-control", "no-store")], 0, None),
        (&[("cache-control", "max-age=999999999")], 600, None),
        (&[("cache-control", "max-age=-1"), ("age", "x")], 60, None),
        (&[("age", "999999999999")], 86_400, None),
        (&[date, ("expires", "Sun, 06 Nov 1994 08:51:37 GMT")], 120, None),
    ] {
        let read = cache(headers);
        assert_eq!(
            (read.possible_age(), read.remaining()),
            (seconds(behind), left.map(seconds)),
            "{headers:?}"
        );
    }
}
