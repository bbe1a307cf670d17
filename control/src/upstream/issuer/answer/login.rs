//! Classifies the response to `grant_type=authorization_code`.

use secrecy::SecretString;

use super::members::Members;
use super::oauth_error::OauthError;
use super::response::TokenResponse;
use super::{ERROR, RawAnswer, Transient, not_oauth, of_oauth_error};
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::error_meaning::ErrorMeaning;
use crate::upstream::issuer::access_token::GivenAccessToken;
use crate::upstream::streak::StreakKind;

/// The outcome of redeeming an authorization code.
#[derive(Debug)]
pub enum LoginAnswer {
    /// The issuer has logged the user in.
    LoggedIn(LoginTokens),
    /// The code is not valid, or not valid any more: the user starts again.
    CodeRejected,
    /// The issuer denies this user or this client.
    Denied,
    /// A fault of a configuration; waiting does not help. The text is for an operator.
    Misconfigured(String),
    /// A later login may succeed.
    Transient(Transient),
}

/// The tokens of a login, as far as they were in the response.
#[derive(Debug)]
pub struct LoginTokens {
    /// `id_token`.
    pub id_token: Option<SecretString>,
    /// `refresh_token`.
    pub refresh_token: Option<SecretString>,
    /// `access_token`, with `expires_in`.
    pub access_token: Option<GivenAccessToken>,
}

/// Classifies the response to `grant_type=authorization_code` (RFC 6749 §4.1.4, §5).
#[must_use]
pub fn read_login(answer: &RawAnswer, dialect: Dialect) -> LoginAnswer {
    if answer.is_success()
        && let Some(tokens) = TokenResponse::read(&answer.body)
    {
        return LoginAnswer::LoggedIn(LoginTokens {
            access_token: tokens.access_token(),
            id_token: tokens.id_token,
            refresh_token: tokens.refresh_token,
        });
    }
    let members = Members::read(&answer.body, &ERROR);
    match OauthError::read(answer.status, &members, dialect) {
        Some(error) => refusal(answer, &error),
        None => LoginAnswer::Transient(not_oauth(answer, &members)),
    }
}

fn refusal(answer: &RawAnswer, error: &OauthError) -> LoginAnswer {
    let passing = |kind| LoginAnswer::Transient(of_oauth_error(answer, kind, &error.code));
    match error.meaning {
        ErrorMeaning::InvalidGrant
        | ErrorMeaning::RefreshTokenClaimed
        | ErrorMeaning::RefreshTokenExpired
        | ErrorMeaning::InteractionRequired => LoginAnswer::CodeRejected,
        ErrorMeaning::AccessDenied => LoginAnswer::Denied,
        ErrorMeaning::IssuerFailing => passing(StreakKind::Failing),
        ErrorMeaning::TryLater => passing(StreakKind::Unreachable),
        ErrorMeaning::InvalidClient => LoginAnswer::Misconfigured(format!(
            "the issuer answered {}: check client_id, client_secret and client_auth of this issuer",
            error.code
        )),
        ErrorMeaning::GrantTypeNotAllowed
        | ErrorMeaning::UnknownConnector
        | ErrorMeaning::SubjectNotAccepted
        | ErrorMeaning::ConsentMissing
        | ErrorMeaning::ExchangeNotEnabled
        | ErrorMeaning::UnknownAudience
        | ErrorMeaning::InvalidRequest => LoginAnswer::Misconfigured(format!(
            "the issuer answered status {} {}: allow grant type authorization_code and the redirect URI of \
             Tokenward for this client",
            answer.status, error.code
        )),
    }
}
