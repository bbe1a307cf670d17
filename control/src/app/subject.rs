//! Proves the subject of a token request: the presented token is an ID token that its issuer signed for a configured
//! client, that expired within `stale_subject_grace`, and that belongs to the user of the named session.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use super::{Server, Service};
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::grant::login::has_ended;
use crate::upstream::grant::record::GrantKey;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::keys::KeyAge;
use crate::upstream::issuer::proven_tokens::{ParsedIdToken, TokenDigest};
use crate::upstream::issuer::token_type::{IdTokenProfile, NotIdToken};
use crate::upstream::renewal::is_near_expiry;

/// The verified subject of a token request.
pub(super) struct ProvenSubject {
    pub(super) grant: GrantKey,
    /// The issuer and client of the grant.
    pub(super) home: Arc<HomeIssuer>,
    /// The sign-out count of the session and `iat` of the token: a later sign-out invalidates both.
    pub(super) since: Entitlement,
    /// Digest of the presented token.
    pub(super) digest: TokenDigest,
    parsed: Arc<ParsedIdToken>,
}

/// A grant that a token may belong to, and its issuer.
type Candidate = (GrantKey, Arc<HomeIssuer>);

impl From<NotIdToken> for Refused {
    fn from(not_id_token: NotIdToken) -> Self {
        Self::new(Refusal::WrongTokenType).because(not_id_token.to_string())
    }
}

impl Service {
    /// Verifies the token of `request` and finds its grant, through the session if the request names one.
    pub(super) async fn prove(
        &self,
        server: &Server,
        request: &TokenRequest,
    ) -> Result<ProvenSubject, Refused> {
        let token = request.subject_token.expose_secret();
        let digest = TokenDigest::of(token);
        let cached = self.context.proven_tokens.parsed(&digest);
        let (parsed, candidates) = self.read_token(token, cached.as_ref())?;
        let ParsedIdToken { claims, profile } = parsed.as_ref();
        let now_ms = self.context.clock.now_ms();
        profile.has_begun(now_ms)?;
        let grace_ms = whole_ms(self.config.stale_subject_grace);
        if claims.exp_seconds.saturating_mul(1000).saturating_add(grace_ms) < now_ms {
            return Err(Refused::new(Refusal::SubjectRejected).because("it expired too long ago"));
        }
        let Some((_, home)) = candidates.first() else {
            return Err(Refusal::WrongAudience.into());
        };
        home.keys
            .prove(token, digest, claims, KeyAge::PresentOrPast)
            .await?;
        if cached.is_none() {
            self.context.proven_tokens.store_parsed(&digest, &parsed);
        }
        if let Some(session_id) = &profile.session_id {
            self.check_issuer_session(&claims.issuer, session_id, profile.issued_at_seconds)
                .await?;
        }
        let since = Entitlement {
            sign_outs: None,
            issued_at_seconds: Some(profile.issued_at_seconds.unwrap_or(0)),
        };
        let found = match &request.session {
            Some(session) => self.grant_of_session(session, &candidates, since).await?,
            None => self.grant_of_token(&candidates, since).await?,
        };
        match found {
            Some(((grant, home), since)) => Ok(ProvenSubject {
                grant,
                home,
                since,
                digest,
                parsed,
            }),
            None => Err(self
                .unknown_subject(&candidates, &parsed, server, request.reason)
                .await),
        }
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
        let claims = Claims::read(token.as_bytes())
            .map_err(|why| Refused::unreadable("the bearer token", token, why))?;
        // Issuer and audience before the kind of token: for a foreign token they are the more useful refusal.
        self.candidates(&claims, &IdTokenProfile::default())?;
        let profile = IdTokenProfile::read(token)?;
        let candidates = self.candidates(&claims, &profile)?;
        Ok((Arc::new(ParsedIdToken { claims, profile }), candidates))
    }

    /// The grants that a token may belong to: one for each configured client in its audience that accepts the client
    /// which the token was issued to (its own, or one of `trusted_peers`).
    fn candidates(&self, claims: &Claims, profile: &IdTokenProfile) -> Result<Vec<Candidate>, Refused> {
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

    /// The grant of `session`; `None` if the session is unknown.
    async fn grant_of_session(
        &self,
        session: &SecretString,
        candidates: &[Candidate],
        token: Entitlement,
    ) -> Result<Option<(Candidate, Entitlement)>, Refused> {
        let Some((grant, since)) = self.sessions.grant(&SessionKey::of_id(session)).await? else {
            return Ok(None);
        };
        let since = Entitlement {
            sign_outs: since.sign_outs,
            ..token
        };
        candidates
            .iter()
            .find(|(candidate, _)| *candidate == grant)
            .map(|candidate| Some((candidate.clone(), since)))
            .ok_or_else(|| {
                Refused::new(Refusal::SubjectRejected).because("it is of another user than the session")
            })
    }

    /// The first candidate with a known grant.
    async fn grant_of_token(
        &self,
        candidates: &[Candidate],
        since: Entitlement,
    ) -> Result<Option<(Candidate, Entitlement)>, Refused> {
        // A single candidate needs no look-up: its grant is read next in any case.
        if let [only] = candidates {
            return Ok(Some((only.clone(), since)));
        }
        for candidate in candidates {
            if self.grants.is_known(&candidate.0, since).await? {
                return Ok(Some((candidate.clone(), since)));
            }
        }
        Ok(None)
    }

    /// The refusal for a proven subject whose grant is unknown.
    pub(super) async fn unknown_grant(
        &self,
        subject: &ProvenSubject,
        server: &Server,
        reason: Reason,
    ) -> Refused {
        let candidate = (subject.grant.clone(), Arc::clone(&subject.home));
        self.unknown_subject(&[candidate], &subject.parsed, server, reason)
            .await
    }

    /// The refusal for a proven token without a grant: the user's login has ended, or none was registered. A new login
    /// fixes the first; the second needs a fresh token, or an aggregator that registers its logins.
    async fn unknown_subject(
        &self,
        candidates: &[Candidate],
        parsed: &ParsedIdToken,
        server: &Server,
        reason: Reason,
    ) -> Refused {
        for (grant, _) in candidates {
            match self.grants.record(grant).await {
                Ok(Some(record)) if has_ended(&record, parsed.profile.issued_at_seconds) => {
                    return Refusal::UnknownSession.into();
                }
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
        let (now_ms, margin) = (self.context.clock.now_ms(), self.policy.margin);
        let claims = &parsed.claims;
        let is_stale = if server.remote.is_none() && reason == Reason::Stale {
            // The caller judged it stale by its own margin, which may be larger.
            let issued_at_seconds = parsed.profile.issued_at_seconds;
            is_near_expiry(claims.exp_seconds, issued_at_seconds, margin, now_ms, u32::MAX)
        } else {
            !is_fresh(claims.exp_seconds, margin, now_ms)
        };
        if !is_stale {
            return Refusal::NotRegistered.into();
        }
        // While the issuer does not answer, a caller cannot obtain a fresh token either.
        let mut homes = candidates.iter().map(|(_, home)| home);
        match homes.clone().find_map(|home| home.circuit_open()) {
            Some(throttled) => throttled.refused(Refusal::IssuerUnavailable),
            None if homes.any(|home| home.keys.are_unavailable()) => Refused::new(Refusal::IssuerUnavailable)
                .because("the issuer did not answer when its keys were last fetched"),
            None => Refusal::TokenExpired.into(),
        }
    }
}
