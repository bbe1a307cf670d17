//! The response to an exchange (RFC 8693 §2.2, RFC 7523 §2.1).

use secrecy::SecretString;
use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN};

use super::members::Members;
use super::oauth_error::OauthError;
use super::{RawAnswer, Transient, not_oauth, of_oauth_error, without_oauth};
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::error_meaning::ErrorMeaning;
use crate::upstream::dialect::rules::{ExchangeGrant, TOKEN_TYPE_JWT};
use crate::upstream::issuer::loggable::loggable;
use crate::upstream::streak::StreakKind;
use crate::upstream::token_kind::TokenKind;

const MEMBERS: [&str; 5] = [
    "error",
    "error_description",
    "access_token",
    "issued_token_type",
    "expires_in",
];

/// The request that a response answers.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeCall<'a> {
    /// The remote's dialect.
    pub dialect: Dialect,
    /// The grant.
    pub grant: ExchangeGrant,
    /// `requested_token_type`, if it was sent.
    pub requested_token_type: Option<&'a str>,
}

/// The outcome of an exchange.
#[derive(Debug)]
pub enum ExchangeAnswer {
    /// The exchanged token.
    Exchanged(ExchangedAnswer),
    /// The remote refuses the client, connector, subject, token type or scope. The text is for an operator.
    Misconfigured(String),
    /// A later attempt may succeed; a denied subject is among these ([`StreakKind::Denied`]).
    Transient(Transient),
}

/// A token as the remote issuer sent it. Nothing of it is verified.
#[derive(Debug)]
pub struct ExchangedAnswer {
    /// The token.
    pub token: SecretString,
    /// What it is, by `issued_token_type`, else by the request.
    pub kind: TokenKind,
    /// `expires_in`.
    pub expires_in_seconds: Option<u64>,
}

impl ExchangeAnswer {
    /// The class, for metrics.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Exchanged(_) => "tokens",
            Self::Misconfigured(_) => "misconfigured",
            Self::Transient(passing) => passing.class(),
        }
    }
}

/// Classifies the response to `call`.
#[must_use]
pub fn read_exchange(answer: &RawAnswer, call: &ExchangeCall<'_>) -> ExchangeAnswer {
    let members = Members::read(&answer.body, &MEMBERS);
    if let (true, Some(token)) = (answer.is_success(), members.text("access_token")) {
        return exchanged(answer, &members, token, call);
    }
    match OauthError::read(answer.status, &members, call.dialect) {
        Some(error) => refusal_to_exchange(answer, &error, call),
        None => ExchangeAnswer::Transient(not_oauth(answer, &members)),
    }
}

fn exchanged(answer: &RawAnswer, members: &Members, token: &str, call: &ExchangeCall<'_>) -> ExchangeAnswer {
    let issued = members.text("issued_token_type");
    if issued.is_none() && (answer.cut || !members.is_complete()) {
        let breaks_off = without_oauth(answer, StreakKind::Unreachable, "the answer breaks off");
        return ExchangeAnswer::Transient(breaks_off);
    }
    match issued_kind(issued, call) {
        Ok(kind) => ExchangeAnswer::Exchanged(ExchangedAnswer {
            token: token.into(),
            kind,
            expires_in_seconds: members
                .text("expires_in")
                .and_then(|seconds| seconds.parse().ok()),
        }),
        Err(unfit) => ExchangeAnswer::Misconfigured(unfit.cause(call)),
    }
}

/// Why `issued_token_type` is not that of the requested token.
enum UnfitType {
    Missing,
    Other(String),
}

impl UnfitType {
    fn cause(self, call: &ExchangeCall<'_>) -> String {
        if call.requested_token_type == Some(TOKEN_TYPE_ID_TOKEN) {
            return "the remote issuer did not issue an ID token: it must support requested_token_type id_token"
                .to_owned();
        }
        match self {
            Self::Missing => "the remote issuer does not state what it issued (issued_token_type)".to_owned(),
            Self::Other(issued) => format!(
                "the remote issuer issued another type of token than requested ({issued}): set requestedTokenType"
            ),
        }
    }
}

/// What was issued. RFC 8693 §2.2.1 requires `issued_token_type`, which can differ from the requested type. Its absence is
/// accepted where an access token is expected: that is what `access_token` holds in any other answer.
fn issued_kind(issued: Option<&str>, call: &ExchangeCall<'_>) -> Result<TokenKind, UnfitType> {
    let other = |issued: &str| Err(UnfitType::Other(loggable(issued)));
    if call.grant == ExchangeGrant::JwtBearer {
        return Ok(TokenKind::AccessToken);
    }
    match (call.requested_token_type, issued) {
        (Some(TOKEN_TYPE_ID_TOKEN) | None, Some(TOKEN_TYPE_ID_TOKEN)) => Ok(TokenKind::IdToken),
        (Some(TOKEN_TYPE_ID_TOKEN), Some(issued)) => other(issued),
        (Some(TOKEN_TYPE_ID_TOKEN), None) => Err(UnfitType::Missing),
        (
            Some(TOKEN_TYPE_ACCESS_TOKEN | TOKEN_TYPE_JWT) | None,
            Some(TOKEN_TYPE_ACCESS_TOKEN | TOKEN_TYPE_JWT) | None,
        ) => Ok(TokenKind::AccessToken),
        (Some(requested), Some(issued)) if requested == issued => Ok(TokenKind::AccessToken),
        (_, Some(issued)) => other(issued),
        (Some(_), None) => Err(UnfitType::Missing),
    }
}

fn refusal_to_exchange(answer: &RawAnswer, error: &OauthError, call: &ExchangeCall<'_>) -> ExchangeAnswer {
    let passing = |kind| ExchangeAnswer::Transient(of_oauth_error(answer, kind, &error.code));
    let misconfigured = |hint: &str| {
        ExchangeAnswer::Misconfigured(format!("the remote issuer answered {}: {hint}", error.code))
    };
    match error.meaning {
        // Dex answers so when it did not verify the subject, also when it only cannot reach the home issuer. The subject is
        // fresh, so no answer of the remote issuer can end the login at the home issuer.
        ErrorMeaning::AccessDenied
        | ErrorMeaning::InvalidGrant
        | ErrorMeaning::RefreshTokenClaimed
        | ErrorMeaning::RefreshTokenExpired => passing(StreakKind::Denied),
        ErrorMeaning::InteractionRequired => passing(StreakKind::Interaction),
        ErrorMeaning::IssuerFailing => passing(StreakKind::Failing),
        ErrorMeaning::TryLater => passing(StreakKind::Unreachable),
        ErrorMeaning::InvalidClient => {
            misconfigured("check clientCredentials of this server, and its clientAuth")
        }
        ErrorMeaning::UnknownConnector => ExchangeAnswer::Misconfigured(
            "the remote issuer has no such connector, or it cannot exchange: check connectorId".to_owned(),
        ),
        ErrorMeaning::SubjectNotAccepted => misconfigured(
            "it does not take this subject token for this client; check subject, and that the client is in the subject \
             token's aud",
        ),
        ErrorMeaning::ConsentMissing => {
            misconfigured("the user or an administrator must consent there to what scopes name")
        }
        ErrorMeaning::ExchangeNotEnabled => {
            misconfigured("let the client exchange tokens there (Keycloak: standard token exchange)")
        }
        ErrorMeaning::UnknownAudience => {
            misconfigured("check audience of this server, and what the client may request there")
        }
        ErrorMeaning::GrantTypeNotAllowed | ErrorMeaning::InvalidRequest => {
            let fields = match call.dialect {
                Dialect::Dex => "connectorId, scopes, requiredAudiences",
                _ => "subject, audience, scopes, parameters",
            };
            ExchangeAnswer::Misconfigured(format!(
                "the remote issuer answered status {} {}: check {fields} and the client's grant types",
                answer.status, error.code
            ))
        }
    }
}
