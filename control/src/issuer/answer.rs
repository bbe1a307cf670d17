//! What a token endpoint's answer means. Pure: status and body in, one class out.
//!
//! Dex does not follow RFC 6749 §5.2 here: a dead refresh token is `invalid_request` with one of two texts, and a
//! failure of the connector behind it is 500 `invalid_request`. Both were observed on Dex 2.45.1.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use tokenward_protocol::token_endpoint::TOKEN_TYPE_ID_TOKEN;

use crate::streak::StreakKind;

/// An answer as it came.
#[derive(Clone)]
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`: see [`super::asked::asked_wait`].
    pub retry_after: Option<Duration>,
    /// The body, capped.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for RawAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RawAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back from a refresh.
#[derive(Debug)]
pub enum RefreshAnswer {
    /// New tokens; what is missing was not in the answer.
    Refreshed {
        /// The new ID token.
        id_token: Option<SecretString>,
        /// The rotated refresh token; absent: keep the old one (RFC 6749 §6).
        refresh_token: Option<SecretString>,
    },
    /// This refresh token will never work again.
    Dead(Death),
    /// Not the login's fault, and waiting does not help.
    Misconfigured(String),
    /// Waiting may help.
    Transient(Transient),
}

/// How a refresh token ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Death {
    /// Used, rotated away, revoked, unknown, or replaced by a newer login.
    Claimed,
    /// Past the issuer's lifetimes.
    Expired,
    /// The issuer said `invalid_grant`.
    InvalidGrant,
}

/// A failure that may pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transient {
    /// Whether the issuer itself spoke, or only the way to it failed.
    pub kind: StreakKind,
    /// The issuer's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// For people: `status 502`, `connection refused`.
    pub cause: String,
    /// Whether the request may have been carried out all the same.
    pub perhaps_done: bool,
}

/// What came back from an exchange.
#[derive(Debug)]
pub enum ExchangeAnswer {
    /// The exchanged ID token.
    Exchanged(SecretString),
    /// The remote refuses client, connector, token type or scope.
    Misconfigured(String),
    /// Waiting may help; a denied subject is among these ([`StreakKind::Denied`]).
    Transient(Transient),
}

/// Dex's words for a refresh token that was used, rotated away, revoked, replaced or never existed.
const DEX_CLAIMED: &str = "Refresh token is invalid or has already been claimed by another client.";
/// Dex's words for one past its lifetimes.
const DEX_EXPIRED: &str = "Refresh token expired.";
/// Dex's words for a wrong `connector_id`.
const DEX_NO_CONNECTOR: &str = "Requested connector does not exist.";

#[derive(Deserialize)]
struct OauthError {
    error: String,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
    issued_token_type: Option<String>,
}

/// Reads the answer to `grant_type=refresh_token`.
#[must_use]
pub fn read_refresh(answer: &RawAnswer) -> RefreshAnswer {
    if answer.status == 200 {
        return match serde_json::from_slice::<Tokens>(&answer.body) {
            Ok(tokens) => RefreshAnswer::Refreshed {
                id_token: secret(tokens.id_token),
                refresh_token: secret(tokens.refresh_token),
            },
            Err(_) => {
                RefreshAnswer::Transient(transient(answer, StreakKind::Unreachable, "200 without JSON"))
            }
        };
    }
    let error = oauth_error(answer);
    if let Some(passing) = passing(answer, error.as_ref()) {
        return RefreshAnswer::Transient(passing);
    }
    let Some(error) = error else {
        return RefreshAnswer::Misconfigured(not_oauth(answer));
    };
    match (error.error.as_str(), error.error_description.as_str()) {
        ("invalid_grant", _) if answer.status == 400 => RefreshAnswer::Dead(Death::InvalidGrant),
        ("invalid_request", DEX_CLAIMED) if answer.status == 400 => RefreshAnswer::Dead(Death::Claimed),
        ("invalid_request", DEX_EXPIRED) if answer.status == 400 => RefreshAnswer::Dead(Death::Expired),
        ("temporarily_unavailable" | "slow_down" | "server_error", _) => {
            RefreshAnswer::Transient(transient(answer, StreakKind::Failing, &code(&error)))
        }
        ("invalid_client", _) => RefreshAnswer::Misconfigured(
            "the issuer answered invalid_client: check client_id and client_secret of this issuer".to_owned(),
        ),
        ("unsupported_grant_type" | "unauthorized_client", _) => RefreshAnswer::Misconfigured(format!(
            "the issuer answered {}: allow grant type refresh_token for this client",
            code(&error)
        )),
        _ => RefreshAnswer::Misconfigured(format!(
            "the issuer answered status {} {}: check token_endpoint and the client's settings at the issuer",
            answer.status,
            code(&error)
        )),
    }
}

/// Reads the answer to an RFC 8693 exchange.
#[must_use]
pub fn read_exchange(answer: &RawAnswer) -> ExchangeAnswer {
    if answer.status == 200 {
        return exchanged(answer);
    }
    let error = oauth_error(answer);
    if let Some(passing) = passing(answer, error.as_ref()) {
        return ExchangeAnswer::Transient(passing);
    }
    let Some(error) = error else {
        return ExchangeAnswer::Misconfigured(not_oauth(answer));
    };
    match (error.error.as_str(), error.error_description.as_str()) {
        // Dex's word for "the subject was not verified", also when it only cannot reach the home issuer.
        ("access_denied" | "invalid_grant", _) => {
            ExchangeAnswer::Transient(transient(answer, StreakKind::Denied, &code(&error)))
        }
        ("temporarily_unavailable" | "slow_down" | "server_error", _) => {
            ExchangeAnswer::Transient(transient(answer, StreakKind::Failing, &code(&error)))
        }
        ("invalid_client", _) => ExchangeAnswer::Misconfigured(
            "the remote issuer answered invalid_client: check clientCredentials of this server".to_owned(),
        ),
        ("invalid_request", DEX_NO_CONNECTOR) => ExchangeAnswer::Misconfigured(
            "the remote issuer has no such connector, or it cannot exchange: check connectorId".to_owned(),
        ),
        _ => ExchangeAnswer::Misconfigured(format!(
            "the remote issuer answered status {} {}: check connectorId, scopes, requiredAudiences and the \
             client's grant types",
            answer.status,
            code(&error)
        )),
    }
}

fn exchanged(answer: &RawAnswer) -> ExchangeAnswer {
    let Ok(tokens) = serde_json::from_slice::<Tokens>(&answer.body) else {
        return ExchangeAnswer::Transient(transient(answer, StreakKind::Unreachable, "200 without JSON"));
    };
    // RFC 8693 §2.2.1: the type that was issued must be looked at; it need not be the one that was asked for.
    if tokens.issued_token_type.as_deref() != Some(TOKEN_TYPE_ID_TOKEN) {
        return ExchangeAnswer::Misconfigured(
            "the remote issuer did not issue an ID token: it must support requested_token_type id_token"
                .to_owned(),
        );
    }
    match secret(tokens.access_token) {
        Some(token) => ExchangeAnswer::Exchanged(token),
        None => ExchangeAnswer::Transient(transient(answer, StreakKind::Unreachable, "200 without a token")),
    }
}

/// What may pass whatever the body says: overload, timeouts, gateways, and the issuer's own failures.
fn passing(answer: &RawAnswer, error: Option<&OauthError>) -> Option<Transient> {
    match answer.status {
        // Only an answer in OAuth's words is the issuer's own; anything else may be a proxy in front of it.
        500 if error.is_some() => Some(transient(answer, StreakKind::Failing, "status 500")),
        408 | 425 | 429 | 500..=599 => Some(transient(
            answer,
            StreakKind::Unreachable,
            &format!("status {}", answer.status),
        )),
        _ => None,
    }
}

fn transient(answer: &RawAnswer, kind: StreakKind, cause: &str) -> Transient {
    Transient {
        kind,
        retry_after: answer.retry_after,
        cause: cause.to_owned(),
        perhaps_done: is_perhaps_done(answer),
    }
}

/// How Envoy begins its 503 for a connection to the issuer that could not be made, or broke.
const ENVOY_RESET: &[u8] = b"upstream connect error or disconnect/reset before headers";
/// Its reasons that mean that the request was not sent.
const ENVOY_NOT_SENT: [&[u8]; 4] = [
    b"connection failure",
    b"connection timeout",
    b"overflow",
    b"connection pool",
];

/// A gateway that lost the issuer's answer (520 and 524 are Cloudflare's), or an answer that lost its body.
fn is_perhaps_done(answer: &RawAnswer) -> bool {
    let says = |what: &[u8]| answer.body.windows(what.len()).any(|words| words == what);
    match answer.status {
        200 | 502 | 504 | 520 | 524 => true,
        503 => answer.body.starts_with(ENVOY_RESET) && !ENVOY_NOT_SENT.iter().any(|reason| says(reason)),
        _ => false,
    }
}

fn not_oauth(answer: &RawAnswer) -> String {
    format!(
        "status {} without an OAuth error: check that the token endpoint is the issuer's own",
        answer.status
    )
}

fn oauth_error(answer: &RawAnswer) -> Option<OauthError> {
    serde_json::from_slice(&answer.body).ok()
}

/// The error code, as far as RFC 6749 §5.2 allows it: it goes into logs.
fn code(error: &OauthError) -> String {
    error
        .error
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        .take(40)
        .collect()
}

fn secret(text: Option<String>) -> Option<SecretString> {
    text.filter(|text| !text.is_empty()).map(Into::into)
}
