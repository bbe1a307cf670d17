//! Auth0. From its documentation.

use url::Url;

use super::RemoteAddresses;
use super::rules::{
    AssertionAudience, DialectRules, DocumentSign, ExchangeDefaults, ExchangeGrant, IssuerPolicy,
    OfflineAccess, RefreshTokens, SignOutAtIssuer,
};
use super::standard;

pub(super) const RULES: DialectRules = DialectRules {
    name: "auth0",
    policy: IssuerPolicy::Strict,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Revoke,
    errors: &[],
    dead_refresh_token: ("invalid_grant", "Unknown or invalid refresh token."),
    offline_access: OfflineAccess::Scope,
    assertion_audience: AssertionAudience::Issuer,
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
