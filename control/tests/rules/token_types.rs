//! The kind of token that a JWT is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenward_control::upstream::issuer::logout_token::{LoggedOut, LogoutToken, NotLogoutToken};
use tokenward_control::upstream::issuer::token_type::{IdTokenProfile, NotIdToken, is_media_type};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn jws(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(header), part(payload))
}

fn read(payload: &Value) -> Result<IdTokenProfile, NotIdToken> {
    IdTokenProfile::read(&jws(&json!({"alg": "RS256"}), payload))
}

#[test]
fn a_profile_holds_the_claims_of_the_token() {
    let profile = read(&json!({"azp": "muster", "nbf": 10.5, "iat": 10.5, "sid": "s"})).expect("an ID token");
    assert_eq!(
        profile,
        IdTokenProfile {
            authorized_party: Some("muster".to_owned()),
            not_before_seconds: Some(11),
            issued_at_seconds: Some(10),
            session_id: Some("s".to_owned()),
        }
    );
    assert_eq!(read(&json!({})), Ok(IdTokenProfile::default()));
    // `azp` of OpenID Connect counts, not Entra's older name.
    let both = read(&json!({"azp": "muster", "appid": "lowpriv"})).expect("an ID token");
    assert_eq!(both.authorized_party.as_deref(), Some("muster"));
}

#[test]
fn nbf_and_iat_are_checked_with_their_leeway() {
    for (claim, leeway_ms) in [("nbf", 60_000), ("iat", 300_000)] {
        let profile = read(&json!({claim: 1_000})).expect("an ID token");
        let begins_ms = 1_000_000 - leeway_ms;
        assert_eq!(profile.has_begun(begins_ms - 1), Err(NotIdToken::Early(claim)));
        assert_eq!(profile.has_begun(begins_ms), Ok(()));
    }
    // Beyond every number that a clock has.
    let far = read(&json!({"nbf": 1e300})).expect("an ID token");
    assert_eq!(far.has_begun(u64::MAX / 2), Err(NotIdToken::Early("nbf")));
    assert_eq!(
        read(&json!({"iat": -5})).expect("an ID token").has_begun(0),
        Ok(())
    );
}

#[test]
fn a_claim_that_two_readers_could_read_differently_is_refused() {
    for (name, payload) in [
        ("azp", r#"{"azp":"muster","azp":"lowpriv"}"#),
        ("cnf", r#"{"cnf":null,"cnf":{}}"#),
        ("events", r#"{"events":{},"events":{}}"#),
        ("nbf", r#"{"nbf":0,"nbf":99999999999}"#),
        ("typ", r#"{"typ":"ID","typ":"Bearer"}"#),
    ] {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        assert_eq!(IdTokenProfile::read(&token), Err(NotIdToken::Unreadable(name)));
    }
}

#[test]
fn an_error_repeats_only_the_beginning_of_a_claim() {
    let long = "x".repeat(10_000);
    let profile = read(&json!({"azp": long})).expect("it is an ID token");
    let refused = profile
        .is_issued_to(|_| false)
        .expect_err("no client is trusted")
        .to_string();
    assert!(refused.len() < 300, "{}", refused.len());
}

#[test]
fn media_types_are_compared_by_the_rules_of_jose() {
    for typ in [
        "logout+jwt",
        "LOGOUT+JWT",
        "application/logout+jwt",
        "Application/Logout+Jwt",
    ] {
        assert!(is_media_type(typ, "logout+jwt"), "{typ}");
    }
    for typ in [
        "",
        "jwt",
        "text/logout+jwt",
        "application/x/logout+jwt",
        "logout+jwt ",
    ] {
        assert!(!is_media_type(typ, "logout+jwt"), "{typ}");
    }
}

#[test]
fn a_logout_token_names_the_login_that_ends() {
    let good = |who: Value| {
        let mut claims = json!({
            "iss": "i", "aud": "muster", "iat": 1_000, "exp": 1_120, "jti": "j", "events": {EVENT: {}},
        });
        let members = who.as_object().cloned().unwrap_or_default();
        claims.as_object_mut().expect("an object").extend(members);
        LogoutToken::read(&jws(&json!({"alg": "RS256", "typ": "logout+jwt"}), &claims))
    };
    let whose = |who| good(who).map(|logout| logout.whose);
    let (sid, sub) = ("sid-1".to_owned(), "alice".to_owned());
    assert_eq!(whose(json!({"sub": "alice"})), Ok(LoggedOut::User(sub.clone())));
    let session = |subject| LoggedOut::Session {
        session_id: sid.clone(),
        subject,
    };
    assert_eq!(whose(json!({"sid": "sid-1"})), Ok(session(None)));
    assert_eq!(
        whose(json!({"sid": "sid-1", "sub": "alice"})),
        Ok(session(Some(sub)))
    );
    assert_eq!(whose(json!({})), Err(NotLogoutToken::Lacks("sub or sid")));
    assert_eq!(
        whose(json!({"sub": "alice", "nonce": null})),
        Err(NotLogoutToken::Nonce)
    );
    let logout = good(json!({"sub": "alice"})).expect("a logout token");
    for (now_seconds, is_current) in [(699, false), (700, true), (1_119, true), (1_120, false)] {
        assert_eq!(
            logout.is_current(now_seconds).is_ok(),
            is_current,
            "{now_seconds}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(token in "\\PC{0,200}", payload in "\\PC{0,100}") {
        let wrapped = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(&payload));
        for token in [token.as_str(), wrapped.as_str()] {
            let _ = IdTokenProfile::read(token);
            let _ = LogoutToken::read(token);
        }
    }
}
