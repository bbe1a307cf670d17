//! An access token of our own authorization server: it stands for the session of a login here, and opens nothing else.
//!
//! The filter judged `iss`, `aud` and `exp` without a key. Here the signature is verified, and the session decides about the
//! rest: a token of a session that has ended, or whose user has signed out, opens nothing, however long its own life is.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::TokenRequest;

use super::{Proof, ProvenSubject, claims_of};
use crate::app::authorization::AuthorizationServer;
use crate::app::{Server, Service};
use crate::authorization::access_token::{AccessTokenClaims, NotOurs};
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::upstream::exchange::{PresentedToken, TokenOrigin};
use crate::upstream::grant::record::GrantKey;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::proven_tokens::TokenDigest;

impl Service {
    /// Verifies the access token of `request` and finds the grant of its session.
    pub(super) async fn prove_own(
        &self,
        server: &Server,
        request: &TokenRequest,
        digest: TokenDigest,
    ) -> Result<ProvenSubject, Refused> {
        let Some(own) = &self.authorization else {
            return Err(wrong_type("no authorization server is configured here"));
        };
        let claims = self.verified(own, &request.subject_token)?;
        let resource = server.config.resource.as_ref();
        if resource.is_none_or(|resource| resource.identifier != claims.audience) {
            return Err(Refused::new(Refusal::WrongAudience).because("it is for another resource"));
        }
        let names_another =
            |session: &SecretString| session.expose_secret() != claims.session.expose_secret();
        if request.session.as_ref().is_some_and(names_another) {
            return Err(Refused::new(Refusal::SubjectRejected).because("it is of another session"));
        }
        let session = SessionKey::of_id(&claims.session);
        let Some((grant, since)) = self.sessions.grant(&session).await? else {
            return Err(Refusal::UnknownSession.into());
        };
        let home = match self.home_of(&grant, &claims.subject) {
            Some(home) => home,
            None => self.home_of_login(&grant, &claims.subject).await?,
        };
        let proof = Proof {
            candidates: Vec::new(),
            given: None,
            since,
            presented: PresentedToken {
                token: request.subject_token.clone(),
                digest,
                exp_seconds: claims.expires_at_seconds,
                origin: TokenOrigin::Own,
            },
            issued_at_seconds: Some(claims.issued_at_seconds),
            sid: None,
        };
        Ok(proof.of((grant, Arc::clone(home)), since))
    }

    /// Refuses an access token of ours in the place of an ID token: what it stands for is decided by its kind.
    pub(super) fn check_not_own(&self, token: &SecretString, digest: TokenDigest) -> Result<(), Refused> {
        let Some(own) = &self.authorization else {
            return Ok(());
        };
        // A token that is cached in parsed form was proven as an ID token before.
        if self.context.proven_tokens.parsed(&digest).is_some() {
            return Ok(());
        }
        // What cannot be read is refused where it is read.
        match claims_of(token.expose_secret()) {
            Ok(claims) if claims.issuer == own.config.issuer => Err(wrong_type(
                "it is an access token of this service's own authorization server",
            )),
            _ => Ok(()),
        }
    }

    fn verified(
        &self,
        own: &AuthorizationServer,
        token: &SecretString,
    ) -> Result<AccessTokenClaims, Refused> {
        let token = token.expose_secret();
        if claims_of(token)?.issuer != own.config.issuer {
            return Err(wrong_type(
                "it is no access token of this service's own authorization server",
            ));
        }
        let now_ms = self.context.clock.now_ms();
        own.keys.verify(token, now_ms).map_err(|why| match why {
            NotOurs::Expired => Refusal::TokenExpired.into(),
            other => Refused::new(Refusal::SubjectRejected).because(other.to_string()),
        })
    }

    /// The configured issuer and client of `login`, a grant of one login of the user `subject`.
    async fn home_of_login(&self, login: &GrantKey, subject: &str) -> Result<&Arc<HomeIssuer>, Refused> {
        let user = self.grants.user_of_login(login).await?;
        let user = user.ok_or(Refusal::UnknownSession)?;
        self.home_of(&user, subject).ok_or_else(|| {
            Refused::new(Refusal::SubjectRejected).because("it is of another user than its session")
        })
    }

    /// The configured issuer and client of `grant`, if it is the own grant of the user `subject`.
    fn home_of(&self, grant: &GrantKey, subject: &str) -> Option<&Arc<HomeIssuer>> {
        self.homes
            .iter()
            .find(|home| GrantKey::new(&home.config.issuer, &home.config.client_id, subject) == *grant)
    }
}

fn wrong_type(cause: &str) -> Refused {
    Refused::new(Refusal::WrongTokenType).because(cause)
}
