//! Classifies the responses of an issuer's token endpoint. Pure: status and body in, one class out.
//!
//! The OAuth `error` code decides (RFC 6749 §5.2), whatever status and text surround it; [`crate::upstream::dialect`] holds
//! the meaning of each code. A response without a known code comes from an intermediary (a proxy, firewall or load balancer)
//! and says nothing about the login. Tokens are extracted from every 2xx that holds them ([`members`]); after a 2xx that
//! cannot be understood, the issuer may have processed the request.

pub mod body;
pub mod exchange;
pub mod login;
pub mod members;
mod oauth_error;
pub(super) mod outcome;
pub mod response;

use std::time::Duration;

use secrecy::SecretString;

use self::members::Members;
use self::oauth_error::{OauthError, unknown_code};
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::error_meaning::ErrorMeaning;
use crate::upstream::issuer::access_token::GivenAccessToken;
use crate::upstream::streak::StreakKind;

/// A response, not yet interpreted.
#[derive(Clone, Default)]
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`: see [`super::retry_after::retry_after`].
    pub retry_after: Option<Duration>,
    /// The body, decoded, up to the cap of the client.
    pub body: Vec<u8>,
    /// Whether the body was longer than the cap, or the connection broke before its end.
    pub cut: bool,
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

impl RawAnswer {
    /// Any 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The outcome of a refresh.
#[derive(Debug)]
pub enum RefreshAnswer {
    /// The issuer carried out the refresh.
    Refreshed {
        /// The new ID token.
        id_token: GivenIdToken,
        /// The rotated refresh token; absent: the old one stays valid (RFC 6749 §6).
        refresh_token: Option<SecretString>,
        /// The new access token, if the response has one.
        access_token: Option<GivenAccessToken>,
    },
    /// This refresh token will not work again.
    Dead(Death),
    /// A fault of a configuration, not of the login; waiting does not help. The text is for an operator.
    Misconfigured(String),
    /// A later attempt may succeed.
    Transient(Transient),
}

/// The ID token of a refresh response.
#[derive(Debug)]
pub enum GivenIdToken {
    /// Present.
    Given(SecretString),
    /// The response is complete and has none.
    Missing,
    /// The response ends, or becomes unreadable, before one.
    CutOff,
    /// The member is not a string.
    NotText,
}

/// Why a refresh token does not work any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Death {
    /// Used, rotated away, revoked, unknown, or replaced by a newer login.
    Claimed,
    /// Past the issuer's lifetimes.
    Expired,
    /// The issuer answered `invalid_grant`.
    InvalidGrant,
    /// The issuer requires the user to log in or to consent again (`interaction_required` and similar codes).
    Interaction,
}

/// A transient failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transient {
    /// Whether the issuer itself failed, an intermediary answered, or nothing was reached.
    pub kind: StreakKind,
    /// The issuer's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The cause, for logs and messages: `status 502`, `no connection`.
    pub cause: String,
    /// Whether the issuer may have processed the request nevertheless.
    pub perhaps_done: bool,
}

impl Transient {
    pub(super) fn class(&self) -> &'static str {
        match self.kind {
            StreakKind::Failing => "failing",
            StreakKind::Denied | StreakKind::Interaction => "denied",
            StreakKind::NotOauth => "not_oauth",
            _ => "unreachable",
        }
    }
}

const ERROR: [&str; 2] = ["error", "error_description"];
const REFRESHED: [&str; 6] = [
    "error",
    "error_description",
    "access_token",
    "id_token",
    "refresh_token",
    "expires_in",
];

/// Classifies the response to `grant_type=refresh_token`.
#[must_use]
pub fn read_refresh(answer: &RawAnswer, dialect: Dialect) -> RefreshAnswer {
    if answer.is_success() {
        let members = Members::read(&answer.body, &REFRESHED);
        if let Some(refreshed) = refreshed(answer, &members) {
            return refreshed;
        }
    }
    let members = Members::read(&answer.body, &ERROR);
    match OauthError::read(answer.status, &members, dialect) {
        Some(error) => refusal_to_refresh(answer, &error),
        None => RefreshAnswer::Transient(not_oauth(answer, &members)),
    }
}

/// Whether a response without the requested result is a lasting refusal.
///
/// # Errors
/// [`Transient`] if a later attempt may succeed.
pub fn refusal_of(answer: &RawAnswer, dialect: Dialect) -> Result<(), Transient> {
    let members = Members::read(&answer.body, &ERROR);
    match OauthError::read(answer.status, &members, dialect) {
        Some(OauthError {
            meaning: meaning @ (ErrorMeaning::IssuerFailing | ErrorMeaning::TryLater),
            code,
        }) => {
            let kind = if meaning == ErrorMeaning::IssuerFailing {
                StreakKind::Failing
            } else {
                StreakKind::Unreachable
            };
            Err(of_oauth_error(answer, kind, &code))
        }
        Some(_) => Ok(()),
        None => Err(not_oauth(answer, &members)),
    }
}

/// Whether a response refuses the client itself; then the issuer did not process the presented token.
#[must_use]
pub fn refuses_client(answer: &RawAnswer, dialect: Dialect) -> bool {
    let error = OauthError::read(answer.status, &Members::read(&answer.body, &ERROR), dialect);
    error.is_some_and(|error| error.meaning == ErrorMeaning::InvalidClient)
}

/// The tokens of a 2xx; `None` if it is not certain that the issuer carried out the refresh.
fn refreshed(answer: &RawAnswer, members: &Members) -> Option<RefreshAnswer> {
    let refresh_token = members.text("refresh_token");
    let any = ["access_token", "id_token"]
        .iter()
        .any(|name| members.text(name).is_some() || members.is_unusable(name));
    let whole = members.is_complete() && !answer.cut;
    // Without a new refresh token the old one stays valid, but only if the unread part cannot hold one.
    let is_known = refresh_token.is_some() || (any && whole && !members.is_unusable("refresh_token"));
    is_known.then(|| RefreshAnswer::Refreshed {
        id_token: match members.text("id_token") {
            Some(token) => GivenIdToken::Given(token.into()),
            None if members.is_unusable("id_token") => GivenIdToken::NotText,
            None if whole => GivenIdToken::Missing,
            None => GivenIdToken::CutOff,
        },
        refresh_token: refresh_token.map(Into::into),
        access_token: members.text("access_token").map(|token| GivenAccessToken {
            token: token.into(),
            expires_in_seconds: members
                .text("expires_in")
                .and_then(|seconds| seconds.parse().ok()),
        }),
    })
}

fn refusal_to_refresh(answer: &RawAnswer, error: &OauthError) -> RefreshAnswer {
    let code = &error.code;
    let misconfigured =
        |hint: &str| RefreshAnswer::Misconfigured(format!("the issuer answered {code}: {hint}"));
    match error.meaning {
        ErrorMeaning::InvalidGrant => RefreshAnswer::Dead(Death::InvalidGrant),
        ErrorMeaning::RefreshTokenClaimed => RefreshAnswer::Dead(Death::Claimed),
        ErrorMeaning::RefreshTokenExpired => RefreshAnswer::Dead(Death::Expired),
        ErrorMeaning::InteractionRequired | ErrorMeaning::ConsentMissing => {
            RefreshAnswer::Dead(Death::Interaction)
        }
        ErrorMeaning::IssuerFailing => {
            RefreshAnswer::Transient(of_oauth_error(answer, StreakKind::Failing, code))
        }
        ErrorMeaning::TryLater => {
            RefreshAnswer::Transient(of_oauth_error(answer, StreakKind::Unreachable, code))
        }
        ErrorMeaning::InvalidClient => {
            misconfigured("check client_id, client_secret and client_auth of this issuer")
        }
        ErrorMeaning::GrantTypeNotAllowed => misconfigured("allow grant type refresh_token for this client"),
        ErrorMeaning::AccessDenied => {
            misconfigured("its policy denies this user or this client; check it there")
        }
        ErrorMeaning::UnknownConnector
        | ErrorMeaning::SubjectNotAccepted
        | ErrorMeaning::ExchangeNotEnabled
        | ErrorMeaning::UnknownAudience
        | ErrorMeaning::InvalidRequest => RefreshAnswer::Misconfigured(format!(
            "the issuer answered status {} {code}: check token_endpoint and the client's settings at the issuer",
            answer.status,
        )),
    }
}

/// A response without a known OAuth code, of an intermediary or with unreadable content. Overload, timeouts and gateway
/// errors are transient; any other status can be a fault of a configuration, but only if it lasts.
fn not_oauth(answer: &RawAnswer, members: &Members) -> Transient {
    let status = answer.status;
    match status {
        408 | 425 | 429 | 500..=599 => {
            without_oauth(answer, StreakKind::Unreachable, &format!("status {status}"))
        }
        200..=299 if answer.cut => without_oauth(answer, StreakKind::Unreachable, "the answer breaks off"),
        200..=299 => without_oauth(
            answer,
            StreakKind::NotOauth,
            &format!(
                "status {status} without tokens and without an OAuth error: not a token endpoint's answer"
            ),
        ),
        _ => {
            let response = match unknown_code(members) {
                Some(code) => format!("status {status} with the unknown error {code}"),
                None => format!("status {status} without an OAuth error"),
            };
            let hint = "an intermediary answered (a proxy, firewall or load balancer), or token_endpoint is not the issuer's \
                        own";
            without_oauth(answer, StreakKind::NotOauth, &format!("{response}: {hint}"))
        }
    }
}

/// A transient failure that the issuer reports by an OAuth error.
fn of_oauth_error(answer: &RawAnswer, kind: StreakKind, code: &str) -> Transient {
    Transient {
        kind,
        retry_after: answer.retry_after,
        cause: code.to_owned(),
        // A gateway error stays one, also with an OAuth error in it.
        perhaps_done: matches!(answer.status, 502 | 504),
    }
}

/// A transient failure of a response without an OAuth error.
fn without_oauth(answer: &RawAnswer, kind: StreakKind, cause: &str) -> Transient {
    Transient {
        kind,
        retry_after: answer.retry_after,
        cause: cause.to_owned(),
        perhaps_done: is_perhaps_done(answer),
    }
}

/// The beginning of Envoy's 503 for a connection to the issuer that failed or broke.
const ENVOY_RESET: &[u8] = b"upstream connect error or disconnect/reset before headers";
/// Envoy's reasons that mean that the request was not sent.
const ENVOY_NOT_SENT: [&[u8]; 4] = [
    b"connection failure",
    b"connection timeout",
    b"overflow",
    b"connection pool",
];

/// Whether the issuer may have processed the request although the response has no OAuth error: a 2xx that cannot be
/// understood, an issuer that failed while processing (500), a gateway that lost the issuer's response (520 and 524 are
/// Cloudflare's). An intermediary that refuses by itself (404, 403, a redirect) has forwarded nothing.
fn is_perhaps_done(answer: &RawAnswer) -> bool {
    let contains = |text: &[u8]| answer.body.windows(text.len()).any(|window| window == text);
    match answer.status {
        200..=299 | 500 | 502 | 504 | 520 | 524 => true,
        503 => answer.body.starts_with(ENVOY_RESET) && !ENVOY_NOT_SENT.iter().any(|reason| contains(reason)),
        _ => false,
    }
}
