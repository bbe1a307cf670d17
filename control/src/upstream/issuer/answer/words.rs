//! What an OAuth `error` code says, whatever status and text stand around it.

use super::members::Members;

/// Dex's words for a refresh token that was used, rotated away, revoked, replaced or never existed.
const DEX_CLAIMED: &str = "Refresh token is invalid or has already been claimed by another client.";
/// Dex's words for one past its lifetimes.
const DEX_EXPIRED: &str = "Refresh token expired.";
/// Dex's words for a wrong `connector_id`.
const DEX_NO_CONNECTOR: &str = "Requested connector does not exist.";

/// What an error code means for what was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// RFC 6749 §5.2 `invalid_grant`, and what other issuers say in its place.
    InvalidGrant,
    /// Dex: used, rotated away, revoked, replaced or unknown.
    Claimed,
    /// Dex: past its lifetimes.
    Expired,
    /// The user must act at the issuer (OIDC Core §3.1.2.6).
    Interaction,
    /// The issuer denies this user; Dex says so where it could not verify the subject of an exchange.
    Denied,
    /// The issuer itself says that it fails.
    Failing,
    /// The issuer asks for time; that says nothing about what was presented.
    Later,
    /// The client's id, secret or way of authentication.
    Client,
    /// The client may not use this grant type.
    Grant,
    /// Dex: the connector of the exchange.
    Connector,
    /// The request itself, its scope or its target.
    Request,
}

/// An answer in OAuth's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) word: Word,
    /// The code, as it may stand in a log.
    pub(super) code: String,
}

/// The error of an answer with `status`; `None` where it has no code that is known. A code that is not known says nothing
/// about a login: gateways answer `{"error":"Not Found"}`.
pub(super) fn spoken(status: u16, members: &Members) -> Option<Spoken> {
    let code = members.text("error")?.trim().to_ascii_lowercase();
    let description = members.text("error_description").unwrap_or_default();
    let word = match code.as_str() {
        // `invalid_token` is CloudFoundry UAA's word for a refresh token that is dead, `bad_refresh_token` GitHub's.
        "invalid_grant"
        | "invalid_token"
        | "invalid_refresh_token"
        | "bad_refresh_token"
        | "expired_token" => Word::InvalidGrant,
        "interaction_required"
        | "login_required"
        | "consent_required"
        | "account_selection_required"
        | "mfa_required"
        | "unmet_authentication_requirements" => Word::Interaction,
        "access_denied" => Word::Denied,
        "server_error" => Word::Failing,
        "temporarily_unavailable" | "slow_down" => Word::Later,
        "invalid_client" => Word::Client,
        "unauthorized_client" | "unsupported_grant_type" => Word::Grant,
        // Dex answers 500 `invalid_request` where a connector or its storage failed.
        "invalid_request" if status >= 500 => Word::Failing,
        "invalid_request" if description == DEX_CLAIMED => Word::Claimed,
        "invalid_request" if description == DEX_EXPIRED => Word::Expired,
        "invalid_request" if description == DEX_NO_CONNECTOR => Word::Connector,
        "invalid_request"
        | "invalid_scope"
        | "invalid_target"
        | "invalid_resource"
        | "request_not_supported"
        | "unsupported_token_type"
        | "unsupported_response_type"
        | "invalid_dpop_proof"
        | "use_dpop_nonce" => Word::Request,
        _ => return None,
    };
    Some(Spoken {
        word,
        code: shown(&code),
    })
}

/// A code that is not known, as it may stand in a log: at most 40 letters of RFC 6749 §5.2.
pub(super) fn unknown_code(members: &Members) -> Option<String> {
    members.text("error").map(shown).filter(|code| !code.is_empty())
}

fn shown(code: &str) -> String {
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    code.chars().filter(plain).take(40).collect()
}
