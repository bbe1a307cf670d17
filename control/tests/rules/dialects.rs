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
#[test]
fn every_dialect_has_a_name_by_which_the_configuration_finds_it() {
    for dialect in Dialect::ALL {
        assert_eq!(Dialect::from_name(dialect.name()), Some(dialect));
    }
    assert_eq!(Dialect::from_name("Keycloak"), None);
}

#[test]
fn an_address_shows_its_kind_of_issuer_where_only_one_has_such_addresses() {
    let rows = [
        (
            "https://login.microsoftonline.com/11aa/v2.0",
            Some(Dialect::Entra),
        ),
        ("https://dev-1.okta.com/oauth2/default", Some(Dialect::Okta)),
        ("https://tenant.eu.auth0.com/", Some(Dialect::Auth0)),
        ("https://accounts.google.com", Some(Dialect::Google)),
        ("https://sso.example.com/realms/home", Some(Dialect::Keycloak)),
        ("https://okta.com.example.org/", None),
        ("https://notokta.com/", None),
        ("https://dex.example.com/dex", None),
    ];
    for (address, dialect) in rows {
        let url = Url::parse(address).expect("a URL");
        assert_eq!(Dialect::of_address(&url), dialect, "{address}");
    }
}

#[test]
fn the_addresses_of_a_remote_follow_from_its_token_endpoint() {
    let rows = [
        (
            Dialect::Keycloak,
            "https://sso.example.com/realms/r/protocol/openid-connect/token",
            "https://sso.example.com/realms/r",
            "https://sso.example.com/realms/r/protocol/openid-connect/certs",
        ),
        (
            Dialect::Entra,
            "https://login.microsoftonline.com/11aa/oauth2/v2.0/token",
            "https://login.microsoftonline.com/11aa/v2.0",
            "https://login.microsoftonline.com/11aa/discovery/v2.0/keys",
        ),
        (
            Dialect::Okta,
            "https://dev-1.okta.com/oauth2/aus1/v1/token",
            "https://dev-1.okta.com/oauth2/aus1",
            "https://dev-1.okta.com/oauth2/aus1/v1/keys",
        ),
        (
            Dialect::Auth0,
            "https://tenant.auth0.com/oauth/token",
            "https://tenant.auth0.com/",
            "https://tenant.auth0.com/.well-known/jwks.json",
        ),
    ];
    for (dialect, endpoint, issuer, keys) in rows {
        let url = Url::parse(endpoint).expect("a URL");
        let found = dialect.remote_addresses(&url).expect("they follow");
        assert_eq!((found.issuer.as_str(), found.jwks_uri.as_str()), (issuer, keys));
    }
    let of_the_organization = Url::parse("https://dev-1.okta.com/oauth2/v1/token").expect("a URL");
    assert_eq!(Dialect::Okta.remote_addresses(&of_the_organization), None);
}

#[test]
fn google_takes_a_parameter_for_offline_access_and_no_scope() {
    let (scope, parameters) = Dialect::Google.login_request("openid offline_access email");
    assert_eq!(scope, "openid email");
    assert_eq!(parameters, [("access_type", "offline"), ("prompt", "consent")]);
    let (scope, parameters) = Dialect::Standard.login_request("openid offline_access");
    assert_eq!(
        (scope.as_str(), parameters),
        ("openid offline_access", &[("prompt", "consent")][..])
    );
    assert_eq!(Dialect::Keycloak.login_request("openid offline_access").1, []);
}

#[test]
fn an_audience_is_any_string_or_uri() {
    for audience in [
        "api",
        "api://11aa/x",
        "https://api.example.com/?v=1",
        "urn:a:b",
        "näme",
    ] {
        assert!(Dialect::Entra.is_audience(audience), "{audience}");
    }
    for audience in ["", "a b", "a\nb", ":x", "1:x"] {
        assert!(!Dialect::Entra.is_audience(audience), "{audience}");
    }
}

#[test]
fn the_words_of_each_issuer_have_their_meaning() {
    use Dialect::{Auth0, Entra, Google, Keycloak, Okta};
    use ErrorMeaning as Means;
    let rows = [
        (
            Keycloak,
            400,
            "invalid_grant",
            "Token is not active",
            Means::InvalidGrant,
        ),
        (
            Keycloak,
            400,
            "invalid_grant",
            "Maximum allowed refresh token reuse exceeded",
            Means::InvalidGrant,
        ),
        (
            Keycloak,
            401,
            "unauthorized_client",
            "Invalid client or Invalid client credentials",
            Means::InvalidClient,
        ),
        (
            Keycloak,
            401,
            "invalid_client",
            "Invalid client or Invalid client credentials",
            Means::InvalidClient,
        ),
        (
            Keycloak,
            403,
            "access_denied",
            "Realm not enabled",
            Means::AccessDenied,
        ),
        (
            Keycloak,
            400,
            "invalid_request",
            "Standard token exchange is not enabled for the requested client",
            Means::ExchangeNotEnabled,
        ),
        (
            Keycloak,
            400,
            "invalid_request",
            "Parameter 'subject_token' supports access tokens only",
            Means::SubjectNotAccepted,
        ),
        (
            Keycloak,
            400,
            "invalid_client",
            "Audience not found",
            Means::UnknownAudience,
        ),
        (
            Keycloak,
            400,
            "invalid_request",
            "Requested audience not available: api",
            Means::UnknownAudience,
        ),
        (
            Keycloak,
            400,
            "invalid_request",
            "Invalid token",
            Means::InvalidGrant,
        ),
        (
            Entra,
            400,
            "invalid_grant",
            "AADSTS700082: The refresh token has expired due to inactivity.",
            Means::InvalidGrant,
        ),
        (
            Entra,
            400,
            "interaction_required",
            "AADSTS50076: …",
            Means::InteractionRequired,
        ),
        (
            Entra,
            400,
            "invalid_grant",
            "AADSTS65001: The user or administrator has not consented",
            Means::ConsentMissing,
        ),
        (
            Entra,
            400,
            "invalid_grant",
            "AADSTS500131: Assertion audience does not match",
            Means::SubjectNotAccepted,
        ),
        (
            Entra,
            400,
            "invalid_grant",
            "AADSTS500133: Assertion is not within its valid time range",
            Means::InvalidGrant,
        ),
        (
            Entra,
            400,
            "invalid_grant",
            "AADSTS50196: The server terminated an operation",
            Means::TryLater,
        ),
        (
            Okta,
            400,
            "invalid_grant",
            "The refresh token is invalid or expired.",
            Means::InvalidGrant,
        ),
        (
            Auth0,
            403,
            "invalid_grant",
            "Unknown or invalid refresh token.",
            Means::InvalidGrant,
        ),
        (Auth0, 401, "access_denied", "Unauthorized", Means::InvalidClient),
        (
            Auth0,
            500,
            "access_denied",
            "Global limit has been reached",
            Means::TryLater,
        ),
        (
            Auth0,
            403,
            "access_denied",
            "Service not found: https://api",
            Means::UnknownAudience,
        ),
        (
            Google,
            400,
            "invalid_grant",
            "Token has been expired or revoked.",
            Means::InvalidGrant,
        ),
        (
            Google,
            401,
            "deleted_client",
            "The OAuth client was deleted.",
            Means::InvalidClient,
        ),
        (Google, 500, "internal_failure", "", Means::IssuerFailing),
    ];
    for (dialect, status, code, description, meaning) in rows {
        assert_eq!(
            dialect.error_meaning(status, code, description),
            Some(meaning),
            "{} {status} {code} {description}",
            dialect.name()
        );
    }
}
