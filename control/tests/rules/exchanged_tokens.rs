//! What an exchanged access token is: by its own claims, or by introspection.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::issuer::token_introspection::{
    ActiveToken, TokenIntrospection, read_token_introspection,
};
use tokenward_control::upstream::issuer::token_type::{AccessTokenProfile, NotIdToken};

use crate::answers::raw;

fn jws(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(header), part(payload))
}

fn read(header: &Value, payload: &Value) -> Result<AccessTokenProfile, NotIdToken> {
    AccessTokenProfile::read(&jws(header, payload))
}

#[test]
fn access_tokens_of_every_kind_of_issuer_are_recognised() {
    for (header, payload, client) in [
        // RFC 9068, Auth0 with its profile.
        (json!({"typ": "at+jwt"}), json!({"client_id": "exchanger"}), true),
        (
            json!({"typ": "application/AT+JWT"}),
            json!({"client_id": "exchanger"}),
            true,
        ),
        // Keycloak.
        (
            json!({"typ": "JWT"}),
            json!({"typ": "Bearer", "azp": "exchanger"}),
            true,
        ),
        // Okta, whose header has no typ.
        (
            json!({"kid": "k"}),
            json!({"ver": 1, "cid": "exchanger", "uid": "00u"}),
            true,
        ),
        // Entra v1 and v2.
        (
            json!({"typ": "JWT"}),
            json!({"ver": "1.0", "appid": "exchanger"}),
            true,
        ),
        (
            json!({"typ": "JWT"}),
            json!({"ver": "2.0", "azp": "exchanger"}),
            true,
        ),
        (
            json!({"typ": "JWT"}),
            json!({"azp": "portal", "client_id": "exchanger"}),
            false,
        ),
        (json!({}), json!({"cid": "portal"}), false),
        // It names no client.
        (json!({}), json!({}), true),
    ] {
        let profile = read(&header, &payload).expect("an access token");
        let is_ours = profile.is_issued_to(|party| party == "exchanger").is_ok();
        assert_eq!(is_ours, client, "{header} {payload}");
    }
}

#[test]
fn other_kinds_of_tokens_are_not_taken_for_access_tokens() {
    let rows = [
        (json!({"typ": "logout+jwt"}), json!({}), "typ"),
        (json!({"typ": "JWT"}), json!({"typ": "ID"}), "claim typ is \"ID\""),
        (json!({"typ": "JWT"}), json!({"typ": "Refresh"}), "\"Refresh\""),
        (json!({"typ": "JWT"}), json!({"typ": "Logout"}), "\"Logout\""),
        (json!({}), json!({"token_use": "id"}), "token_use"),
        (json!({}), json!({"events": {}}), "events"),
        (
            json!({"typ": "at+jwt"}),
            json!({"cnf": {"jkt": "x"}}),
            "bound to a key",
        ),
        (
            json!({"typ": "JWT", "nonce": "x"}),
            json!({}),
            "verify: expires_in",
        ),
        (json!({}), json!({"azp": 1}), "claim azp cannot be read"),
    ];
    for (header, payload, why) in rows {
        let unfit = read(&header, &payload).expect_err(why).to_string();
        assert!(unfit.contains(why), "{header} {payload}: {unfit}");
    }
}

#[test]
fn nbf_is_checked_for_access_tokens_too() {
    let profile = read(&json!({}), &json!({"nbf": 1_000})).expect("an access token");
    assert_eq!(profile.has_begun(939_999), Err(NotIdToken::Early("nbf")));
    assert_eq!(profile.has_begun(940_000), Ok(()));
}

fn introspected(status: u16, body: &Value) -> TokenIntrospection {
    read_token_introspection(&raw(status, &body.to_string()), Dialect::Standard)
}

#[test]
fn an_introspection_response_is_read_with_all_that_it_says() {
    let body = json!({
        "active": true, "exp": 2_000, "iss": "https://i", "sub": "s", "aud": ["a", "b"], "client_id": "c", "cnf": {},
        "scope": "x",
    });
    let expected = ActiveToken {
        exp_seconds: Some(2_000),
        issuer: Some("https://i".to_owned()),
        subject: Some("s".to_owned()),
        audiences: Some(vec!["a".to_owned(), "b".to_owned()]),
        client_id: Some("c".to_owned()),
        is_bound_to_key: true,
    };
    assert_eq!(introspected(200, &body), TokenIntrospection::Active(expected));
    let least = introspected(200, &json!({"active": true}));
    assert_eq!(least, TokenIntrospection::Active(ActiveToken::default()));
    let one = introspected(200, &json!({"active": true, "aud": "a", "sub": null}));
    let audiences = Some(vec!["a".to_owned()]);
    assert_eq!(
        one,
        TokenIntrospection::Active(ActiveToken {
            audiences,
            ..ActiveToken::default()
        })
    );
    assert_eq!(
        introspected(200, &json!({"active": false})),
        TokenIntrospection::NotActive
    );
}

#[test]
fn whatever_else_answers_an_introspection_is_no_active_token() {
    for body in [
        json!({"active": true, "exp": "soon"}),
        json!({"active": true, "sub": 7}),
        json!({"active": true, "aud": [7]}),
        json!({"active": true, "aud": {}}),
    ] {
        assert!(
            matches!(introspected(200, &body), TokenIntrospection::Withheld(_)),
            "{body}"
        );
    }
    for (status, body) in [
        (200, json!({"active": "true"})),
        (200, json!([])),
        (200, json!({})),
        (503, json!({"active": true})),
        (302, json!({})),
        (500, json!({"error": "server_error"})),
    ] {
        let TokenIntrospection::Transient(passing) = introspected(status, &body) else {
            panic!("{status} {body}");
        };
        assert!(passing.cause.starts_with("introspection: "), "{}", passing.cause);
    }
    for (status, error) in [
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (403, "access_denied"),
    ] {
        let withheld = introspected(status, &json!({"error": error}));
        assert!(
            matches!(withheld, TokenIntrospection::Withheld(_)),
            "{status} {error}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(token in ".{0,80}", body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = AccessTokenProfile::read(&token);
        let answer = tokenward_control::upstream::issuer::answer::RawAnswer { status: 200, body, ..Default::default() };
        let _ = read_token_introspection(&answer, Dialect::Standard);
    }
}
