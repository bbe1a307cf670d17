//! Access tokens as their client sees them: what is read of a JWT, and what is taken for one of the login.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::issuer::access_token::{
    AccessTokenJwt, AccessTokenLife, GivenAccessToken, MAX_ACCESS_TOKEN_BYTES, UnfitAccessToken,
};

const ISSUER: &str = "https://login.example.com";
const OURS: &str = "https://gateway.example.com";
const NOW_MS: u64 = 1_800_000_000_500;

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(claims))
}

fn given(token: &str, expires_in_seconds: Option<u64>) -> GivenAccessToken {
    GivenAccessToken {
        token: token.into(),
        expires_in_seconds,
    }
}

fn judged(token: &str, dialect: Dialect) -> Result<(), UnfitAccessToken> {
    given(token, None).check_login((ISSUER, "alice"), dialect, Some(OURS))
}

#[test]
fn a_jwt_must_name_the_issuer_and_the_user_of_the_login() {
    let rows = [
        (json!({"iss": ISSUER, "sub": "alice"}), Ok(())),
        // Keycloak's lightweight access tokens have no user.
        (json!({"iss": ISSUER}), Ok(())),
        (
            json!({"iss": ISSUER, "sub": "bob"}),
            Err(UnfitAccessToken::OtherUser),
        ),
        (
            json!({"iss": "https://another.example.com", "sub": "alice"}),
            Err(UnfitAccessToken::OtherIssuer),
        ),
        (json!({"sub": "alice"}), Err(UnfitAccessToken::OtherIssuer)),
    ];
    for (claims, judgement) in rows {
        for dialect in [Dialect::Standard, Dialect::Dex, Dialect::Keycloak, Dialect::Auth0] {
            assert_eq!(judged(&jwt(&claims), dialect), judgement, "{dialect:?} {claims}");
        }
    }
}

#[test]
fn the_user_is_read_where_the_kind_of_issuer_has_it() {
    let okta = json!({"iss": ISSUER, "sub": "alice@example.com", "uid": "alice"});
    assert_eq!(judged(&jwt(&okta), Dialect::Okta), Ok(()));
    let another = json!({"iss": ISSUER, "sub": "alice", "uid": "bob"});
    assert_eq!(
        judged(&jwt(&another), Dialect::Okta),
        Err(UnfitAccessToken::OtherUser)
    );
    let version_1 = json!({"iss": "https://sts.windows.net/tenant/", "sub": "alice-at-graph"});
    assert_eq!(judged(&jwt(&version_1), Dialect::Entra), Ok(()));
}

#[test]
fn an_access_token_of_our_own_is_never_one_of_the_login() {
    let own = jwt(&json!({"iss": OURS, "sub": "alice"}));
    for dialect in Dialect::ALL {
        assert_eq!(
            judged(&own, dialect),
            Err(UnfitAccessToken::OtherIssuer),
            "{dialect:?}"
        );
    }
}

#[test]
fn an_opaque_token_is_taken_as_it_is_if_a_header_can_carry_it() {
    let longest = "a".repeat(MAX_ACCESS_TOKEN_BYTES);
    for token in [
        "ya29.A0AS3",
        "EwBo8l6BAAU+/w==",
        "a.b.c.d.e",
        "no.JSON.here",
        longest.as_str(),
    ] {
        assert_eq!(judged(token, Dialect::Standard), Ok(()), "{} bytes", token.len());
        assert!(AccessTokenJwt::read(token).is_none());
    }
    for token in [
        "",
        "==",
        "two words",
        "line\nbreak",
        "a\u{e9}",
        "a=b",
        "semi;colon",
    ] {
        assert_eq!(
            judged(token, Dialect::Standard),
            Err(UnfitAccessToken::NotBearer),
            "{token:?}"
        );
    }
    let too_long = format!("{longest}a");
    assert_eq!(
        judged(&too_long, Dialect::Standard),
        Err(UnfitAccessToken::TooLong)
    );
}

#[test]
fn an_access_token_lives_by_its_exp_else_by_expires_in_else_as_the_id_token() {
    let now = NOW_MS / 1000;
    let life = |token: &str, expires_in| given(token, expires_in).life(now + 900, NOW_MS);
    let of = |exp_seconds, issued_at_seconds, audiences: &[&str]| AccessTokenLife {
        exp_seconds,
        issued_at_seconds,
        audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
    };
    let whole = jwt(&json!({"exp": now + 60, "iat": now - 5, "aud": ["a", "b"]}));
    assert_eq!(life(&whole, Some(300)), of(now + 60, now - 5, &["a", "b"]));
    let fraction = jwt(&json!({"exp": 1_800_000_060.75, "aud": "a"}));
    assert_eq!(life(&fraction, None), of(now + 60, now, &["a"]));
    for no_time in [json!("soon"), json!(-1), json!(1e300), json!(null)] {
        let token = jwt(&json!({"exp": no_time}));
        assert_eq!(life(&token, Some(300)), of(now + 300, now, &[]), "{no_time}");
    }
    assert_eq!(life("opaque", Some(300)), of(now + 300, now, &[]));
    assert_eq!(life("opaque", Some(u64::MAX)), of(u64::MAX, now, &[]));
    assert_eq!(life("opaque", None), of(now + 900, now, &[]));
}
