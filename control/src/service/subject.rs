//! The presented token must prove whose grant is asked for: signed by its issuer, for one of our clients, expired
//! not longer than the grace, and of the very user whose session is named.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use super::{Service, readings};
use crate::grant::decide::Since;
use crate::grant::record::GrantKey;
use crate::issuer::HomeIssuer;
use crate::issuer::keys::KeyAge;
use crate::refused::Refused;
use crate::session::SessionKey;

/// A subject that is proven.
pub(super) struct Proven {
    pub(super) grant: GrantKey,
    pub(super) home: Arc<HomeIssuer>,
    pub(super) since: Since,
}

impl Service {
    /// Proves `token` and finds the grant it belongs to, through `session` where one is named.
    pub(super) async fn prove(
        &self,
        token: &SecretString,
        session: Option<&SecretString>,
    ) -> Result<Proven, Refused> {
        let named = readings::digest(token.expose_secret());
        let known = self.readings.of(&named);
        let claims = match &known {
            Some(claims) => Arc::clone(claims),
            None => Claims::read(token.expose_secret().as_bytes())
                .map(Arc::new)
                .map_err(|why| Refused::unreadable("the bearer token", token, why))?,
        };
        let candidates = self.candidates(&claims)?;
        let now_ms = self.context.clock.now_ms();
        let grace_ms = whole_ms(self.config.stale_subject_grace);
        if claims.exp_seconds.saturating_mul(1000).saturating_add(grace_ms) < now_ms {
            return Err(Refused::new(Refusal::SubjectRejected).because("it expired too long ago"));
        }
        let Some((_, home)) = candidates.first() else {
            return Err(Refusal::WrongAudience.into());
        };
        home.keys
            .prove(token.expose_secret(), &claims, KeyAge::PresentOrPast)
            .await?;
        if known.is_none() {
            self.readings.remember(named, &claims);
        }
        let since = Since {
            sign_outs: None,
            issued_at_seconds: Some(claims.issued_at_seconds.unwrap_or(0)),
        };
        match session {
            Some(session) => self.of_session(session, candidates, since).await,
            None => self.of_token(candidates, since).await,
        }
    }

    /// Every grant that a token with `claims` can belong to: one per configured client in its audience.
    fn candidates(&self, claims: &Claims) -> Result<Vec<(GrantKey, Arc<HomeIssuer>)>, Refused> {
        let mut of_issuer = self
            .homes
            .iter()
            .filter(|home| home.config.issuer == claims.issuer)
            .peekable();
        if of_issuer.peek().is_none() {
            return Err(Refused::new(Refusal::WrongIssuer).because("no such issuer is configured"));
        }
        let candidates: Vec<_> = of_issuer
            .filter(|home| claims.audiences.contains(&home.config.client_id))
            .map(|home| {
                let grant = GrantKey::new(&claims.issuer, &home.config.client_id, &claims.subject);
                (grant, Arc::clone(home))
            })
            .collect();
        if candidates.is_empty() {
            return Err(Refused::new(Refusal::WrongAudience).because("no configured client is in its aud"));
        }
        Ok(candidates)
    }

    async fn of_session(
        &self,
        session: &SecretString,
        candidates: Vec<(GrantKey, Arc<HomeIssuer>)>,
        token: Since,
    ) -> Result<Proven, Refused> {
        let (grant, since) = self
            .sessions
            .grant(&SessionKey::of_id(session))
            .await?
            .ok_or(Refusal::UnknownSession)?;
        candidates
            .into_iter()
            .find(|(candidate, _)| *candidate == grant)
            .map(|(grant, home)| Proven {
                grant,
                home,
                since: Since {
                    sign_outs: since.sign_outs,
                    ..token
                },
            })
            .ok_or_else(|| {
                Refused::new(Refusal::SubjectRejected).because("it is of another user than the session")
            })
    }

    async fn of_token(
        &self,
        candidates: Vec<(GrantKey, Arc<HomeIssuer>)>,
        since: Since,
    ) -> Result<Proven, Refused> {
        // With one candidate the grant itself is read next anyway.
        let mut candidates = candidates;
        if candidates.len() == 1
            && let Some((grant, home)) = candidates.pop()
        {
            return Ok(Proven { grant, home, since });
        }
        for (grant, home) in candidates {
            if self.grants.is_known(&grant, since).await? {
                return Ok(Proven { grant, home, since });
            }
        }
        Err(Refusal::UnknownSession.into())
    }
}
