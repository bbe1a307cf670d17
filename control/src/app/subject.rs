//! The presented token must prove whose grant is asked for: an ID token signed by its issuer, for one of our clients,
//! expired not longer than the grace, and of the very user whose session is named.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use super::{Server, Service};
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::upstream::grant::decide::{Since, is_fresh, is_near_expiry};
use crate::upstream::grant::login::has_ended;
use crate::upstream::grant::record::GrantKey;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::keys::KeyAge;
use crate::upstream::issuer::proven_tokens::{ParsedIdToken, TokenDigest};
use crate::upstream::issuer::token_type::{IdTokenProfile, NotIdToken};

/// A subject that is proven.
pub(super) struct Proven {
    pub(super) grant: GrantKey,
    pub(super) home: Arc<HomeIssuer>,
    pub(super) since: Since,
    /// Digest of the presented token.
    pub(super) digest: TokenDigest,
    parsed: Arc<ParsedIdToken>,
}

/// A grant that a token can belong to, and its issuer.
type Candidate = (GrantKey, Arc<HomeIssuer>);

impl From<NotIdToken> for Refused {
    fn from(not_id_token: NotIdToken) -> Self {
        Self::new(Refusal::WrongTokenType).because(not_id_token.to_string())
    }
}

impl Service {
    /// Proves the token of `request` and finds the grant it belongs to, through its session where it names one.
    pub(super) async fn prove(&self, server: &Server, request: &TokenRequest) -> Result<Proven, Refused> {
        let token = request.subject_token.expose_secret();
        let digest = TokenDigest::of(token);
        let known = self.context.proven_tokens.parsed(&digest);
        let (parsed, candidates) = self.read_token(token, known.as_ref())?;
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
        if known.is_none() {
            self.context.proven_tokens.store_parsed(&digest, &parsed);
        }
        if let Some(session_id) = &profile.session_id {
            self.still_logged_in(&claims.issuer, session_id, profile.issued_at_seconds)
                .await?;
        }
        let since = Since {
            sign_outs: None,
            issued_at_seconds: Some(profile.issued_at_seconds.unwrap_or(0)),
        };
        let found = match &request.session {
            Some(session) => self.of_session(session, &candidates, since).await?,
            None => self.of_token(&candidates, since).await?,
        };
        match found {
            Some(((grant, home), since)) => Ok(Proven {
                grant,
                home,
                since,
                digest,
                parsed,
            }),
            None => Err(self.unknown(&candidates, &parsed, server, request.reason).await),
        }
    }

    /// What `token` says, and every grant that it can belong to.
    fn read_token(
        &self,
        token: &str,
        known: Option<&Arc<ParsedIdToken>>,
    ) -> Result<(Arc<ParsedIdToken>, Vec<Candidate>), Refused> {
        if let Some(parsed) = known {
            let candidates = self.candidates(&parsed.claims, &parsed.profile)?;
            return Ok((Arc::clone(parsed), candidates));
        }
        let claims = Claims::read(token.as_bytes())
            .map_err(|why| Refused::unreadable("the bearer token", token, why))?;
        // A wrong issuer or audience says more than the kind of a token that is none of ours.
        self.candidates(&claims, &IdTokenProfile::default())?;
        let profile = IdTokenProfile::read(token)?;
        let candidates = self.candidates(&claims, &profile)?;
        Ok((Arc::new(ParsedIdToken { claims, profile }), candidates))
    }

    /// Every grant that a token can belong to: one per configured client in its audience that the client that it was
    /// issued to is trusted with.
    fn candidates(&self, claims: &Claims, profile: &IdTokenProfile) -> Result<Vec<Candidate>, Refused> {
        let mut of_issuer = self
            .homes
            .iter()
            .filter(|home| home.config.issuer == claims.issuer)
            .peekable();
        if of_issuer.peek().is_none() {
            return Err(Refused::new(Refusal::WrongIssuer).because("no such issuer is configured"));
        }
        let mut for_us = of_issuer
            .filter(|home| claims.audiences.contains(&home.config.client_id))
            .peekable();
        if for_us.peek().is_none() {
            return Err(Refused::new(Refusal::WrongAudience).because("no configured client is in its aud"));
        }
        let (mut candidates, mut issued_to_another) = (Vec::new(), None);
        for home in for_us {
            match profile.is_issued_to(|party| home.config.trusts(party)) {
                Ok(()) => {
                    let grant = GrantKey::new(&claims.issuer, &home.config.client_id, &claims.subject);
                    candidates.push((grant, Arc::clone(home)));
                }
                Err(another) => issued_to_another = Some(another),
            }
        }
        match issued_to_another {
            Some(another) if candidates.is_empty() => Err(another.into()),
            _ => Ok(candidates),
        }
    }

    /// The grant of `session`; `None` where no such session is known.
    async fn of_session(
        &self,
        session: &SecretString,
        candidates: &[Candidate],
        token: Since,
    ) -> Result<Option<(Candidate, Since)>, Refused> {
        let Some((grant, since)) = self.sessions.grant(&SessionKey::of_id(session)).await? else {
            return Ok(None);
        };
        let since = Since {
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

    async fn of_token(
        &self,
        candidates: &[Candidate],
        since: Since,
    ) -> Result<Option<(Candidate, Since)>, Refused> {
        // With one candidate the grant itself is read next anyway.
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

    /// The same for a subject whose grant turned out to be unknown when it was looked at.
    pub(super) async fn unknown_grant(&self, proven: &Proven, server: &Server, reason: Reason) -> Refused {
        let candidate = (proven.grant.clone(), Arc::clone(&proven.home));
        self.unknown(&[candidate], &proven.parsed, server, reason).await
    }

    /// Why a proven token opens nothing: the user's login has ended, or none was ever registered. To log in again helps
    /// the first; the second needs a fresh token, or an aggregator that registers its logins.
    async fn unknown(
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
            // The caller's own margin may be larger.
            let issued_at_seconds = parsed.profile.issued_at_seconds;
            is_near_expiry(claims.exp_seconds, issued_at_seconds, margin, now_ms, u32::MAX)
        } else {
            !is_fresh(claims.exp_seconds, margin, now_ms)
        };
        if !is_stale {
            return Refusal::NotRegistered.into();
        }
        // A caller cannot bring a fresh token either while the issuer does not answer.
        let mut homes = candidates.iter().map(|(_, home)| home);
        match homes.clone().find_map(|home| home.left_alone()) {
            Some(held_back) => held_back.refused(Refusal::IssuerUnavailable),
            None if homes.any(|home| home.keys.cannot_be_had()) => Refused::new(Refusal::IssuerUnavailable)
                .because("the issuer did not answer when its keys were last looked for"),
            None => Refusal::TokenExpired.into(),
        }
    }
}
