//! Issues tokens: proves the subject, then returns the login's ID token or access token, or exchanges it. At an `exchange` server a fresh
//! token of a user without a login is exchanged itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use super::report::ProvenUser;
use super::subject::ProvenSubject;
use super::{Server, Service};
use crate::refused::Refused;
use crate::upstream::exchange::{ExchangeRequest, TokenOrigin};
use crate::upstream::grant::Served;
use crate::upstream::issuer::access_token::AccessTokenJwt;
use crate::upstream::issuer::proven_tokens::TokenDigest;
use crate::upstream::token_kind::TokenKind;

impl Service {
    /// Issues a fresh token for the server and the user of `request`.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn token(&self, request: TokenRequest) -> Result<Arc<Served>, Refused> {
        let server = self.servers.get(&request.server);
        let label = server.map_or("unknown", |server| server.config.name.as_str());
        let digest = TokenDigest::of(request.subject_token.expose_secret());
        let mut proven = None;
        let issued = match server {
            Some(server) => self.issued(server, (&request, digest), &mut proven).await,
            None => Err(Refusal::UnknownServer.into()),
        };
        self.report(label, (&request, digest), proven.as_ref(), &issued);
        issued
    }

    /// Issues the token for `server`, from recent reads of the store where they suffice; sets `proven`.
    async fn issued(
        &self,
        server: &Arc<Server>,
        (request, digest): (&TokenRequest, TokenDigest),
        proven: &mut Option<ProvenUser>,
    ) -> Result<Arc<Served>, Refused> {
        let started = Instant::now();
        if let Some((user, served)) = self.recent_token(server, request, digest) {
            *proven = Some(user);
            self.context.metrics.token_answered(true, started.elapsed());
            return Ok(served);
        }
        // On the heap: the future of what few requests need would otherwise be part of every request's, several KiB of it.
        let issued = Box::pin(self.within_deadline(self.token_for(server, (request, digest), proven))).await;
        issued.map(Arc::new)
    }

    /// Bounds the sum of all operations, which have deadlines of their own, by the caller's deadline, and records how long
    /// they took. A call to an issuer that is in progress continues.
    pub(super) async fn within_deadline(
        &self,
        issued: impl Future<Output = Result<Served, Refused>>,
    ) -> Result<Served, Refused> {
        /// A late refresh reports what it waits for; its own, more precise refusal must come first.
        const SLACK: Duration = Duration::from_millis(200);
        let deadline = self.config.caller_deadline + SLACK;
        let started = Instant::now();
        let issued = tokio::time::timeout(deadline, issued).await.unwrap_or_else(|_| {
            Err(Refused::new(Refusal::Busy).because("the store or the issuer answers too slowly"))
        });
        self.context
            .metrics
            .token_answered(issued.is_ok(), started.elapsed());
        issued
    }

    /// Proves the subject of `request`, sets `proven`, and issues the token for `server`.
    async fn token_for(
        &self,
        server: &Arc<Server>,
        (request, digest): (&TokenRequest, TokenDigest),
        proven: &mut Option<ProvenUser>,
    ) -> Result<Served, Refused> {
        let subject = self.prove(server, request, digest).await?;
        *proven = Some(ProvenUser::of(&subject));
        self.token_for_subject(server, &subject, request.reason).await
    }

    /// Issues the token of a proven subject. A refusal for a user without a login is the one that is true.
    pub(super) async fn token_for_subject(
        &self,
        server: &Arc<Server>,
        subject: &ProvenSubject,
        reason: Reason,
    ) -> Result<Served, Refused> {
        match self.token_of(server, subject, reason).await {
            // Without its session an access token of ours proves nothing.
            refused if subject.presented.origin == TokenOrigin::Own => refused,
            Err(refused) if refused.refusal == Refusal::UnknownSession => {
                Err(self.unknown_grant(subject, server, reason).await)
            }
            issued => issued,
        }
    }

    /// The token of a proven subject: the login's own, or one that `server.remote` exchanges for it.
    async fn token_of(
        &self,
        server: &Arc<Server>,
        subject: &ProvenSubject,
        reason: Reason,
    ) -> Result<Served, Refused> {
        let required = &server.config.required_audiences;
        let Some(remote) = &server.remote else {
            let (grant, home) = (&subject.grant, &subject.home);
            let served = if server.config.token.needs_access_tokens() {
                self.grants
                    .access_token(grant, home, reason, subject.since)
                    .await?
            } else {
                let digest = subject.presented.digest;
                self.grants
                    .id_token(grant, home, reason, digest, subject.since)
                    .await?
            };
            check_audiences(&served, required)?;
            return Ok(served);
        };
        self.exchanges
            .token(ExchangeRequest {
                server: server.config.name.clone(),
                required_audiences: required.clone(),
                remote: Arc::clone(remote),
                grant: subject.grant.clone(),
                home: Arc::clone(&subject.home),
                entitlement: subject.since,
                reason,
                presented: subject.presented.clone(),
            })
            .await
    }
}

/// Refuses a token without the server's audiences. They may have been configured after the login, and only a new login
/// adds them. Those of an opaque access token are known to its issuer alone.
pub(super) fn check_audiences(served: &Served, required: &[String]) -> Result<(), Refused> {
    let covers = |audience| served.audiences.contains(audience);
    if required.iter().all(covers) {
        return Ok(());
    }
    let refused = Refused::new(Refusal::WrongAudience);
    match served.kind {
        TokenKind::IdToken => Err(refused.because(format!(
            "the login's token lacks one of {required:?}: the aggregator must request them at login"
        ))),
        TokenKind::AccessToken if AccessTokenJwt::read(served.token.expose_secret()).is_none() => Ok(()),
        TokenKind::AccessToken => Err(refused.because(format!(
            "aud of the login's access token lacks one of {required:?}: the issuer must put them there, by an audience mapper of \
             the client or because the login requests that resource"
        ))),
    }
}
