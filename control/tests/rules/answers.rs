//! The classes of an issuer's responses, row by row.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokenward_control::config::ClientAuth;
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::issuer::answer::{
    Death, GivenIdToken, RawAnswer, RefreshAnswer, read_refresh,
};
use tokenward_control::upstream::issuer::client::{ClientCredentials, basic};
use tokenward_control::upstream::streak::StreakKind;

pub(crate) fn raw(status: u16, body: &str) -> RawAnswer {
    RawAnswer {
        status,
        body: body.as_bytes().to_vec(),
        ..RawAnswer::default()
    }
}

/// The name of the class of a refresh response.
pub(crate) fn refresh_class(status: u16, body: &str) -> &'static str {
    match read_refresh(&raw(status, body), Dialect::Dex) {
        RefreshAnswer::Refreshed { .. } => "refreshed",
        RefreshAnswer::Dead(Death::Claimed) => "dead: claimed",
        RefreshAnswer::Dead(Death::Expired) => "dead: expired",
        RefreshAnswer::Dead(Death::InvalidGrant) => "dead: invalid_grant",
        RefreshAnswer::Dead(Death::Interaction) => "dead: interaction",
        RefreshAnswer::Misconfigured(_) => "misconfigured",
        RefreshAnswer::Transient(passing) => match passing.kind {
            StreakKind::Failing => "failing",
            StreakKind::NotOauth => "not oauth",
            _ => "unreachable",
        },
    }
}

#[test]
fn each_refresh_response_has_its_class() {
    let claimed = r#"{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}"#;
    let expired = r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#;
    let rows = [
        (200, r#"{"id_token":"a","refresh_token":"b"}"#, "refreshed"),
        (201, r#"{"id_token":"a","refresh_token":"b"}"#, "refreshed"),
        (203, r#"{"id_token":"a"}"#, "refreshed"),
        (200, "<html>", "not oauth"),
        (400, claimed, "dead: claimed"),
        (400, expired, "dead: expired"),
        (400, r#"{"error":"invalid_grant"}"#, "dead: invalid_grant"),
        // `invalid_request` is no verdict on the token where the issuer says that it fails.
        (500, claimed, "failing"),
        (403, claimed, "dead: claimed"),
        (401, r#"{"error":"invalid_grant"}"#, "dead: invalid_grant"),
        (
            400,
            r#"{"error":"invalid_request","error_description":"No refresh token is found in request."}"#,
            "misconfigured",
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"Requested scopes contain unauthorized scope(s): [\"x\"]."}"#,
            "misconfigured",
        ),
        (400, r#"{"error":"invalid_request"}"#, "misconfigured"),
        (
            401,
            r#"{"error":"invalid_client","error_description":"Invalid client credentials."}"#,
            "misconfigured",
        ),
        (400, r#"{"error":"invalid_client"}"#, "misconfigured"),
        (400, r#"{"error":"unsupported_grant_type"}"#, "misconfigured"),
        (400, r#"{"error":"unauthorized_client"}"#, "misconfigured"),
        (404, "404 page not found", "not oauth"),
        (302, "", "not oauth"),
        (403, "<html>blocked</html>", "not oauth"),
        (500, r#"{"error":"invalid_request"}"#, "failing"),
        (500, r#"{"error":"server_error"}"#, "failing"),
        (500, "upstream connect error", "unreachable"),
        (502, "", "unreachable"),
        (503, r#"{"error":"temporarily_unavailable"}"#, "unreachable"),
        (504, "", "unreachable"),
        (429, "{}", "unreachable"),
        (408, "", "unreachable"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "unreachable"),
    ];
    for (status, body, class) in rows {
        assert_eq!(refresh_class(status, body), class, "{status} {body}");
    }
}

#[test]
fn an_empty_refresh_token_counts_as_absent() {
    let RefreshAnswer::Refreshed {
        id_token,
        refresh_token,
        access_token,
    } = read_refresh(
        &raw(200, r#"{"access_token":"x","refresh_token":"","id_token":"y"}"#),
        Dialect::Dex,
    )
    else {
        panic!("a 200 with tokens is a refresh");
    };
    let GivenIdToken::Given(token) = id_token else {
        panic!("{id_token:?}");
    };
    assert_eq!(token.expose_secret(), "y");
    assert!(refresh_token.is_none());
    assert_eq!(
        access_token.map(|given| given.token.expose_secret().to_owned()),
        Some("x".to_owned())
    );
}

#[test]
fn the_life_of_an_access_token_is_read_as_a_number_or_a_text() {
    for (member, seconds) in [
        (r#","expires_in":300"#, Some(300)),
        (r#","expires_in":"300""#, Some(300)),
        (r#","expires_in":-1"#, None),
        (r#","expires_in":3e2"#, None),
        ("", None),
    ] {
        let body = format!(r#"{{"access_token":"x","id_token":"y"{member}}}"#);
        let RefreshAnswer::Refreshed { access_token, .. } = read_refresh(&raw(200, &body), Dialect::Dex)
        else {
            panic!("a 200 with tokens is a refresh");
        };
        let given = access_token.expect("an access token");
        assert_eq!(given.expires_in_seconds, seconds, "{body}");
    }
}

#[test]
fn a_transient_failure_has_the_issuers_retry_after() {
    let answer = RawAnswer {
        retry_after: Some(Duration::from_secs(7)),
        ..raw(429, "{}")
    };
    let RefreshAnswer::Transient(passing) = read_refresh(&answer, Dialect::Dex) else {
        panic!("429 is transient");
    };
    assert_eq!(passing.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn hostile_error_codes_are_cut_before_they_are_logged() {
    let body = format!(r#"{{"error":"x\ninjected: {}"}}"#, "a".repeat(500));
    let RefreshAnswer::Transient(passing) = read_refresh(&raw(400, &body), Dialect::Dex) else {
        panic!("an unknown code says nothing about the login");
    };
    let cause = passing.cause;
    assert!(!cause.contains('\n') && cause.len() < 250, "{cause}");
}

#[test]
fn client_credentials_are_form_encoded_before_base64() {
    use base64::Engine as _;
    let secret = "a+b/c%d=e:f".into();
    let header = basic(ClientCredentials {
        id: "odd:id",
        secret: &secret,
        auth: ClientAuth::Basic,
        issuer: "https://dex.example.com",
        dialect: Dialect::Dex,
        now_ms: 0,
    });
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(header.trim_start_matches("Basic "))
        .expect("base64");
    assert_eq!(
        String::from_utf8_lossy(&decoded),
        "odd%3Aid:a%2Bb%2Fc%25d%3De%3Af"
    );
}

#[test]
fn the_debug_form_of_a_response_has_no_body() {
    let answer = raw(200, r#"{"id_token":"secret-token"}"#);
    assert!(!format!("{answer:?}").contains("secret-token"));
    assert!(!format!("{:?}", read_refresh(&answer, Dialect::Dex)).contains("secret-token"));
}
