//! Google. From its documentation.

use super::error_meaning::ErrorMeaning;
use super::rules::{
    AssertionAudience, DialectRules, DocumentSign, ErrorRule, IssuerPolicy, OfflineAccess, RefreshTokens,
    SignOutAtIssuer,
};
use super::standard;

const ERRORS: &[ErrorRule] = &[
    ErrorRule::code("deleted_client", ErrorMeaning::InvalidClient),
    ErrorRule::code("admin_policy_enforced", ErrorMeaning::AccessDenied),
    ErrorRule::code("org_internal", ErrorMeaning::AccessDenied),
    ErrorRule::code("internal_failure", ErrorMeaning::IssuerFailing),
    ErrorRule::code("rate_limit_exceeded", ErrorMeaning::TryLater),
];

/// Refresh tokens do not rotate. A revocation ends the user's consent, and with it every login at this client.
pub(super) const RULES: DialectRules = DialectRules {
    name: "google",
    policy: IssuerPolicy::Tolerant,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Nothing,
    errors: ERRORS,
    dead_refresh_token: ("invalid_grant", "Token has been expired or revoked."),
    offline_access: OfflineAccess::Parameters(&[("access_type", "offline"), ("prompt", "consent")]),
    assertion_audience: AssertionAudience::TokenEndpoint,
    client_certificates: false,
    exchange: None,
    hosts: &["accounts.google.com"],
    path: None,
    token_path: None,
    login_scopes: standard::LOGIN_SCOPES,
    document: &[DocumentSign::EndsWith("issuer", "://accounts.google.com")],
};
