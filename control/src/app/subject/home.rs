//! A home token: an ID token that the issuer of the user's login signed for a configured client.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use super::{Candidate, Proof, claims_of};
use crate::app::Service;
use crate::refused::Refused;
use crate::session::sid_digest;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::{PresentedToken, TokenOrigin};
use crate::upstream::grant::record::GrantKey;
use crate::upstream::issuer::keys::KeyAge;
use crate::upstream::issuer::proven_tokens::{ParsedIdToken, TokenDigest};
use crate::upstream::issuer::token_type::{IdTokenProfile, NotIdToken};

impl From<NotIdToken> for Refused {
    fn from(not_id_token: NotIdToken) -> Self {
        Self::new(Refusal::WrongTokenType).because(not_id_token.to_string())
    }
}

impl Service {
    /// Verifies `token` as an ID token of a configured issuer and client.
    pub(super) async fn prove_home(
        &self,
        presented: &SecretString,
        digest: TokenDigest,
    ) -> Result<Proof, Refused> {
        let token = presented.expose_secret();
        let cached = self.context.proven_tokens.parsed(&digest);
        let (parsed, candidates) = self.read_token(token, cached.as_ref())?;
        let ParsedIdToken { claims, profile } = parsed.as_ref();
        profile.has_begun(self.context.clock.now_ms())?;
        self.check_grace(claims.exp_seconds)?;
        let Some((_, home)) = candidates.first() else {
            return Err(Refusal::WrongAudience.into());
        };
        home.keys
            .prove(token, digest, claims, KeyAge::PresentOrPast)
            .await?;
        if cached.is_none() {
            self.context.proven_tokens.store_parsed(&digest, &parsed);
        }
        let sid = (profile.session_id.as_ref()).map(|session_id| sid_digest(&claims.issuer, session_id));
        if let Some(sid) = &sid {
            self.check_issuer_session(sid, profile.issued_at_seconds).await?;
        }
        Ok(Proof {
            candidates,
            given: None,
            since: Entitlement {
                sign_outs: None,
                issued_at_seconds: Some(profile.issued_at_seconds.unwrap_or(0)),
                only_registered: false,
            },
            presented: PresentedToken {
                token: presented.clone(),
                digest,
                exp_seconds: claims.exp_seconds,
                origin: TokenOrigin::Home,
            },
            issued_at_seconds: profile.issued_at_seconds,
            sid,
        })
    }

    /// Parses `token`, unless it is `cached`, and lists the grants that it may belong to.
    fn read_token(
        &self,
        token: &str,
        cached: Option<&Arc<ParsedIdToken>>,
    ) -> Result<(Arc<ParsedIdToken>, Vec<Candidate>), Refused> {
        if let Some(parsed) = cached {
            let candidates = self.candidates(&parsed.claims, &parsed.profile)?;
            return Ok((Arc::clone(parsed), candidates));
        }
        let claims = claims_of(token)?;
        // Issuer and audience before the kind of token: for a foreign token they are the more useful refusal.
        self.candidates(&claims, &IdTokenProfile::default())?;
        let profile = IdTokenProfile::read(token)?;
        let candidates = self.candidates(&claims, &profile)?;
        Ok((Arc::new(ParsedIdToken { claims, profile }), candidates))
    }

    /// The users' own grants that a token may belong to: one for each configured client in its audience that accepts the client
    /// which the token was issued to (its own, or one of `trusted_peers`).
    pub(in crate::app) fn candidates(
        &self,
        claims: &Claims,
        profile: &IdTokenProfile,
    ) -> Result<Vec<Candidate>, Refused> {
        let mut of_issuer = self
            .homes
            .iter()
            .filter(|home| home.config.issuer == claims.issuer)
            .peekable();
        if of_issuer.peek().is_none() {
            return Err(Refused::new(Refusal::WrongIssuer).because("no such issuer is configured"));
        }
        let mut in_audience = of_issuer
            .filter(|home| claims.audiences.contains(&home.config.client_id))
            .peekable();
        if in_audience.peek().is_none() {
            return Err(Refused::new(Refusal::WrongAudience).because("no configured client is in its aud"));
        }
        let (mut candidates, mut other_client) = (Vec::new(), None);
        for home in in_audience {
            match profile.is_issued_to(|party| home.config.trusts(party)) {
                Ok(()) => {
                    let grant = GrantKey::new(&claims.issuer, &home.config.client_id, &claims.subject);
                    candidates.push((grant, Arc::clone(home)));
                }
                Err(other) => other_client = Some(other),
            }
        }
        match other_client {
            Some(other) if candidates.is_empty() => Err(other.into()),
            _ => Ok(candidates),
        }
    }

    /// Whether `claims` name an issuer and a client that are configured.
    pub(super) fn is_of_home(&self, claims: &Claims) -> bool {
        self.homes.iter().any(|home| {
            home.config.issuer == claims.issuer && claims.audiences.contains(&home.config.client_id)
        })
    }
}
