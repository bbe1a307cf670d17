//! Keycloak. Its answers were observed on Keycloak 26.5.6.

use url::Url;

use super::RemoteAddresses;
use super::rules::{
    AssertionAudience, DialectRules, DocumentSign, ExchangeDefaults, IssuerPolicy, OfflineAccess,
    RefreshTokens, SignOutAtIssuer, SubjectKind,
};
use super::standard;

pub(super) const RULES: DialectRules = DialectRules {
    name: "keycloak",
    policy: IssuerPolicy::Strict,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Revoke,
    errors: &[],
    dead_refresh_token: ("invalid_grant", "Token is not active"),
    offline_access: OfflineAccess::Scope,
    assertion_audience: AssertionAudience::Issuer,
    exchange: Some(ExchangeDefaults {
        // Standard token exchange takes access tokens of its own realm only.
        accepted_subjects: &[SubjectKind::AccessToken],
        ..standard::EXCHANGE
    }),
    hosts: &[],
    path: Some("/realms/"),
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
