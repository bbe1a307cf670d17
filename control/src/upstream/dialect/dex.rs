//! Dex. Its error texts and statuses were observed on Dex 2.45.1.

use tokenward_protocol::token_endpoint::TOKEN_TYPE_ID_TOKEN;
use url::Url;

use super::RemoteAddresses;
use super::error_meaning::ErrorMeaning;
use super::rules::{
    AssertionAudience, AudienceBy, DialectRules, DocumentSign, ErrorRule, ExchangeDefaults, ExchangeGrant,
    IssuerPolicy, OfflineAccess, RefreshTokens, SignOutAtIssuer, SubjectKind,
};

/// For a refresh token that was used, rotated away, revoked or replaced, or never existed.
const REFRESH_TOKEN_CLAIMED: &str = "Refresh token is invalid or has already been claimed by another client.";
/// For a refresh token past its lifetimes.
const REFRESH_TOKEN_EXPIRED: &str = "Refresh token expired.";
/// For a wrong `connector_id`.
const UNKNOWN_CONNECTOR: &str = "Requested connector does not exist.";
/// Scopes with this prefix add another client to `aud`.
const CROSS_CLIENT_SCOPE: &str = "audience:server:client_id:";

/// The form parameter that selects the connector of an exchange.
pub(super) const CONNECTOR_PARAMETER: &str = "connector_id";

/// A dead refresh token is `invalid_request` with one of two texts, and a failed connector or storage is
/// `invalid_request` with status 500.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::code("invalid_request", ErrorMeaning::IssuerFailing).when_failing(),
    ErrorRule::text(
        "invalid_request",
        REFRESH_TOKEN_CLAIMED,
        ErrorMeaning::RefreshTokenClaimed,
    ),
    ErrorRule::text(
        "invalid_request",
        REFRESH_TOKEN_EXPIRED,
        ErrorMeaning::RefreshTokenExpired,
    ),
    ErrorRule::text(
        "invalid_request",
        UNKNOWN_CONNECTOR,
        ErrorMeaning::UnknownConnector,
    ),
];

/// Dex keeps one refresh token for each user and client, and takes the previous one again within `reuseInterval`.
pub(super) const RULES: DialectRules = DialectRules {
    name: "dex",
    policy: IssuerPolicy::Tolerant,
    refresh_tokens: RefreshTokens::PerUser,
    sign_out: SignOutAtIssuer::Revoke,
    errors: ERRORS,
    dead_refresh_token: ("invalid_request", REFRESH_TOKEN_CLAIMED),
    offline_access: OfflineAccess::ScopeWithConsent,
    assertion_audience: AssertionAudience::Issuer,
    client_certificates: false,
    exchange: Some(ExchangeDefaults {
        grant: ExchangeGrant::TokenExchange,
        accepted_grants: &[ExchangeGrant::TokenExchange],
        subject: SubjectKind::IdToken,
        accepted_subjects: &[SubjectKind::IdToken, SubjectKind::AccessToken],
        requested_token_type: Some(TOKEN_TYPE_ID_TOKEN),
        audience_by: AudienceBy::CrossClientScopes,
        needs_audience: false,
        needs_connector: true,
        needs_subject_token_type: false,
        scopes: "openid profile email groups",
        parameters: &[],
    }),
    hosts: &[],
    path: None,
    token_path: Some("/token"),
    login_scopes: &["openid", "profile", "email", "groups", "offline_access"],
    document: &[
        DocumentSign::EndsWith("device_authorization_endpoint", "/device/code"),
        DocumentSign::EndsWith("token_endpoint", "/token"),
        DocumentSign::EndsWith("jwks_uri", "/keys"),
    ],
};

/// The issuer and its keys: Dex serves `/token` and `/keys` below its issuer identifier.
pub(super) fn remote_addresses(token_endpoint: &Url) -> Option<RemoteAddresses> {
    super::beside(token_endpoint, "/token", "/keys")
}

/// `^[a-zA-Z][a-zA-Z0-9_-]*$`, the MCPServer CRD's pattern.
pub(super) fn is_connector_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_alphabetic())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether `audience` can stand in a cross-client scope without ending the scope and starting another.
pub(super) fn is_audience(audience: &str) -> bool {
    !audience.is_empty()
        && audience
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// `scopes` with those that put `audiences` into `aud`. Dex puts the exchanging client itself there; each other audience
/// needs its cross-client scope.
pub(super) fn scopes_for(scopes: &str, audiences: &[String], client_id: &str) -> String {
    let mut scopes: Vec<String> = scopes.split(' ').map(str::to_owned).collect();
    let cross_client = |audience: &str| format!("{CROSS_CLIENT_SCOPE}{audience}");
    for audience in audiences {
        let scope = cross_client(audience);
        if audience != client_id && !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    // With a cross-client scope Dex omits the client from `aud` unless its own scope is requested as well.
    let own = cross_client(client_id);
    let is_cross_client = scopes.iter().any(|scope| scope.starts_with(CROSS_CLIENT_SCOPE));
    if is_cross_client && audiences.iter().any(|audience| audience == client_id) && !scopes.contains(&own) {
        scopes.push(own);
    }
    scopes.join(" ")
}
