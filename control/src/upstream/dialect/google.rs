//! Google. From its documentation.

use super::rules::{
    AssertionAudience, DialectRules, DocumentSign, IssuerPolicy, OfflineAccess, RefreshTokens,
    SignOutAtIssuer,
};

/// Refresh tokens do not rotate. A revocation ends the user's consent, and with it every login at this client.
pub(super) const RULES: DialectRules = DialectRules {
    name: "google",
    policy: IssuerPolicy::Tolerant,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Nothing,
    errors: &[],
    dead_refresh_token: ("invalid_grant", "Token has been expired or revoked."),
    offline_access: OfflineAccess::Parameters(&[("access_type", "offline"), ("prompt", "consent")]),
    assertion_audience: AssertionAudience::TokenEndpoint,
    exchange: None,
    hosts: &["accounts.google.com"],
    path: None,
    document: &[DocumentSign::EndsWith("issuer", "://accounts.google.com")],
};
