//! Where an issuer's dialect differs from the specifications.

use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::dialect::error_meaning::ErrorMeaning;
use tokenward_control::upstream::issuer::answer::{Death, RefreshAnswer, read_refresh};
use url::Url;

use crate::answers::raw;

const CLAIMED: &str = "Refresh token is invalid or has already been claimed by another client.";

#[test]
fn dex_texts_have_a_meaning_in_the_dialect_of_dex_alone() {
    let rows = [
        (400, CLAIMED, ErrorMeaning::RefreshTokenClaimed),
        (400, "Refresh token expired.", ErrorMeaning::RefreshTokenExpired),
        (
            400,
            "Requested connector does not exist.",
            ErrorMeaning::UnknownConnector,
        ),
        (500, CLAIMED, ErrorMeaning::IssuerFailing),
    ];
    for (status, text, meaning) in rows {
        assert_eq!(
            Dialect::Dex.error_meaning(status, "invalid_request", text),
            Some(meaning),
            "{status} {text}"
        );
        assert_eq!(
            Dialect::Standard.error_meaning(status, "invalid_request", text),
            Some(ErrorMeaning::InvalidRequest),
            "{status} {text}"
        );
    }
}

#[test]
fn every_dialect_reads_the_codes_of_the_specifications() {
    for dialect in [Dialect::Standard, Dialect::Dex] {
        assert_eq!(
            dialect.error_meaning(400, "invalid_grant", ""),
            Some(ErrorMeaning::InvalidGrant)
        );
        assert_eq!(
            dialect.error_meaning(503, "temporarily_unavailable", ""),
            Some(ErrorMeaning::TryLater)
        );
        assert_eq!(dialect.error_meaning(404, "not found", ""), None);
    }
}

#[test]
fn the_dialect_decides_about_a_refresh_token() {
    let answer = raw(
        400,
        r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#,
    );
    assert!(matches!(
        read_refresh(&answer, Dialect::Dex),
        RefreshAnswer::Dead(Death::Expired)
    ));
    assert!(matches!(
        read_refresh(&answer, Dialect::Standard),
        RefreshAnswer::Misconfigured(_)
    ));
}

#[test]
fn only_dex_has_connectors_and_addresses_beside_its_token_endpoint() {
    let endpoint = Url::parse("https://dex.example.com/auth/token").expect("a URL");
    let addresses = Dialect::Dex.remote_addresses(&endpoint).expect("they follow");
    assert_eq!(addresses.issuer, "https://dex.example.com/auth");
    assert_eq!(addresses.jwks_uri.as_str(), "https://dex.example.com/auth/keys");
    assert_eq!(Dialect::Standard.remote_addresses(&endpoint), None);
    assert_eq!(
        Dialect::Dex.connector_parameter("github"),
        Some(("connector_id", "github"))
    );
    assert_eq!(Dialect::Standard.connector_parameter("github"), None);
}

#[test]
fn required_audiences_are_cross_client_scopes_at_dex() {
    let audiences = ["app".to_owned(), "other".to_owned()];
    assert_eq!(
        Dialect::Dex.scopes_for("openid", &audiences, "app"),
        "openid audience:server:client_id:other audience:server:client_id:app"
    );
    assert_eq!(
        Dialect::Dex.scopes_for("openid", &["app".to_owned()], "app"),
        "openid"
    );
    assert_eq!(
        Dialect::Standard.scopes_for("openid", &audiences, "app"),
        "openid"
    );
}
