//! Whether an exchange can work, before a user needs it: with a subject token that no issuer signed, and where the client can
//! have a token of its own, with that one.

use tokenward_protocol::jwt::Claims;

use super::issuers::Issuers;
use super::probe::{ProbeAnswer, ProbeFailure};
use super::report::Check;
use crate::config::ExchangeConfig;
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::error_meaning::ErrorMeaning;
use crate::upstream::dialect::rules::{ExchangeGrant, SubjectKind};
use crate::upstream::issuer::client::ClientCredentials;
use crate::upstream::issuer::exchange_form::exchange_form;
use crate::upstream::issuer::loggable::loggable;

/// A subject token that no issuer signed: unreadable for every one.
const NO_TOKEN: &str = "tokenward-doctor";
const DOCS: &str = "docs/issuers.md has the steps for this kind of issuer";

/// What an answer to a trial exchange means.
enum Trial {
    /// The remote refused the subject token alone: everything before that is right.
    SubjectRefused,
    /// The exchange cannot work.
    Broken(String),
    /// It gave a token.
    Given(String),
    /// It tells nothing about the configuration.
    Inconclusive(String),
}

impl Issuers<'_> {
    /// Tries the exchange of the server `name`.
    pub(super) async fn trial(
        &self,
        name: &str,
        config: &ExchangeConfig,
        required_audiences: &[String],
        credentials: ClientCredentials<'_>,
    ) -> Option<Check> {
        let name = format!("{name}: trial exchange");
        if config.grant != ExchangeGrant::TokenExchange || config.dialect == Dialect::Auth0 {
            // Auth0 counts refused subject tokens against the caller's address; Entra ID answers them like a wrong audience.
            return None;
        }
        Some(match self.exchanged(config, credentials, NO_TOKEN).await {
            Ok(Trial::Broken(why)) => Check::fail(name, why, DOCS),
            Ok(Trial::Given(_)) => Check::fail(
                name,
                "the remote issuer gave a token for a subject token that no issuer signed",
                "its connector accepts every token: let it verify the home issuer's",
            ),
            Ok(Trial::Inconclusive(why)) => Check::warn(name, why, DOCS),
            Ok(Trial::SubjectRefused) => {
                self.with_own_token(name, config, required_audiences, credentials)
                    .await
            }
            Err(failure) => Check::failed(name, failure),
        })
    }

    /// Tries it with a token of the client's own, where the issuer gives it one: that shows whether the audiences are available.
    async fn with_own_token(
        &self,
        name: String,
        config: &ExchangeConfig,
        required_audiences: &[String],
        credentials: ClientCredentials<'_>,
    ) -> Check {
        const UNTRIED: &str = "the client may exchange this kind of token; whether its audiences are available shows only with a \
                               user's token";
        if config.dialect != Dialect::Keycloak || config.subject != SubjectKind::AccessToken {
            return Check::ok(name, UNTRIED);
        }
        let form = [("grant_type", "client_credentials")];
        let own = self.prober.form(&config.token_endpoint, credentials, &form).await;
        let Some(token) = own.ok().and_then(|answer| access_token(&answer)) else {
            return Check::ok(name, UNTRIED);
        };
        match self.exchanged(config, credentials, &token).await {
            Ok(Trial::Broken(why)) => Check::fail(name, why, DOCS),
            Ok(Trial::Given(token)) => with_audiences(name, &token, required_audiences),
            Ok(Trial::SubjectRefused | Trial::Inconclusive(_)) => Check::ok(name, UNTRIED),
            Err(failure) => Check::failed(name, failure),
        }
    }

    async fn exchanged(
        &self,
        config: &ExchangeConfig,
        credentials: ClientCredentials<'_>,
        subject_token: &str,
    ) -> Result<Trial, ProbeFailure> {
        let form = exchange_form(config, subject_token);
        let answer = self
            .prober
            .form(&config.token_endpoint, credentials, &form)
            .await?;
        Ok(read_trial(&answer, config.dialect))
    }
}

fn access_token(answer: &ProbeAnswer) -> Option<String> {
    let token = answer.json()?["access_token"].as_str()?.to_owned();
    (answer.status == 200).then_some(token)
}

fn read_trial(answer: &ProbeAnswer, dialect: Dialect) -> Trial {
    if let Some(token) = access_token(answer) {
        return Trial::Given(token);
    }
    let body = answer.json().unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let code = text("error").trim().to_ascii_lowercase();
    let description = text("error_description");
    let broken = |why: &str| Trial::Broken(format!("{why} ({})", loggable(&code)));
    match dialect.error_meaning(answer.status, &code, description) {
        Some(ErrorMeaning::InvalidGrant | ErrorMeaning::AccessDenied) => Trial::SubjectRefused,
        Some(ErrorMeaning::ExchangeNotEnabled) => broken("the client may not exchange tokens there"),
        Some(ErrorMeaning::GrantTypeNotAllowed) => broken("the client may not use this grant there"),
        Some(ErrorMeaning::SubjectNotAccepted) => {
            broken("the remote issuer does not take this kind of subject token from this client")
        }
        Some(ErrorMeaning::UnknownAudience) => {
            broken("the audience does not exist there, or is not available to the client")
        }
        Some(ErrorMeaning::UnknownConnector) => broken("the remote issuer has no such connector"),
        Some(ErrorMeaning::InvalidClient) => broken("the client is refused there"),
        _ => Trial::Inconclusive(format!(
            "the answer to a trial exchange says nothing (status {}, error {:?})",
            answer.status,
            loggable(&code)
        )),
    }
}

fn with_audiences(name: String, token: &str, required: &[String]) -> Check {
    let Ok(claims) = Claims::read(token.as_bytes()) else {
        return Check::ok(name, "the client may exchange, and the answer is opaque");
    };
    match required
        .iter()
        .find(|audience| !claims.audiences.contains(audience))
    {
        Some(missing) => Check::fail(
            name,
            format!("the exchanged token lacks the required audience {missing:?}"),
            "name it in audience, and make it available to the client there (Keycloak: an audience mapper in one of its scopes)",
        ),
        None => Check::ok(
            name,
            "the client may exchange, and the exchanged token has the required audiences",
        ),
    }
}
