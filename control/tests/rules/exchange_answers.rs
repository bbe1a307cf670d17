//! The classes of a remote issuer's responses to an exchange, in the words of each kind of issuer.

use secrecy::ExposeSecret;
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::dialect::rules::{ExchangeGrant, TOKEN_TYPE_JWT};
use tokenward_control::upstream::issuer::answer::RawAnswer;
use tokenward_control::upstream::issuer::answer::exchange::{ExchangeAnswer, ExchangeCall, read_exchange};
use tokenward_control::upstream::streak::StreakKind;
use tokenward_control::upstream::token_kind::TokenKind;
use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN};

use crate::answers::raw;

/// An exchange at Dex, which requests an ID token.
const DEX: ExchangeCall<'_> = ExchangeCall {
    dialect: Dialect::Dex,
    grant: ExchangeGrant::TokenExchange,
    requested_token_type: Some(TOKEN_TYPE_ID_TOKEN),
};

fn class(answer: &RawAnswer, call: &ExchangeCall<'_>) -> &'static str {
    match read_exchange(answer, call) {
        ExchangeAnswer::Exchanged(token) => match token.kind {
            TokenKind::IdToken => "ID token",
            TokenKind::AccessToken => "access token",
        },
        ExchangeAnswer::Misconfigured(_) => "misconfigured",
        ExchangeAnswer::Transient(passing) => match passing.kind {
            StreakKind::Denied => "denied",
            StreakKind::Interaction => "interaction",
            StreakKind::Failing => "failing",
            StreakKind::NotOauth => "not oauth",
            _ => "unreachable",
        },
    }
}

/// The class of a response of Dex.
pub(crate) fn exchange_class(status: u16, body: &str) -> &'static str {
    class(&raw(status, body), &DEX)
}

#[test]
fn each_exchange_response_of_dex_has_its_class() {
    let good = format!(r#"{{"access_token":"a","issued_token_type":"{TOKEN_TYPE_ID_TOKEN}"}}"#);
    let empty = format!(r#"{{"access_token":"","issued_token_type":"{TOKEN_TYPE_ID_TOKEN}"}}"#);
    let other = format!(r#"{{"access_token":"a","issued_token_type":"{TOKEN_TYPE_ACCESS_TOKEN}"}}"#);
    let rows = [
        (200, good.as_str(), "ID token"),
        (201, good.as_str(), "ID token"),
        (200, empty.as_str(), "not oauth"),
        (200, other.as_str(), "misconfigured"),
        (200, r#"{"access_token":"a"}"#, "misconfigured"),
        (200, r#"{"access_token":"a","token_ty"#, "unreachable"),
        (200, "garbage", "not oauth"),
        (200, r#"{"error":"invalid_client"}"#, "misconfigured"),
        (
            403,
            r#"{"error":"invalid_grant","error_description":null}"#,
            "denied",
        ),
        (400, r#"{"error":"interaction_required"}"#, "interaction"),
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
        (404, "not found", "not oauth"),
        (500, r#"{"error":"server_error"}"#, "failing"),
        (500, "", "unreachable"),
        (503, "", "unreachable"),
        (429, "", "unreachable"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(exchange_class(status, body), expected, "{status} {body}");
    }
}

/// RFC 8693 §2.2.1: the issued type must be checked, because it can differ from the requested one.
#[test]
fn the_issued_type_must_be_the_requested_one_and_may_be_absent_for_an_access_token() {
    const CUSTOM: &str = "https://api.example.com/ticket";
    let (id, access, jwt) = (TOKEN_TYPE_ID_TOKEN, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_JWT);
    let saml = "urn:ietf:params:oauth:token-type:saml2";
    let rows = [
        (Some(id), Some(id), "ID token"),
        (Some(id), Some(access), "misconfigured"),
        (Some(id), Some(jwt), "misconfigured"),
        (Some(id), None, "misconfigured"),
        (Some(access), Some(access), "access token"),
        (Some(access), Some(jwt), "access token"),
        (Some(access), None, "access token"),
        (Some(access), Some(id), "misconfigured"),
        (Some(access), Some(saml), "misconfigured"),
        (Some(jwt), Some(access), "access token"),
        (None, Some(access), "access token"),
        (None, Some(id), "ID token"),
        (None, None, "access token"),
        (None, Some(saml), "misconfigured"),
        (Some(CUSTOM), Some(CUSTOM), "access token"),
        (Some(CUSTOM), Some(access), "misconfigured"),
        (Some(CUSTOM), None, "misconfigured"),
    ];
    for (requested_token_type, issued, expected) in rows {
        let call = ExchangeCall {
            dialect: Dialect::Standard,
            grant: ExchangeGrant::TokenExchange,
            requested_token_type,
        };
        let mut body = serde_json::json!({"access_token": "a", "expires_in": 60});
        if let Some(issued) = issued {
            body["issued_token_type"] = issued.into();
        }
        let row = format!("{requested_token_type:?} {issued:?}");
        assert_eq!(class(&raw(200, &body.to_string()), &call), expected, "{row}");
    }
}

#[test]
fn an_answer_of_entra_has_no_issued_type_and_its_life() {
    let call = ExchangeCall {
        dialect: Dialect::Entra,
        grant: ExchangeGrant::JwtBearer,
        requested_token_type: None,
    };
    let body = r#"{"token_type":"Bearer","scope":"api://b/access","expires_in":3599,"ext_expires_in":3599,"access_token":"a"}"#;
    let ExchangeAnswer::Exchanged(token) = read_exchange(&raw(200, body), &call) else {
        panic!("it is a token");
    };
    assert_eq!(
        (token.token.expose_secret(), token.kind, token.expires_in_seconds),
        ("a", TokenKind::AccessToken, Some(3599))
    );
    assert!(!format!("{token:?}").contains("\"a\""));
}

/// What an operator reads about a refusal, and whether waiting helps.
#[test]
fn refusals_in_the_words_of_each_kind_of_issuer_say_what_to_change() {
    let rows = [
        (
            Dialect::Entra,
            400,
            "interaction_required",
            "AADSTS50076: Due to a configuration change",
            "interaction",
        ),
        (
            Dialect::Entra,
            400,
            "invalid_grant",
            "AADSTS50013: Assertion failed signature validation.",
            "subject",
        ),
        (
            Dialect::Entra,
            400,
            "invalid_grant",
            "AADSTS65001: The user or administrator has not consented",
            "consent",
        ),
        (Dialect::Okta, 400, "invalid_scope", "", "scopes"),
        (
            Dialect::Auth0,
            400,
            "invalid_request",
            "token not valid",
            "subject",
        ),
        (Dialect::Standard, 400, "invalid_target", "", "audience"),
        (Dialect::Dex, 400, "invalid_scope", "", "connectorId"),
    ];
    for (dialect, status, error, description, part) in rows {
        let defaults = dialect.exchange().expect("it exchanges");
        let call = ExchangeCall {
            dialect,
            grant: defaults.grant,
            requested_token_type: defaults.requested_token_type,
        };
        let body = serde_json::json!({"error": error, "error_description": description}).to_string();
        match read_exchange(&raw(status, &body), &call) {
            ExchangeAnswer::Misconfigured(cause) => assert!(cause.contains(part), "{cause}"),
            ExchangeAnswer::Transient(passing) => {
                assert_eq!(
                    (passing.kind, part),
                    (StreakKind::Interaction, "interaction"),
                    "{body}"
                );
            }
            ExchangeAnswer::Exchanged(_) => panic!("{body}"),
        }
    }
}
