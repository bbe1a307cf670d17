//! Issues tokens: proves the subject, then returns the login's ID token or exchanges it. At an `exchange` server a fresh
//! token of a user without a login is exchanged itself.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use super::report::ProvenUser;
use super::subject::ProvenSubject;
use super::{Server, Service};
use crate::refused::Refused;
use crate::upstream::exchange::{ExchangeRequest, TokenOrigin};
use crate::upstream::grant::Served;

impl Service {
    /// Issues a fresh token for the server and the user of `request`.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn token(&self, request: TokenRequest) -> Result<Served, Refused> {
        let server = self.servers.get(&request.server).cloned();
        let label = server
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), |server| server.config.name.clone());
        let mut proven = None;
        let issued = match server {
            Some(server) => {
                self.within_deadline(self.token_for(&server, &request, &mut proven))
                    .await
            }
            None => Err(Refusal::UnknownServer.into()),
        };
        self.report(&label, &request, proven.as_ref(), &issued);
        issued
    }

    /// Bounds the sum of all operations, which have deadlines of their own, by the caller's deadline. A call to an
    /// issuer that is in progress continues.
    pub(super) async fn within_deadline(
        &self,
        issued: impl Future<Output = Result<Served, Refused>>,
    ) -> Result<Served, Refused> {
        /// A late refresh reports what it waits for; its own, more precise refusal must come first.
        const SLACK: Duration = Duration::from_millis(200);
        let deadline = self.config.caller_deadline + SLACK;
        tokio::time::timeout(deadline, issued).await.unwrap_or_else(|_| {
            Err(Refused::new(Refusal::Busy).because("the store or the issuer answers too slowly"))
        })
    }

    /// Proves the subject of `request`, sets `proven`, and issues the token for `server`.
    async fn token_for(
        &self,
        server: &Arc<Server>,
        request: &TokenRequest,
        proven: &mut Option<ProvenUser>,
    ) -> Result<Served, Refused> {
        let subject = self.prove(server, request).await?;
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
            let served = self
                .grants
                .id_token(
                    &subject.grant,
                    &subject.home,
                    reason,
                    subject.presented.digest,
                    subject.since,
                )
                .await?;
            return with_audiences(served, required);
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
/// adds them.
fn with_audiences(served: Served, required: &[String]) -> Result<Served, Refused> {
    let covers = |audience| served.audiences.contains(audience);
    if required.iter().all(covers) {
        Ok(served)
    } else {
        Err(Refused::new(Refusal::WrongAudience).because(format!(
            "the login's token lacks one of {required:?}: the aggregator must request them at login"
        )))
    }
}
