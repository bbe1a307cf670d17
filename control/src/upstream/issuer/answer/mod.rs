//! What a token endpoint's answer means. Pure: status and body in, one class out.
//!
//! The OAuth `error` code decides (RFC 6749 §5.2), whatever status and text stand around it. An answer without such a code
//! comes from something in between (a proxy, a firewall, a load balancer) and says nothing about the login. Tokens are
//! lifted out of every 2xx that holds them ([`members`]); what cannot be understood there may have been carried out.
//!
//! What a code means, and what issuers write in its place, is in [`crate::upstream::dialect`].

pub mod body;
pub mod members;
mod oauth_error;

use std::time::Duration;

use secrecy::SecretString;
use tokenward_protocol::token_endpoint::TOKEN_TYPE_ID_TOKEN;

use self::members::Members;
use self::oauth_error::{OauthError, unknown_code};
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::error_meaning::ErrorMeaning;
use crate::upstream::streak::StreakKind;

/// An answer as it came.
#[derive(Clone, Default)]
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`: see [`super::retry_after::retry_after`].
    pub retry_after: Option<Duration>,
    /// The body, unpacked, at most as long as is read.
    pub body: Vec<u8>,
    /// Whether the body was longer than that, or the connection broke before its end.
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

/// What came back from a refresh.
#[derive(Debug)]
pub enum RefreshAnswer {
    /// The issuer carried the refresh out.
    Refreshed {
        /// The new ID token.
        id_token: GivenIdToken,
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

/// The ID token of a refresh.
#[derive(Debug)]
pub enum GivenIdToken {
    /// It is there.
    Given(SecretString),
    /// The answer came whole and has none.
    Missing,
    /// The answer breaks off, or cannot be read on, before one came.
    CutOff,
    /// The member is no text.
    NotText,
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
    /// The issuer wants the user to log in or to consent again (`interaction_required` and its like).
    Interaction,
}

/// A failure that may pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transient {
    /// Whether the issuer itself spoke, something in between did, or nothing was reached.
    pub kind: StreakKind,
    /// The issuer's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// For people: `status 502`, `no connection`.
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

impl RefreshAnswer {
    /// Its class, for metrics.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refreshed { .. } => "tokens",
            Self::Dead(_) => "dead",
            Self::Misconfigured(_) => "misconfigured",
            Self::Transient(passing) => passing.class(),
        }
    }
}

impl ExchangeAnswer {
    /// Its class, for metrics.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Exchanged(_) => "tokens",
            Self::Misconfigured(_) => "misconfigured",
            Self::Transient(passing) => passing.class(),
        }
    }
}

impl Transient {
    pub(super) fn class(&self) -> &'static str {
        match self.kind {
            StreakKind::Failing => "failing",
            StreakKind::Denied => "denied",
            StreakKind::NotOauth => "not_oauth",
            _ => "unreachable",
        }
    }
}

const ERROR: [&str; 2] = ["error", "error_description"];
const REFRESHED: [&str; 5] = [
    "error",
    "error_description",
    "access_token",
    "id_token",
    "refresh_token",
];
const EXCHANGED: [&str; 4] = ["error", "error_description", "access_token", "issued_token_type"];

/// Reads the answer to `grant_type=refresh_token`.
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

/// What is left of an answer that does not say what was asked for: a refusal that stays (`Ok`), or what may pass.
///
/// # Errors
/// [`Transient`].
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

/// Whether an answer refuses the client itself; nothing that was presented was looked at then.
#[must_use]
pub fn refuses_client(answer: &RawAnswer, dialect: Dialect) -> bool {
    let error = OauthError::read(answer.status, &Members::read(&answer.body, &ERROR), dialect);
    error.is_some_and(|error| error.meaning == ErrorMeaning::InvalidClient)
}

/// The tokens of a 2xx; `None` where it is not plain that the issuer carried the refresh out.
fn refreshed(answer: &RawAnswer, members: &Members) -> Option<RefreshAnswer> {
    let refresh_token = members.text("refresh_token");
    let any = ["access_token", "id_token"]
        .iter()
        .any(|name| members.text(name).is_some() || members.is_unusable(name));
    let whole = members.is_complete() && !answer.cut;
    // Without a refresh token the old one still works, but only if there is none in what could not be read.
    let is_known = refresh_token.is_some() || (any && whole && !members.is_unusable("refresh_token"));
    is_known.then(|| RefreshAnswer::Refreshed {
        id_token: match members.text("id_token") {
            Some(token) => GivenIdToken::Given(token.into()),
            None if members.is_unusable("id_token") => GivenIdToken::NotText,
            None if whole => GivenIdToken::Missing,
            None => GivenIdToken::CutOff,
        },
        refresh_token: refresh_token.map(Into::into),
    })
}

fn refusal_to_refresh(answer: &RawAnswer, error: &OauthError) -> RefreshAnswer {
    let code = &error.code;
    let misconfigured =
        |what: &str| RefreshAnswer::Misconfigured(format!("the issuer answered {code}: {what}"));
    match error.meaning {
        ErrorMeaning::InvalidGrant => RefreshAnswer::Dead(Death::InvalidGrant),
        ErrorMeaning::RefreshTokenClaimed => RefreshAnswer::Dead(Death::Claimed),
        ErrorMeaning::RefreshTokenExpired => RefreshAnswer::Dead(Death::Expired),
        ErrorMeaning::InteractionRequired => RefreshAnswer::Dead(Death::Interaction),
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
        ErrorMeaning::AccessDenied => misconfigured("its policy denies this user or this client; look there"),
        ErrorMeaning::UnknownConnector | ErrorMeaning::InvalidRequest => {
            RefreshAnswer::Misconfigured(format!(
                "the issuer answered status {} {code}: check token_endpoint and the client's settings at the issuer",
                answer.status,
            ))
        }
    }
}

/// Reads the answer to an RFC 8693 exchange.
#[must_use]
pub fn read_exchange(answer: &RawAnswer, dialect: Dialect) -> ExchangeAnswer {
    let members = Members::read(&answer.body, &EXCHANGED);
    if answer.is_success() && members.text("access_token").is_some() {
        return exchanged(answer, &members);
    }
    match OauthError::read(answer.status, &members, dialect) {
        Some(error) => refusal_to_exchange(answer, &error),
        None => ExchangeAnswer::Transient(not_oauth(answer, &members)),
    }
}

fn exchanged(answer: &RawAnswer, members: &Members) -> ExchangeAnswer {
    // RFC 8693 §2.2.1: the type that was issued must be looked at; it need not be the one that was asked for.
    match (members.text("issued_token_type"), members.text("access_token")) {
        (Some(TOKEN_TYPE_ID_TOKEN), Some(token)) => ExchangeAnswer::Exchanged(token.into()),
        (None, _) if answer.cut || !members.is_complete() => ExchangeAnswer::Transient(without_oauth(
            answer,
            StreakKind::Unreachable,
            "the answer breaks off",
        )),
        _ => ExchangeAnswer::Misconfigured(
            "the remote issuer did not issue an ID token: it must support requested_token_type id_token"
                .to_owned(),
        ),
    }
}

fn refusal_to_exchange(answer: &RawAnswer, error: &OauthError) -> ExchangeAnswer {
    let passing = |kind| ExchangeAnswer::Transient(of_oauth_error(answer, kind, &error.code));
    match error.meaning {
        // Dex's word for "the subject was not verified", also when it only cannot reach the home issuer. The subject is
        // fresh here, so that no word of the remote issuer can end the login at the home issuer.
        ErrorMeaning::AccessDenied
        | ErrorMeaning::InvalidGrant
        | ErrorMeaning::RefreshTokenClaimed
        | ErrorMeaning::RefreshTokenExpired
        | ErrorMeaning::InteractionRequired => passing(StreakKind::Denied),
        ErrorMeaning::IssuerFailing => passing(StreakKind::Failing),
        ErrorMeaning::TryLater => passing(StreakKind::Unreachable),
        ErrorMeaning::InvalidClient => ExchangeAnswer::Misconfigured(format!(
            "the remote issuer answered {}: check clientCredentials of this server, and its clientAuth",
            error.code
        )),
        ErrorMeaning::UnknownConnector => ExchangeAnswer::Misconfigured(
            "the remote issuer has no such connector, or it cannot exchange: check connectorId".to_owned(),
        ),
        ErrorMeaning::GrantTypeNotAllowed | ErrorMeaning::InvalidRequest => {
            ExchangeAnswer::Misconfigured(format!(
                "the remote issuer answered status {} {}: check connectorId, scopes, requiredAudiences and the \
             client's grant types",
                answer.status, error.code
            ))
        }
    }
}

/// An answer without a known OAuth code: of a proxy, a firewall, a load balancer, or of nothing that can be understood.
/// Overload, timeouts and gateways say that waiting helps; any other status may be a fault of somebody's configuration,
/// but only if it stays.
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
            let says = match unknown_code(members) {
                Some(code) => format!("status {status} with the unknown error {code}"),
                None => format!("status {status} without an OAuth error"),
            };
            let cure = "something in between answered (a proxy, firewall or load balancer), or token_endpoint is not the \
                        issuer's own";
            without_oauth(answer, StreakKind::NotOauth, &format!("{says}: {cure}"))
        }
    }
}

/// In the issuer's own words.
fn of_oauth_error(answer: &RawAnswer, kind: StreakKind, code: &str) -> Transient {
    Transient {
        kind,
        retry_after: answer.retry_after,
        cause: code.to_owned(),
        // A gateway that emulates OAuth's words is one all the same.
        perhaps_done: matches!(answer.status, 502 | 504),
    }
}

fn without_oauth(answer: &RawAnswer, kind: StreakKind, cause: &str) -> Transient {
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

/// Without OAuth's words: a 2xx that cannot be understood, an issuer that broke down at its work (500), a gateway that lost
/// the issuer's answer (520 and 524 are Cloudflare's). Whatever refuses on its own account (404, 403, a redirect) has
/// passed nothing on.
fn is_perhaps_done(answer: &RawAnswer) -> bool {
    let says = |what: &[u8]| answer.body.windows(what.len()).any(|words| words == what);
    match answer.status {
        200..=299 | 500 | 502 | 504 | 520 | 524 => true,
        503 => answer.body.starts_with(ENVOY_RESET) && !ENVOY_NOT_SENT.iter().any(|reason| says(reason)),
        _ => false,
    }
}
