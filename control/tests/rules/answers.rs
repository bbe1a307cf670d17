//! What an issuer's answer means: the table, row by row.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokenward_control::issuer::answer::{
    Death, ExchangeAnswer, RawAnswer, RefreshAnswer, read_exchange, read_refresh,
};
use tokenward_control::issuer::client::{ClientCredentials, basic};
use tokenward_control::streak::StreakKind;

fn raw(status: u16, body: &str) -> RawAnswer {
    RawAnswer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
    }
}

/// One word per class.
fn refresh_class(status: u16, body: &str) -> &'static str {
    match read_refresh(&raw(status, body)) {
        RefreshAnswer::Refreshed { .. } => "refreshed",
        RefreshAnswer::Dead(Death::Claimed) => "dead: claimed",
        RefreshAnswer::Dead(Death::Expired) => "dead: expired",
        RefreshAnswer::Dead(Death::InvalidGrant) => "dead: invalid_grant",
        RefreshAnswer::Misconfigured(_) => "misconfigured",
        RefreshAnswer::Transient(passing) if passing.kind == StreakKind::Failing => "failing",
        RefreshAnswer::Transient(_) => "unreachable",
    }
}

#[test]
fn refresh_answers_fall_into_the_class_of_the_table() {
    let claimed = r#"{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}"#;
    let expired = r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#;
    let rows = [
        (200, r#"{"id_token":"a","refresh_token":"b"}"#, "refreshed"),
        (200, "<html>", "unreachable"),
        (400, claimed, "dead: claimed"),
        (400, expired, "dead: expired"),
        (400, r#"{"error":"invalid_grant"}"#, "dead: invalid_grant"),
        // The same words with another status are no verdict on the token.
        (500, claimed, "failing"),
        (401, r#"{"error":"invalid_grant"}"#, "misconfigured"),
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
        (404, "404 page not found", "misconfigured"),
        (302, "", "misconfigured"),
        (403, "<html>blocked</html>", "misconfigured"),
        (500, r#"{"error":"invalid_request"}"#, "failing"),
        (500, r#"{"error":"server_error"}"#, "failing"),
        (500, "upstream connect error", "unreachable"),
        (502, "", "unreachable"),
        (503, r#"{"error":"temporarily_unavailable"}"#, "unreachable"),
        (504, "", "unreachable"),
        (429, "{}", "unreachable"),
        (408, "", "unreachable"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "failing"),
    ];
    for (status, body, class) in rows {
        assert_eq!(refresh_class(status, body), class, "{status} {body}");
    }
}

#[test]
fn what_is_missing_from_a_refresh_is_missing() {
    let RefreshAnswer::Refreshed {
        id_token,
        refresh_token,
    } = read_refresh(&raw(
        200,
        r#"{"access_token":"x","refresh_token":"","id_token":"y"}"#,
    ))
    else {
        panic!("a 200 with tokens is a refresh");
    };
    assert_eq!(
        id_token.map(|token| token.expose_secret().to_owned()),
        Some("y".to_owned())
    );
    assert!(refresh_token.is_none());
}

fn exchange_class(status: u16, body: &str) -> &'static str {
    match read_exchange(&raw(status, body)) {
        ExchangeAnswer::Exchanged(_) => "exchanged",
        ExchangeAnswer::Misconfigured(_) => "misconfigured",
        ExchangeAnswer::Transient(passing) => match passing.kind {
            StreakKind::Denied => "denied",
            StreakKind::Failing => "failing",
            _ => "unreachable",
        },
    }
}

#[test]
fn exchange_answers_fall_into_the_class_of_the_table() {
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    let good = format!(r#"{{"access_token":"a","issued_token_type":"{id_token}"}}"#);
    let empty = format!(r#"{{"access_token":"","issued_token_type":"{id_token}"}}"#);
    let rows = [
        (200, good.as_str(), "exchanged"),
        (200, empty.as_str(), "unreachable"),
        (
            200,
            r#"{"access_token":"a","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#,
            "misconfigured",
        ),
        (200, r#"{"access_token":"a"}"#, "misconfigured"),
        (200, "garbage", "unreachable"),
        (401, r#"{"error":"access_denied"}"#, "denied"),
        (400, r#"{"error":"invalid_grant"}"#, "denied"),
        (401, r#"{"error":"invalid_client"}"#, "misconfigured"),
        (400, r#"{"error":"invalid_client"}"#, "misconfigured"),
        (
            400,
            r#"{"error":"invalid_request","error_description":"Requested connector does not exist."}"#,
            "misconfigured",
        ),
        (
            400,
            r#"{"error":"request_not_supported","error_description":"Invalid subject_token_type."}"#,
            "misconfigured",
        ),
        (400, r#"{"error":"invalid_target"}"#, "misconfigured"),
        (400, r#"{"error":"unsupported_grant_type"}"#, "misconfigured"),
        (404, "not found", "misconfigured"),
        (500, r#"{"error":"server_error"}"#, "failing"),
        (500, "", "unreachable"),
        (503, "", "unreachable"),
        (429, "", "unreachable"),
    ];
    for (status, body, class) in rows {
        assert_eq!(exchange_class(status, body), class, "{status} {body}");
    }
}

#[test]
fn retry_after_is_passed_on() {
    let answer = RawAnswer {
        retry_after: Some(Duration::from_secs(7)),
        ..raw(429, "{}")
    };
    let RefreshAnswer::Transient(passing) = read_refresh(&answer) else {
        panic!("429 passes");
    };
    assert_eq!(passing.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn hostile_error_codes_are_cut_before_they_reach_a_log() {
    let body = format!(r#"{{"error":"x\ninjected: {}"}}"#, "a".repeat(500));
    let RefreshAnswer::Misconfigured(cure) = read_refresh(&raw(400, &body)) else {
        panic!("an unknown code is a fault");
    };
    assert!(!cure.contains('\n') && cure.len() < 200, "{cure}");
}

#[test]
fn client_credentials_are_form_encoded_before_base64() {
    use base64::Engine as _;
    let secret = "a+b/c%d=e:f".into();
    let header = basic(ClientCredentials {
        id: "odd:id",
        secret: &secret,
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
fn an_answer_never_shows_its_body() {
    let answer = raw(200, r#"{"id_token":"secret-token"}"#);
    assert!(!format!("{answer:?}").contains("secret-token"));
    assert!(!format!("{:?}", read_refresh(&answer)).contains("secret-token"));
}
