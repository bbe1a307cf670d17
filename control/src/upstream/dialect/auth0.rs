//! Auth0. From its documentation.

use url::Url;

use super::RemoteAddresses;
use super::error_meaning::ErrorMeaning;
use super::rules::{
    AssertionAudience, DialectRules, DocumentSign, ErrorRule, ExchangeDefaults, ExchangeGrant, IssuerPolicy,
    OfflineAccess, RefreshTokens, SignOutAtIssuer,
};
use super::standard;

const ERRORS: &[ErrorRule] = &[
    // "Global limit has been reached", with status 429 or 500.
    ErrorRule::code("access_denied", ErrorMeaning::TryLater).when_failing(),
    ErrorRule::code("too_many_requests", ErrorMeaning::TryLater),
    ErrorRule::code("too_many_attempts", ErrorMeaning::TryLater),
    // A wrong secret, or an unknown client.
    ErrorRule::text("access_denied", "Unauthorized", ErrorMeaning::InvalidClient),
    ErrorRule::containing(
        "access_denied",
        "Service not found",
        ErrorMeaning::UnknownAudience,
    ),
];

/// One refresh token for each login. Where it rotates, reuse after the overlap ends the login. Dead ones come with status 403.
pub(super) const RULES: DialectRules = DialectRules {
    name: "auth0",
    policy: IssuerPolicy::Strict,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Revoke,
    errors: ERRORS,
    dead_refresh_token: ("invalid_grant", "Unknown or invalid refresh token."),
    offline_access: OfflineAccess::Scope,
    assertion_audience: AssertionAudience::Issuer,
    client_certificates: false,
    exchange: Some(ExchangeDefaults {
        // Custom token exchange: the type is a URI that the tenant's profile names.
        accepted_grants: &[ExchangeGrant::TokenExchange],
        needs_audience: true,
        needs_subject_token_type: true,
        requested_token_type: None,
        ..standard::EXCHANGE
    }),
    hosts: &[".auth0.com"],
    path: None,
    token_path: Some("/oauth/token"),
    login_scopes: standard::LOGIN_SCOPES,
    document: &[
        DocumentSign::EndsWith("token_endpoint", "/oauth/token"),
        DocumentSign::Has("mfa_challenge_endpoint"),
    ],
};

/// `https://TENANT/oauth/token`; the issuer ends in a slash.
pub(super) fn remote_addresses(token_endpoint: &Url) -> Option<RemoteAddresses> {
    let found = super::beside(token_endpoint, "/oauth/token", "/.well-known/jwks.json")?;
    Some(RemoteAddresses {
        issuer: format!("{}/", found.issuer),
        ..found
    })
}
