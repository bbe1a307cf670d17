//! OAuth 2.0 and OpenID Connect as specified, with error codes that several issuers add.

use super::error_meaning::ErrorMeaning;

/// The answer to a refresh token that is expired, revoked or used (RFC 6749 §5.2); its status is 400.
pub(super) const DEAD_REFRESH_TOKEN: (&str, &str) = (
    "invalid_grant",
    "the refresh token is invalid, expired or revoked",
);

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
