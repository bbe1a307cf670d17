//! Proves the subject of a token request: the presented token is an ID token that its issuer signed for a configured
//! client, or one that control itself gave in an exchange; it expired within `stale_subject_grace`, and it belongs to the
//! user of the named session. Or it is an access token of our own, which has not expired and names its session.

mod given;
mod home;
mod own;
mod unknown;

use std::sync::Arc;

use secrecy::SecretString;
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{SubjectTokenType, TokenRequest};

use super::{Server, Service};
use crate::config::RefreshTokens;
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::store::StoreError;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::PresentedToken;
use crate::upstream::grant::record::GrantKey;
use crate::upstream::grant::{LoginQuery, UserLogin};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::proven_tokens::TokenDigest;

/// The verified subject of a token request.
pub(super) struct ProvenSubject {
    pub(super) grant: GrantKey,
    /// The issuer and client of the grant.
    pub(super) home: Arc<HomeIssuer>,
    /// The sign-out count of the session and `iat` of the token: a later sign-out invalidates both.
    pub(super) since: Entitlement,
    /// The presented token.
    pub(super) presented: PresentedToken,
    /// Its `iat`, Unix seconds.
    issued_at_seconds: Option<u64>,
    /// Digest of the issuer's session of a home token: [`crate::session::sid_digest`].
    pub(super) sid: Option<String>,
}

/// A grant that a token may belong to, and its issuer.
pub(super) type Candidate = (GrantKey, Arc<HomeIssuer>);

/// A presented token that proves a user, and the users' own grants that it may belong to: at least one.
struct Proof {
    candidates: Vec<Candidate>,
    /// The grant of the login for which control gave the token.
    given: Option<GrantKey>,
    since: Entitlement,
    presented: PresentedToken,
    issued_at_seconds: Option<u64>,
    sid: Option<String>,
}

impl Proof {
    /// The subject, once it is known which grant is meant.
    fn of(self, (grant, home): Candidate, since: Entitlement) -> ProvenSubject {
        ProvenSubject {
            grant,
            home,
            since,
            presented: self.presented,
            issued_at_seconds: self.issued_at_seconds,
            sid: self.sid,
        }
    }
}

impl Service {
    /// Verifies the token of `request`, which has this `digest`, and finds its grant, through the session if the request names one. The user need
    /// not have a login: only a grant that is known, or the first that the token may belong to, is returned.
    pub(super) async fn prove(
        &self,
        server: &Server,
        request: &TokenRequest,
        digest: TokenDigest,
    ) -> Result<ProvenSubject, Refused> {
        if request.subject_token_type == SubjectTokenType::AccessToken {
            return self.prove_own(server, request, digest).await;
        }
        self.check_not_own(&request.subject_token, digest)?;
        let proof = match self.given_by(server, &request.subject_token, digest)? {
            Some((claims, remote)) => self.prove_given(server, remote, request, claims, digest).await?,
            None => self.prove_home(&request.subject_token, digest).await?,
        };
        self.resolve(server, request, proof).await
    }

    /// The same for a home token alone: what a client presents for an exchange.
    pub(super) async fn prove_for_exchange(
        &self,
        server: &Server,
        request: &TokenRequest,
        digest: TokenDigest,
    ) -> Result<ProvenSubject, Refused> {
        self.check_not_own(&request.subject_token, digest)?;
        let proof = self.prove_home(&request.subject_token, digest).await?;
        self.resolve(server, request, proof).await
    }

    pub(super) fn check_grace(&self, exp_seconds: u64) -> Result<(), Refused> {
        let grace_ms = whole_ms(self.config.stale_subject_grace);
        let now_ms = self.context.clock.now_ms();
        if exp_seconds.saturating_mul(1000).saturating_add(grace_ms) < now_ms {
            return Err(Refused::new(Refusal::SubjectRejected).because("it expired too long ago"));
        }
        Ok(())
    }

    /// Finds the grant of `proof`.
    async fn resolve(
        &self,
        server: &Server,
        request: &TokenRequest,
        proof: Proof,
    ) -> Result<ProvenSubject, Refused> {
        let (candidates, since) = (&proof.candidates, proof.since);
        let found = match &request.session {
            Some(session) => self.grant_of_session(session, candidates, since).await?,
            None => self.grant_of_token(&proof).await?,
        };
        if let Some((candidate, since)) = found {
            return Ok(proof.of(candidate, since));
        }
        let candidate = self.unregistered(&proof, server, request.reason).await?;
        Ok(proof.of(candidate, since))
    }

    /// The grant of `session`; `None` if the session, or its grant, is unknown.
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
        // A login with a grant of its own belongs to the user whose own grant is a candidate.
        let user = match candidates.iter().any(|(candidate, _)| *candidate == grant) {
            true => grant.clone(),
            false => match self.grants.user_of_login(&grant).await? {
                Some(user) => user,
                None => return Ok(None),
            },
        };
        match candidates.iter().find(|(candidate, _)| *candidate == user) {
            Some((_, home)) => Ok(Some(((grant, Arc::clone(home)), since))),
            None => {
                Err(Refused::new(Refusal::SubjectRejected).because("it is of another user than the session"))
            }
        }
    }

    /// The first candidate with a known login.
    async fn grant_of_token(&self, proof: &Proof) -> Result<Option<(Candidate, Entitlement)>, Refused> {
        let now_ms = self.context.clock.now_ms();
        let (is_only, mut has_ended) = (proof.candidates.len() == 1, false);
        for (user, home) in &proof.candidates {
            let since = Entitlement {
                only_registered: !proves_learned(home, proof.presented.exp_seconds, now_ms),
                ..proof.since
            };
            if home.config.refresh_tokens == RefreshTokens::PerUser {
                let grant = proof.given.as_ref().unwrap_or(user);
                // A single candidate needs no look-up: its grant is read next in any case.
                if is_only || self.grants.is_known(grant, since).await? {
                    return Ok(Some(((grant.clone(), Arc::clone(home)), since)));
                }
                continue;
            }
            match self.login_of(proof, user, since).await? {
                UserLogin::Of(login) => {
                    let sign_outs = since.sign_outs.filter(|_| proof.given.as_ref() == Some(&login));
                    return Ok(Some((
                        (login, Arc::clone(home)),
                        Entitlement { sign_outs, ..since },
                    )));
                }
                UserLogin::Ended => has_ended = true,
                UserLogin::Unknown => {}
            }
        }
        if has_ended {
            return Err(Refusal::UnknownSession.into());
        }
        Ok(None)
    }

    async fn login_of(
        &self,
        proof: &Proof,
        user: &GrantKey,
        entitlement: Entitlement,
    ) -> Result<UserLogin, StoreError> {
        let query = LoginQuery {
            user,
            given: proof.given.as_ref(),
            sid: proof.sid.as_deref(),
            entitlement,
        };
        self.grants.login_of(query).await
    }
}

/// Whether a token proves a login that control has only learned. Its client's sign-out does not reach control, so it does so
/// for a shorter time; and where there is no relay any more, the client refreshes such a login itself.
pub(super) fn proves_learned(home: &HomeIssuer, exp_seconds: u64, now_ms: u64) -> bool {
    home.config.relay.as_ref().is_some_and(|relay| {
        let grace_ms = whole_ms(relay.stale_subject_grace);
        exp_seconds.saturating_mul(1000).saturating_add(grace_ms) >= now_ms
    })
}

/// Reads the claims of a presented token. Nothing is verified.
fn claims_of(token: &str) -> Result<Claims, Refused> {
    Claims::read(token.as_bytes()).map_err(|why| Refused::unreadable("the bearer token", token, why))
}
