//! A proven user without a login: whether the presented token is enough, and the refusal that is true if it is not.

use std::sync::Arc;

use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::{Candidate, Proof, ProvenSubject};
use crate::app::{Server, Service};
use crate::config::{RefreshTokens, TokenSource};
use crate::refused::Refused;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::TokenOrigin;
use crate::upstream::grant::login::has_ended;
use crate::upstream::grant::{LoginQuery, UserLogin};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::renewal::is_near_expiry;

impl Service {
    /// The grant under which the user of `proof` gets an exchanged token without a login. The token is checked again
    /// before it is used.
    pub(super) async fn unregistered(
        &self,
        proof: &Proof,
        server: &Server,
        reason: Reason,
    ) -> Result<Candidate, Refused> {
        self.check_not_ended(&proof.candidates, proof.since, proof.sid.as_deref())
            .await?;
        let (presented, issued) = (&proof.presented, proof.issued_at_seconds);
        let is_stale = self.is_stale(presented.exp_seconds, issued, server, reason, presented.origin);
        match proof.candidates.first() {
            Some(candidate) if server.remote.is_some() && !is_stale => Ok(candidate.clone()),
            _ => Err(self.no_login(&proof.candidates, is_stale)),
        }
    }

    /// The refusal for a proven subject whose grant has turned out to be unknown.
    pub(in crate::app) async fn unknown_grant(
        &self,
        subject: &ProvenSubject,
        server: &Server,
        reason: Reason,
    ) -> Refused {
        let candidates = [(subject.grant.clone(), Arc::clone(&subject.home))];
        let sid = subject.sid.as_deref();
        if let Err(refused) = self.check_not_ended(&candidates, subject.since, sid).await {
            return refused;
        }
        let (presented, issued) = (&subject.presented, subject.issued_at_seconds);
        let is_stale = self.is_stale(presented.exp_seconds, issued, server, reason, presented.origin);
        self.no_login(&candidates, is_stale)
    }

    /// Refuses a user whose login has ended here, as opposed to one that was never registered: only a new login helps.
    async fn check_not_ended(
        &self,
        candidates: &[Candidate],
        since: Entitlement,
        sid: Option<&str>,
    ) -> Result<(), Refused> {
        for (grant, home) in candidates {
            let known = match home.config.refresh_tokens {
                RefreshTokens::PerUser => UserLogin::Unknown,
                RefreshTokens::PerLogin => {
                    let query = LoginQuery {
                        user: grant,
                        given: None,
                        sid,
                        entitlement: since,
                    };
                    self.grants.login_of(query).await?
                }
            };
            let record = match known {
                UserLogin::Of(login) => self.grants.record(&login).await?,
                UserLogin::Unknown => self.grants.record(grant).await?,
                UserLogin::Ended => return Err(Refusal::UnknownSession.into()),
            };
            if record.is_some_and(|record| has_ended(&record, since.issued_at_seconds)) {
                return Err(Refusal::UnknownSession.into());
            }
        }
        Ok(())
    }

    /// Whether the presented token itself is of no more use to the caller.
    pub(super) fn is_stale(
        &self,
        exp_seconds: u64,
        issued_at_seconds: Option<u64>,
        server: &Server,
        reason: Reason,
        origin: TokenOrigin,
    ) -> bool {
        let (now_ms, margin) = (self.context.clock.now_ms(), self.policy.margin);
        let is_forwarded =
            matches!(server.config.token, TokenSource::Forward) || origin == TokenOrigin::Exchange;
        if is_forwarded && reason == Reason::Stale {
            // The caller judged it stale by its own margin, which may be larger.
            is_near_expiry(exp_seconds, issued_at_seconds, margin, now_ms, u32::MAX)
        } else {
            !is_fresh(exp_seconds, margin, now_ms)
        }
    }

    /// The refusal for a token without a login: a fresh one helps, or an aggregator that registers its logins.
    fn no_login(&self, candidates: &[Candidate], is_stale: bool) -> Refused {
        if !is_stale {
            return Refusal::NotRegistered.into();
        }
        // While the issuer does not answer, a caller cannot obtain a fresh token either.
        let homes = || candidates.iter().map(|(_, home): &Candidate| home);
        let is_unavailable = |home: &Arc<HomeIssuer>| home.keys.are_unavailable();
        match homes().find_map(|home| home.circuit_open()) {
            Some(throttled) => throttled.refused(Refusal::IssuerUnavailable),
            None if homes().any(is_unavailable) => Refused::new(Refusal::IssuerUnavailable)
                .because("the issuer did not answer when its keys were last fetched"),
            None => Refusal::TokenExpired.into(),
        }
    }
}
