//! Keycloak. Its answers were observed on Keycloak 26.5.6.

use url::Url;

use super::RemoteAddresses;
use super::error_meaning::ErrorMeaning;
use super::rules::{
    AssertionAudience, DialectRules, DocumentSign, ErrorRule, ExchangeDefaults, IssuerPolicy, OfflineAccess,
    RefreshTokens, SignOutAtIssuer, SubjectKind,
};
use super::standard;

/// A dead refresh token is `invalid_grant`, as specified; a wrong client secret and the faults of an exchange are not.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::text(
        "unauthorized_client",
        "Invalid client or Invalid client credentials",
        ErrorMeaning::InvalidClient,
    ),
    ErrorRule::text(
        "invalid_request",
        "Standard token exchange is not enabled for the requested client",
        ErrorMeaning::ExchangeNotEnabled,
    ),
    ErrorRule::text(
        "invalid_grant",
        "JWT Authorization Grant is not supported for the requested client",
        ErrorMeaning::ExchangeNotEnabled,
    ),
    ErrorRule::containing(
        "invalid_request",
        "supports access tokens only",
        ErrorMeaning::SubjectNotAccepted,
    ),
    ErrorRule::text(
        "access_denied",
        "Client is not within the token audience",
        ErrorMeaning::SubjectNotAccepted,
    ),
    ErrorRule::text(
        "invalid_grant",
        "Multiple audiences not allowed",
        ErrorMeaning::SubjectNotAccepted,
    ),
    ErrorRule::text(
        "invalid_grant",
        "Invalid token audience",
        ErrorMeaning::SubjectNotAccepted,
    ),
    // Its status is 400, and it is about no client's credentials.
    ErrorRule::text(
        "invalid_client",
        "Audience not found",
        ErrorMeaning::UnknownAudience,
    ),
    ErrorRule::containing(
        "invalid_request",
        "Requested audience not available",
        ErrorMeaning::UnknownAudience,
    ),
    // A subject that has expired, or whose session has ended.
    ErrorRule::text("invalid_request", "Invalid token", ErrorMeaning::InvalidGrant),
];

/// One rotating chain of refresh tokens for each login: reuse ends that login alone, where "Revoke Refresh Token" is on. A
/// revocation ends the session of that login.
pub(super) const RULES: DialectRules = DialectRules {
    name: "keycloak",
    policy: IssuerPolicy::Strict,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Revoke,
    errors: ERRORS,
    dead_refresh_token: ("invalid_grant", "Token is not active"),
    offline_access: OfflineAccess::Scope,
    assertion_audience: AssertionAudience::Issuer,
    client_certificates: false,
    exchange: Some(ExchangeDefaults {
        // Standard token exchange takes access tokens of its own realm only.
        accepted_subjects: &[SubjectKind::AccessToken],
        ..standard::EXCHANGE
    }),
    hosts: &[],
    path: Some("/realms/"),
    token_path: Some("/protocol/openid-connect/token"),
    login_scopes: standard::LOGIN_SCOPES,
    document: &[DocumentSign::EndsWith(
        "token_endpoint",
        "/protocol/openid-connect/token",
    )],
};

/// `…/realms/NAME/protocol/openid-connect/token`; the realm is the issuer.
pub(super) fn remote_addresses(token_endpoint: &Url) -> Option<RemoteAddresses> {
    super::beside(
        token_endpoint,
        "/protocol/openid-connect/token",
        "/protocol/openid-connect/certs",
    )
}
