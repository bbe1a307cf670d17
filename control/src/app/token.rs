//! The question for a token: prove the subject, then forward or exchange.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::{Refusal, RefusalClass};
use tokenward_protocol::token_endpoint::TokenRequest;

use super::subject::Proven;
use super::{Server, Service};
use crate::digest;
use crate::observe::throttle::Emit;
use crate::refused::Refused;
use crate::upstream::exchange::ExchangeRequest;
use crate::upstream::grant::Served;

impl Service {
    /// A fresh token for `request`'s server and user.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn token(&self, request: TokenRequest) -> Result<Served, Refused> {
        let server = self.servers.get(&request.server).cloned();
        let label = server
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), |server| server.config.name.clone());
        let answer = match server {
            Some(server) => self.in_time(self.token_for(&server, &request)).await,
            None => Err(Refusal::UnknownServer.into()),
        };
        let outcome = match &answer {
            Ok(_) => "token",
            Err(refused) => refused.refusal.name(),
        };
        self.context.metrics.token_request(&label, outcome);
        // To name the pair the token is read once more: not for every good answer.
        if answer.is_err() || !self.throttle.is_calm(self.context.clock.now_ms()) {
            self.note(&label, &trouble(&request), &answer);
        }
        answer
    }

    /// Every operation has a deadline of its own; together they may not exceed the caller's. What is under way at an
    /// issuer goes on without the caller.
    async fn in_time(
        &self,
        answer: impl Future<Output = Result<Served, Refused>>,
    ) -> Result<Served, Refused> {
        /// A refresh that is late knows on what it waits: its own answer comes first.
        const LAST_WORD: Duration = Duration::from_millis(200);
        let deadline = self.config.caller_deadline + LAST_WORD;
        tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
            Err(Refused::new(Refusal::Busy).because("the store or the issuer answers too slowly"))
        })
    }

    async fn token_for(&self, server: &Arc<Server>, request: &TokenRequest) -> Result<Served, Refused> {
        let proven = self.prove(server, request).await?;
        match self.token_of(server, &proven, request).await {
            Err(refused) if refused.refusal == Refusal::UnknownSession => {
                Err(self.unknown_grant(&proven, server, request.reason).await)
            }
            answer => answer,
        }
    }

    async fn token_of(
        &self,
        server: &Arc<Server>,
        proven: &Proven,
        request: &TokenRequest,
    ) -> Result<Served, Refused> {
        let required = &server.config.required_audiences;
        let Some(remote) = &server.remote else {
            let served = self
                .grants
                .id_token(
                    &proven.grant,
                    &proven.home,
                    request.reason,
                    proven.digest,
                    proven.since,
                )
                .await?;
            return with_audiences(served, required);
        };
        self.exchanges
            .token(ExchangeRequest {
                server: server.config.name.clone(),
                required_audiences: required.clone(),
                remote: Arc::clone(remote),
                grant: proven.grant.clone(),
                home: Arc::clone(&proven.home),
                since: proven.since,
                reason: request.reason,
                presented: request.subject_token.clone(),
                presented_digest: proven.digest,
            })
            .await
    }

    /// A caller that is not let in, or puts what cannot be kept: at most one line a minute per caller and reason.
    pub(crate) fn log_rejected_caller(&self, caller: &str, refused: &Refused) {
        let trouble = digest::hex_of_parts(&["caller", caller, refused.refusal.name()]);
        self.note(caller, &trouble, &Err(refused.clone()));
    }

    /// One line at the boundary: a warning a minute per trouble, INFO when it is over.
    fn note(&self, server: &str, trouble: &str, answer: &Result<Served, Refused>) {
        let pair = digest::short(trouble);
        match answer {
            Ok(_) => {
                if let Some(suppressed) = self.throttle.recovered(trouble) {
                    tracing::info!(server, pair, suppressed, "tokens can be had again");
                }
            }
            Err(refused) => {
                let now_ms = self.context.clock.now_ms();
                let (refusal, cause) = (refused.refusal.name(), refused.cause.as_str());
                match self.throttle.failed(trouble, now_ms) {
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

/// The pair of a request, before anything about it is proven: it only names a log line.
fn trouble(request: &TokenRequest) -> String {
    let token = request.subject_token.expose_secret();
    match Claims::read(token.as_bytes()) {
        Ok(claims) => {
            let session = request
                .session
                .as_ref()
                .map_or("", |session| session.expose_secret());
            digest::hex_of_parts(&["pair", &request.server, &claims.issuer, &claims.subject, session])
        }
        Err(_) => digest::hex_of_parts(&["pair", &request.server, "malformed"]),
    }
}

/// A server's audiences may have been added after the login; only a new login brings them.
fn with_audiences(served: Served, required: &[String]) -> Result<Served, Refused> {
    let covers = |audience| served.audiences.contains(audience);
    if required.iter().all(covers) {
        Ok(served)
    } else {
        Err(Refused::new(Refusal::WrongAudience).because(format!(
            "the login's token lacks one of {required:?}: the aggregator must ask for them at login"
        )))
    }
}
