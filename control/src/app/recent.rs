//! Hands out a stored token without a read of the store: the presented token was proven before, and the records that lead to
//! the stored one were read a moment ago ([`crate::store::recent`], ADR 45). Whatever else a request needs, or would be refused
//! for, is decided by the store's present state.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TokenRequest};

use super::report::ProvenUser;
use super::subject::{Candidate, proves_learned};
use super::token::check_audiences;
use super::{Server, Service};
use crate::config::RefreshTokens;
use crate::session::{SessionKey, sid_digest};
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::TokenOrigin;
use crate::upstream::grant::Served;
use crate::upstream::grant::record::GrantKey;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::keys::KeyAge;
use crate::upstream::issuer::proven_tokens::{ParsedIdToken, TokenDigest};
use crate::upstream::token_kind::TokenKind;

/// The grant that a request is for, its issuer, and the caller's right to it.
type MeantGrant = (GrantKey, Arc<HomeIssuer>, Entitlement);

impl Service {
    /// The token for `request`, whose subject token has this `digest`, and whose it is; `None`: ask the store.
    pub(super) fn recent_token(
        &self,
        server: &Server,
        request: &TokenRequest,
        digest: TokenDigest,
    ) -> Option<(ProvenUser, Arc<Served>)> {
        let is_of_home = request.subject_token_type == SubjectTokenType::IdToken;
        if !is_of_home || server.remote.is_some() || request.reason == Reason::Rejected {
            return None;
        }
        let parsed = self.context.proven_tokens.parsed(&digest)?;
        let candidates = self.recent_candidates(&parsed, request, digest)?;
        let (grant, home, since) = self.recent_grant(&parsed, request, &candidates)?;
        let kind = if server.config.token.needs_access_tokens() {
            TokenKind::AccessToken
        } else {
            TokenKind::IdToken
        };
        let served = self
            .grants
            .recent_token(&grant, (kind, request.reason), digest, since)?;
        check_audiences(&served, &server.config.required_audiences).ok()?;
        let proven = ProvenUser {
            grant,
            home,
            origin: TokenOrigin::Home,
        };
        Some((proven, served))
    }

    /// The users' own grants that the token may belong to, if it still proves its user.
    fn recent_candidates(
        &self,
        parsed: &ParsedIdToken,
        request: &TokenRequest,
        digest: TokenDigest,
    ) -> Option<Vec<Candidate>> {
        let ParsedIdToken { claims, profile } = parsed;
        profile.has_begun(self.context.clock.now_ms()).ok()?;
        self.check_grace(claims.exp_seconds).ok()?;
        let candidates = self.candidates(claims, profile).ok()?;
        let (_, home) = candidates.first()?;
        let age = KeyAge::PresentOrPast;
        home.keys
            .has_proven(request.subject_token.expose_secret(), digest, claims, age)
            .then_some(())?;
        if let Some(session_id) = &profile.session_id {
            let sid = sid_digest(&claims.issuer, session_id);
            self.sessions.is_sid_recently_open(&sid).then_some(())?;
        }
        Some(candidates)
    }

    /// The grant of the request's session; without one, of the token's user.
    fn recent_grant(
        &self,
        parsed: &ParsedIdToken,
        request: &TokenRequest,
        candidates: &[Candidate],
    ) -> Option<MeantGrant> {
        let token = Entitlement {
            sign_outs: None,
            issued_at_seconds: Some(parsed.profile.issued_at_seconds.unwrap_or(0)),
            only_registered: false,
        };
        let Some(session) = &request.session else {
            // Which of several logins is meant is for the store to say.
            let [(user, home)] = candidates else { return None };
            if home.config.refresh_tokens != RefreshTokens::PerUser {
                return None;
            }
            let now_ms = self.context.clock.now_ms();
            let since = Entitlement {
                only_registered: !proves_learned(home, parsed.claims.exp_seconds, now_ms),
                ..token
            };
            return Some((user.clone(), Arc::clone(home), since));
        };
        let (grant, of_session) = self.sessions.recent_grant(&SessionKey::of_id(session))?;
        let since = Entitlement {
            sign_outs: of_session.sign_outs,
            ..token
        };
        let is_meant = |user: &GrantKey| candidates.iter().find(|(candidate, _)| candidate == user);
        let (_, home) = match is_meant(&grant) {
            Some(candidate) => candidate,
            None => is_meant(&self.grants.recent_user_of_login(&grant)?)?,
        };
        Some((grant, Arc::clone(home), since))
    }
}
