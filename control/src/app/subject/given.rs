//! An exchanged token that the aggregator got from control's exchange endpoint and presents at the gateway.
//!
//! Control made it, verified it and recorded its digest, so the digest proves it. A token of the same issuer that control
//! did not give is verified by the issuer's keys, so that the refusal is true; it opens nothing.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::TokenRequest;

use super::{Proof, claims_of};
use crate::app::{Server, Service};
use crate::refused::Refused;
use crate::upstream::exchange::record::ExchangeKey;
use crate::upstream::exchange::{PresentedToken, TokenOrigin};
use crate::upstream::issuer::RemoteIssuer;
use crate::upstream::issuer::keys::KeyAge;
use crate::upstream::issuer::proven_tokens::TokenDigest;

impl Service {
    /// The claims of `token` and the issuer of `server`, if that issuer is who signed it and no login is for it: the
    /// same issuer may log users in as well.
    pub(super) fn given_by<'a>(
        &self,
        server: &'a Server,
        token: &SecretString,
        digest: TokenDigest,
    ) -> Result<Option<(Claims, &'a Arc<RemoteIssuer>)>, Refused> {
        let Some(remote) = &server.remote else {
            return Ok(None);
        };
        // A token that is cached in parsed form was proven as a home token before.
        if self.context.proven_tokens.parsed(&digest).is_some() {
            return Ok(None);
        }
        let claims = claims_of(token.expose_secret())?;
        let is_remote = claims.issuer == remote.config.expected_issuer && !self.is_of_home(&claims);
        Ok(is_remote.then_some((claims, remote)))
    }

    /// Finds the user that control gave the token of `claims` for.
    pub(super) async fn prove_given(
        &self,
        server: &Server,
        remote: &RemoteIssuer,
        request: &TokenRequest,
        claims: Claims,
        digest: TokenDigest,
    ) -> Result<Proof, Refused> {
        let Some(given) = self.exchanges.given(&digest).await? else {
            let token = request.subject_token.expose_secret();
            remote.keys.prove(token, digest, &claims, KeyAge::Present).await?;
            let is_stale = self.is_stale(
                claims.exp_seconds,
                claims.issued_at_seconds,
                server,
                request.reason,
                TokenOrigin::Exchange,
            );
            return Err(Refused::new(if is_stale {
                Refusal::TokenExpired
            } else {
                Refusal::NotRegistered
            }));
        };
        self.check_grace(claims.exp_seconds)?;
        let Some(home) = self.home(&given.issuer, &given.client_id) else {
            return Err(Refused::new(Refusal::WrongIssuer)
                .because("the issuer of the user's login is no longer configured"));
        };
        if let Some(sid) = &given.home_sid {
            self.check_issuer_session(sid, Some(given.home_issued_at_seconds))
                .await?;
        }
        let grant = given.grant();
        let exchange = ExchangeKey::new(&grant, &remote.config, &server.config.required_audiences);
        if !given.is_for(&server.config.name, &exchange) {
            return Err(Refused::new(Refusal::WrongAudience).because("it was given for another server"));
        }
        let user = self.grants.user_of_login(&grant).await?;
        let user = user.unwrap_or_else(|| grant.clone());
        Ok(Proof {
            candidates: vec![(user, Arc::clone(home))],
            given: Some(grant),
            since: given.entitlement(),
            presented: PresentedToken {
                token: request.subject_token.clone(),
                digest,
                exp_seconds: claims.exp_seconds,
                origin: TokenOrigin::Exchange,
            },
            issued_at_seconds: claims.issued_at_seconds,
            sid: given.home_sid,
        })
    }
}
