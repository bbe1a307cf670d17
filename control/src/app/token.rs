//! Issues tokens: proves the subject, then returns the login's ID token or exchanges it. At an `exchange` server a fresh
//! token of a user without a login is exchanged itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use tokenward_protocol::jwt::{Claims, session_of};
use tokenward_protocol::refusal::{Refusal, RefusalClass};
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TokenRequest};

use super::subject::ProvenSubject;
use super::{Server, Service};
use crate::digest;
use crate::observe::throttle::Emit;
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
        let issued = match server {
            Some(server) => self.within_deadline(self.token_for(&server, &request)).await,
            None => Err(Refusal::UnknownServer.into()),
        };
        self.report(&label, &request, &issued);
        issued
    }

    /// Counts and logs the outcome of `request` for the server `label`.
    pub(super) fn report(&self, label: &str, request: &TokenRequest, issued: &Result<Served, Refused>) {
        let outcome = match issued {
            Ok(_) => "token",
            Err(refused) => refused.refusal.name(),
        };
        self.context.metrics.token_request(label, outcome);
        // The log key costs a second parse of the token: it is computed only when a line may be due.
        if issued.is_err() || !self.throttle.is_calm(self.context.clock.now_ms()) {
            self.log_outcome(label, &pair_key(request), issued);
        }
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

    /// Proves the subject of `request` and issues its token for `server`.
    async fn token_for(&self, server: &Arc<Server>, request: &TokenRequest) -> Result<Served, Refused> {
        let subject = self.prove(server, request).await?;
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

    /// Logs the refusal of a caller's credential or registration, at most once a minute per caller and refusal.
    pub(crate) fn log_rejected_caller(&self, caller: &str, refused: &Refused) {
        let key = digest::hex_of_parts(&["caller", caller, refused.refusal.name()]);
        self.log_outcome(caller, &key, &Err(refused.clone()));
    }

    /// Logs at the boundary: at most one WARN or ERROR a minute per `key`, and INFO on recovery.
    fn log_outcome(&self, server: &str, key: &str, issued: &Result<Served, Refused>) {
        let pair = digest::short(key);
        match issued {
            Ok(_) => {
                if let Some(suppressed) = self.throttle.recovered(key) {
                    tracing::info!(server, pair, suppressed, "tokens are available again");
                }
            }
            Err(refused) => {
                let now_ms = self.context.clock.now_ms();
                let (refusal, cause) = (refused.refusal.name(), refused.cause.as_str());
                match self.throttle.failed(key, now_ms) {
                    Emit::Warn { suppressed } if refused.refusal.class() == RefusalClass::Misconfigured => {
                        tracing::error!(
                            server,
                            pair,
                            refusal,
                            cause,
                            suppressed,
                            "no token: an operator must act"
                        );
                    }
                    Emit::Warn { suppressed } => {
                        tracing::warn!(server, pair, refusal, cause, suppressed, "no token");
                    }
                    Emit::Debug => tracing::debug!(server, pair, refusal, cause, "no token"),
                }
            }
        }
    }
}

/// Log key of the request's pair of server and subject. Nothing about the subject is verified yet.
fn pair_key(request: &TokenRequest) -> String {
    let token = request.subject_token.expose_secret();
    match Claims::read(token.as_bytes()) {
        Ok(claims) => {
            let named = request.session.as_ref().map(ExposeSecret::expose_secret);
            let of_token = (request.subject_token_type == SubjectTokenType::AccessToken)
                .then(|| session_of(token.as_bytes()))
                .flatten();
            let session = named.or(of_token.as_deref()).unwrap_or_default();
            digest::hex_of_parts(&["pair", &request.server, &claims.issuer, &claims.subject, session])
        }
        Err(_) => digest::hex_of_parts(&["pair", &request.server, "malformed"]),
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
