//! Makes sure of an exchanged token before it is stored: a JWT by its signature and claims, an opaque token by introspection,
//! or, where the configuration says so, by nothing but the answer that brought it.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::{Claims, MAX_TOKEN_BYTES};
use tokenward_protocol::refusal::Refusal;

use super::ExchangeRequest;
use crate::config::Verification;
use crate::context::Context;
use crate::refused::Refused;
use crate::upstream::dialect::Dialect;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::exchange::ExchangedAnswer;
use crate::upstream::issuer::token_introspection::{ActiveToken, TokenIntrospection};
use crate::upstream::issuer::token_type::{AccessTokenProfile, IdTokenProfile, NotIdToken};
use crate::upstream::issuer::unverified::Unverified;
use crate::upstream::streak::StreakKind;
use crate::upstream::token_kind::TokenKind;

/// A token that was made sure of.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) token: SecretString,
    pub(super) kind: TokenKind,
    /// `exp`, or the end of the life that the remote issuer states; Unix seconds.
    pub(super) exp_seconds: u64,
    /// `iat`, or when the exchange began; Unix seconds.
    pub(super) issued_at_seconds: Option<u64>,
    /// Whose it is at the remote issuer; empty if introspection does not say. `None`: nothing is known of it.
    pub(super) subject: Option<String>,
}

/// The examination of one answer.
pub(super) struct Examination<'a> {
    pub(super) context: &'a Context,
    pub(super) request: &'a ExchangeRequest,
    /// When the exchange began, Unix ms: an opaque token's life counts from then.
    pub(super) started_ms: u64,
}

impl Examination<'_> {
    /// Examines the token of `answer`.
    ///
    /// # Errors
    /// [`Refused`] if the remote issuer could not be asked about it; inside, the [`Failure`] of the token.
    pub(super) async fn of(&self, answer: ExchangedAnswer) -> Result<Result<Examined, Failure>, Refused> {
        let verification = match answer.kind {
            TokenKind::IdToken => Verification::Signature,
            TokenKind::AccessToken => self.request.remote.config.verification,
        };
        match verification {
            Verification::Signature => Ok(self.verified(answer).await),
            Verification::Introspection => self.introspected(answer).await,
            Verification::ExpiresIn => Ok(self.believed(answer)),
        }
    }

    async fn verified(&self, answer: ExchangedAnswer) -> Result<Examined, Failure> {
        let config = &self.request.remote.config;
        let text = answer.token.expose_secret();
        let claims = Claims::read(text.as_bytes()).map_err(|why| {
            let failure = Failure::from(Unverified::Malformed(why).of_answer("the exchanged token"));
            let hint = match answer.kind {
                TokenKind::IdToken => "",
                TokenKind::AccessToken => {
                    "; where the remote issuer's access tokens are opaque, or lack sub or aud, set verify: introspection"
                }
            };
            let cause = format!("{} ({} bytes){hint}", failure.cause, text.len());
            Failure { cause, ..failure }
        })?;
        if claims.issuer != config.expected_issuer {
            return Err(other_issuer(&claims.issuer, &config.expected_issuer));
        }
        self.check_audiences(&claims.audiences)?;
        self.check_token_type(text, answer.kind)?;
        let claims = self
            .request
            .remote
            .keys
            .verify_answer(text)
            .await
            .map_err(|unverified| {
                let mut failure = Failure::from(unverified.of_answer("the exchanged token"));
                if failure.kind == StreakKind::Substituted {
                    failure.cause.push_str(": check expectedIssuer and jwksUri");
                }
                failure
            })?;
        Ok(Examined {
            token: answer.token,
            kind: answer.kind,
            exp_seconds: claims.exp_seconds,
            issued_at_seconds: claims.issued_at_seconds,
            subject: Some(claims.subject),
        })
    }

    fn check_audiences(&self, audiences: &[String]) -> Result<(), Failure> {
        let config = &self.request.remote.config;
        let mut required = self.request.required_audiences.iter();
        let Some(missing) = required.find(|audience| !audiences.contains(audience)) else {
            return Ok(());
        };
        let hint = match config.dialect {
            Dialect::Dex => format!(
                "let that client trust {:?} at the remote issuer (trustedPeers)",
                config.client_id
            ),
            _ => "request it by audience or scopes, and let the remote issuer have it for this client"
                .to_owned(),
        };
        Err(Failure::misconfigured(format!(
            "the exchanged token lacks the required audience {missing:?}: {hint}"
        )))
    }

    /// Whether a token that was issued to `party` is for this exchange: for its client, or for one of the server's own
    /// audiences.
    fn is_ours(&self, party: &str) -> bool {
        let mut audiences = self.request.required_audiences.iter();
        party == self.request.remote.config.client_id || audiences.any(|audience| audience == party)
    }

    /// The result must be what was requested, for the exchanging client.
    fn check_token_type(&self, token: &str, kind: TokenKind) -> Result<(), Failure> {
        let now_ms = self.context.clock.now_ms();
        let is_ours = |party: &str| self.is_ours(party);
        let (judged, wanted) = match kind {
            TokenKind::IdToken => {
                let judged = IdTokenProfile::read(token).and_then(|profile| {
                    profile.is_issued_to(is_ours)?;
                    profile.has_begun(now_ms)
                });
                (judged, "the requested ID token")
            }
            TokenKind::AccessToken => {
                let judged = AccessTokenProfile::read(token).and_then(|profile| {
                    profile.is_issued_to(is_ours)?;
                    profile.has_begun(now_ms)
                });
                (judged, "an access token that a server can take")
            }
        };
        judged.map_err(|unfit| {
            Failure::misconfigured(match unfit {
                NotIdToken::OtherClient(party) => self.other_client(&party),
                other => format!("the exchanged token is not {wanted}: {other}"),
            })
        })
    }

    fn other_client(&self, party: &str) -> String {
        let client_id = &self.request.remote.config.client_id;
        format!("the exchanged token was issued to the client {party:?} (azp), not to {client_id:?}")
    }

    async fn introspected(&self, answer: ExchangedAnswer) -> Result<Result<Examined, Failure>, Refused> {
        let ExchangeRequest { remote, grant, .. } = self.request;
        if let Err(failure) = check_form(&answer.token) {
            return Ok(Err(failure));
        }
        let introspected = remote
            .introspect(self.context, grant.digest(), &answer.token)
            .await
            .map_err(|throttled| throttled.refused(Refusal::ExchangeUnavailable))?;
        Ok(match introspected {
            TokenIntrospection::Active(active) => self.active(answer, active),
            TokenIntrospection::NotActive => Err(Failure::misconfigured(
                "introspection says that the exchanged token is not active: let the exchanging client introspect it at \
                 the remote issuer, or set verify: expires_in",
            )),
            TokenIntrospection::Withheld(cause) => {
                Err(Failure::misconfigured(format!("{cause}; set verify: expires_in")))
            }
            TokenIntrospection::Transient(passing) => Err(passing.into()),
        })
    }

    /// Whether the response about an active token fits; what it does not say is not checked.
    fn active(&self, answer: ExchangedAnswer, active: ActiveToken) -> Result<Examined, Failure> {
        let config = &self.request.remote.config;
        if let Some(issuer) = active.issuer.filter(|issuer| *issuer != config.expected_issuer) {
            return Err(other_issuer(&issuer, &config.expected_issuer));
        }
        if let Some(audiences) = &active.audiences {
            self.check_audiences(audiences)?;
        }
        if let Some(client) = active.client_id.filter(|client| !self.is_ours(client)) {
            return Err(Failure::misconfigured(self.other_client(&shown(&client))));
        }
        if active.is_bound_to_key {
            return Err(Failure::misconfigured(format!(
                "the exchanged token is not an access token that a server can take: {}",
                NotIdToken::SenderConstrained
            )));
        }
        let now_seconds = self.started_ms / 1000;
        let stated = answer.expires_in_seconds;
        let exp_seconds = active
            .exp_seconds
            .or_else(|| stated.map(|life| now_seconds.saturating_add(life)));
        let exp_seconds = exp_seconds.ok_or_else(|| {
            Failure::misconfigured(
                "neither introspection nor the answer states when the exchanged token expires: an issuer must state one of \
                 exp and expires_in",
            )
        })?;
        Ok(Examined {
            token: answer.token,
            kind: answer.kind,
            exp_seconds,
            issued_at_seconds: Some(now_seconds),
            subject: Some(active.subject.unwrap_or_default()),
        })
    }

    fn believed(&self, answer: ExchangedAnswer) -> Result<Examined, Failure> {
        check_form(&answer.token)?;
        let life_seconds = answer.expires_in_seconds.ok_or_else(|| {
            Failure::misconfigured(
                "the answer does not state when the exchanged token expires (expires_in): set verify: introspection",
            )
        })?;
        let now_seconds = self.started_ms / 1000;
        Ok(Examined {
            token: answer.token,
            kind: answer.kind,
            exp_seconds: now_seconds.saturating_add(life_seconds),
            issued_at_seconds: Some(now_seconds),
            subject: None,
        })
    }
}

fn other_issuer(issuer: &str, expected: &str) -> Failure {
    Failure::misconfigured(format!(
        "the remote issuer calls itself {:?}, expected is {expected:?}: set expectedIssuer",
        issuer.chars().take(200).collect::<String>()
    ))
}

/// Whether an opaque token can be sent as a bearer (RFC 6750 §2.1).
fn check_form(token: &SecretString) -> Result<(), Failure> {
    let token = token.expose_secret();
    let letters = token.trim_end_matches('=');
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Failure::new(
            StreakKind::Unusable,
            format!("the exchanged token is longer than {MAX_TOKEN_BYTES} bytes, which no header can carry"),
        ));
    }
    if letters.is_empty() || !letters.bytes().all(is_letter) {
        let cause = "the exchanged token has letters that no bearer token has (RFC 6750 §2.1)";
        return Err(Failure::new(StreakKind::Unusable, cause));
    }
    Ok(())
}

/// A claim's value as a cause repeats it.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
