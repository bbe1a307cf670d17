//! Okta, a custom authorization server or that of the organization. From its documentation.

use url::Url;

use super::RemoteAddresses;
use super::rules::{
    AssertionAudience, DialectRules, DocumentSign, ExchangeDefaults, ExchangeGrant, IssuerPolicy,
    OfflineAccess, RefreshTokens, SignOutAtIssuer, SubjectKind,
};
use super::standard;

/// One refresh token for each login. Where it rotates, reuse after the grace period ends the login.
pub(super) const RULES: DialectRules = DialectRules {
    name: "okta",
    policy: IssuerPolicy::Strict,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Revoke,
    errors: &[],
    dead_refresh_token: ("invalid_grant", "The refresh token is invalid or expired."),
    offline_access: OfflineAccess::Scope,
    assertion_audience: AssertionAudience::TokenEndpoint,
    client_certificates: false,
    exchange: Some(ExchangeDefaults {
        accepted_grants: &[ExchangeGrant::TokenExchange],
        accepted_subjects: &[SubjectKind::AccessToken],
        needs_audience: true,
        requested_token_type: None,
        ..standard::EXCHANGE
    }),
    hosts: &[".okta.com", ".oktapreview.com", ".okta-emea.com"],
    path: None,
    token_path: Some("/v1/token"),
    login_scopes: standard::LOGIN_SCOPES,
    document: &[
        DocumentSign::EndsWith("token_endpoint", "/v1/token"),
        DocumentSign::EndsWith("jwks_uri", "/v1/keys"),
    ],
};

/// `…/oauth2/SERVER/v1/token`. The organization's own server has another issuer than its endpoints show.
pub(super) fn remote_addresses(token_endpoint: &Url) -> Option<RemoteAddresses> {
    let found = super::beside(token_endpoint, "/v1/token", "/v1/keys")?;
    (!found.issuer.ends_with("/oauth2")).then_some(found)
}
