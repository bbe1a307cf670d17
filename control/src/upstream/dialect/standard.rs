//! OAuth 2.0 and OpenID Connect as specified, with error codes that several issuers add.

use tokenward_protocol::token_endpoint::TOKEN_TYPE_ACCESS_TOKEN;

use super::error_meaning::ErrorMeaning;
use super::rules::{
    AssertionAudience, AudienceBy, DialectRules, ExchangeDefaults, ExchangeGrant, IssuerPolicy,
    OfflineAccess, RefreshTokens, SignOutAtIssuer, SubjectKind,
};

/// The answer to a refresh token that is expired, revoked or used (RFC 6749 §5.2).
pub(super) const DEAD_REFRESH_TOKEN: (&str, &str) = (
    "invalid_grant",
    "the refresh token is invalid, expired or revoked",
);

/// What a login requests: OpenID Connect Core §5.4, §11.
pub(super) const LOGIN_SCOPES: &[&str] = &["openid", "profile", "email", "offline_access"];

/// An exchange as RFC 8693 has it, with an access token as subject.
pub(super) const EXCHANGE: ExchangeDefaults = ExchangeDefaults {
    grant: ExchangeGrant::TokenExchange,
    accepted_grants: &ExchangeGrant::ALL,
    subject: SubjectKind::AccessToken,
    accepted_subjects: &[SubjectKind::AccessToken, SubjectKind::IdToken],
    requested_token_type: Some(TOKEN_TYPE_ACCESS_TOKEN),
    audience_by: AudienceBy::Parameter,
    needs_audience: false,
    needs_connector: false,
    needs_subject_token_type: false,
    scopes: "",
    parameters: &[],
};

/// The strict reading of the specifications: RFC 9700 §4.14.2 lets an issuer revoke a login on reuse.
pub(super) const RULES: DialectRules = DialectRules {
    name: "standard",
    policy: IssuerPolicy::Strict,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Revoke,
    errors: &[],
    dead_refresh_token: DEAD_REFRESH_TOKEN,
    offline_access: OfflineAccess::ScopeWithConsent,
    assertion_audience: AssertionAudience::Issuer,
    client_certificates: false,
    exchange: Some(EXCHANGE),
    hosts: &[],
    path: None,
    token_path: None,
    login_scopes: LOGIN_SCOPES,
    document: &[],
};

/// The meaning of an `error` code; `None` for a code that is not known.
pub(super) fn error_meaning(code: &str) -> Option<ErrorMeaning> {
    Some(match code {
        // For a dead refresh token CloudFoundry UAA sends `invalid_token`, GitHub `bad_refresh_token`.
        "invalid_grant"
        | "invalid_token"
        | "invalid_refresh_token"
        | "bad_refresh_token"
        | "expired_token" => ErrorMeaning::InvalidGrant,
        "interaction_required"
        | "login_required"
        | "consent_required"
        | "account_selection_required"
        | "mfa_required"
        | "unmet_authentication_requirements" => ErrorMeaning::InteractionRequired,
        "access_denied" => ErrorMeaning::AccessDenied,
        "server_error" => ErrorMeaning::IssuerFailing,
        "temporarily_unavailable" | "slow_down" => ErrorMeaning::TryLater,
        "invalid_client" => ErrorMeaning::InvalidClient,
        "unauthorized_client" | "unsupported_grant_type" => ErrorMeaning::GrantTypeNotAllowed,
        "invalid_request"
        | "invalid_scope"
        | "invalid_target"
        | "invalid_resource"
        | "request_not_supported"
        | "unsupported_token_type"
        | "unsupported_response_type"
        | "invalid_dpop_proof"
        | "use_dpop_nonce" => ErrorMeaning::InvalidRequest,
        _ => return None,
    })
}
