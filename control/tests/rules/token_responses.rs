//! A token response is handed on with every member, and a code request is recognised when it is sent again.

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokenward_control::upstream::issuer::answer::response::TokenResponse;
use tokenward_control::upstream::relay::RequestDigest;

fn read(body: &Value) -> Option<TokenResponse> {
    TokenResponse::read(body.to_string().as_bytes())
}

#[test]
fn a_response_is_written_as_it_was_read_with_members_that_nothing_here_knows() {
    let body = json!({
        "access_token": "a", "token_type": "bearer", "expires_in": 299, "id_token": "i", "refresh_token": "r",
        "scope": "openid offline_access", "authorization_details": [{"type": "x"}], "foo": null,
    });
    let response = read(&body).expect("a token response");
    assert_eq!(response.expires_in_seconds, Some(299));
    assert_eq!(
        response.id_token.as_ref().map(|token| token.expose_secret()),
        Some("i")
    );
    let written: Value = serde_json::from_slice(&response.to_json()).expect("JSON");
    assert_eq!(written, body);
}

#[test]
fn a_response_without_the_optional_members_gets_none() {
    let body = json!({"access_token": "a", "token_type": "bearer"});
    let written: Value =
        serde_json::from_slice(&read(&body).expect("a token response").to_json()).expect("JSON");
    assert_eq!(written, body);
    assert!(read(&json!({"token_type": "bearer", "id_token": "i"})).is_none());
    assert!(TokenResponse::read(b"<html>").is_none());
    assert!(TokenResponse::read(b"").is_none());
}

#[test]
fn expires_in_as_text_is_read_and_a_response_that_goes_on_after_its_end_too() {
    let response =
        TokenResponse::read(br#"{"access_token":"a","expires_in":"60","refresh_token":"r"} trailing"#);
    let response = response.expect("a token response");
    assert_eq!(response.expires_in_seconds, Some(60));
    assert!(response.refresh_token.is_some());
}

#[test]
fn a_response_prints_no_token() {
    let response = read(&json!({"access_token": "secret-a", "id_token": "secret-i"})).expect("a response");
    assert!(!format!("{response:?}").contains("secret-"));
}

#[test]
fn the_same_code_request_has_one_digest_wherever_its_credentials_stand() {
    let in_header = [
        ("grant_type", "authorization_code"),
        ("code", "c"),
        ("redirect_uri", "u"),
    ];
    let in_body = [
        ("redirect_uri", "u"),
        ("client_secret", "s"),
        ("code", "c"),
        ("client_id", "m"),
        ("grant_type", "authorization_code"),
    ];
    let digest = RequestDigest::of("i", "m", in_header);
    assert_eq!(digest, RequestDigest::of("i", "m", in_body));
    assert_ne!(digest, RequestDigest::of("i", "other", in_body));
    assert_ne!(digest, RequestDigest::of("other", "m", in_body));
    let verified = in_header.into_iter().chain([("code_verifier", "v")]);
    assert_ne!(digest, RequestDigest::of("i", "m", verified));
}
