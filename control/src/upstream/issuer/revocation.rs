//! Giving refresh tokens back when their user has signed out (RFC 7009). Best effort, in the background: no caller waits for
//! it, and its failure changes nothing, for the token is forgotten here already.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, watch};

use super::answer::{RawAnswer, refusal_of};
use super::client::Connection;
use super::discovery::DiscoveryFailed;
use super::home::HomeIssuer;
use super::limits::CallOutcome;
use crate::context::Context;
use crate::digest;
use crate::upstream::dialect::Dialect;

/// Calls under way at the same time, at all issuers together.
const MOST_AT_ONCE: usize = 8;
/// Calls that wait for their turn. Who signs thousands of users out at once leaves the rest to the issuer's lifetimes.
const MOST_WAITING: usize = 1_024;

/// Gives refresh tokens back. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Revocations {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    homes: Vec<Arc<HomeIssuer>>,
    slots: Semaphore,
    waiting: watch::Sender<usize>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Inner")
            .field("waiting", &*self.waiting.borrow())
            .finish_non_exhaustive()
    }
}

/// A refresh token that nothing here will present any more.
#[derive(Debug)]
pub struct GivenBack {
    /// `iss` of its login.
    pub issuer: String,
    /// The client that it was given to.
    pub client_id: String,
    /// Digest of its grant.
    pub grant: String,
    /// The token.
    pub refresh_token: SecretString,
}

/// One of those that wait, counted until it is dropped.
struct Waiting(Arc<Inner>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0
            .waiting
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Revocations {
    /// Those of the logins at `homes`.
    #[must_use]
    pub fn new(context: Context, homes: Vec<Arc<HomeIssuer>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                context,
                homes,
                slots: Semaphore::new(MOST_AT_ONCE),
                waiting: watch::Sender::new(0),
            }),
        }
    }

    /// Gives `token` back, some time later, where its issuer has an endpoint for it.
    pub fn give_back(&self, token: GivenBack) {
        let inner = &self.inner;
        let home = inner
            .homes
            .iter()
            .find(|home| home.config.issuer == token.issuer && home.config.client_id == token.client_id);
        let Some(home) = home.map(Arc::clone) else { return };
        if *inner.waiting.borrow() >= MOST_WAITING {
            inner.context.metrics.revocation(&token.issuer, "dropped");
            return;
        }
        inner.waiting.send_modify(|count| *count += 1);
        let waiting = Waiting(Arc::clone(inner));
        tokio::spawn(async move {
            let inner = &waiting.0;
            // Never closed.
            let _slot = inner.slots.acquire().await;
            if let Some(outcome) = home.revoke(&inner.context, &token).await {
                inner.context.metrics.revocation(&token.issuer, outcome);
                tracing::debug!(
                    grant = digest::short(&token.grant),
                    issuer = token.issuer,
                    outcome,
                    "a refresh token was given back"
                );
            }
        });
    }

    /// Waits until none is under way.
    pub async fn landed(&self) {
        let mut waiting = self.inner.waiting.subscribe();
        // The sender lives in `self`, so this cannot fail while we wait.
        let _ = waiting.wait_for(|count| *count == 0).await;
    }
}

impl HomeIssuer {
    /// What became of giving `token` back; `None` where the issuer has no endpoint for it.
    async fn revoke(&self, context: &Context, token: &GivenBack) -> Option<&'static str> {
        let endpoint = match self.discovery.revocation_endpoint(context).await {
            Ok(endpoint) => endpoint?,
            Err(DiscoveryFailed::Unusable(_)) => return None,
            Err(_) => return Some("failed"),
        };
        let Ok(permit) = self.limits.acquire(&token.grant).await else {
            return Some("failed");
        };
        let form = [
            ("token", token.refresh_token.expose_secret()),
            ("token_type_hint", "refresh_token"),
        ];
        let answer = context
            .client
            .post_form(&endpoint, self.credentials(), &form, Connection::Pooled)
            .await;
        permit.record(match &answer {
            Ok(answer) if answer.status < 500 => CallOutcome::Answer,
            Ok(answer) => CallOutcome::Failure {
                retry_after: answer.retry_after,
            },
            Err(_) => CallOutcome::Failure { retry_after: None },
        });
        Some(match answer {
            Ok(answer) => read_revocation(&answer, self.config.dialect),
            Err(_) => "failed",
        })
    }
}

/// Reads the answer of a revocation endpoint (RFC 7009 §2.2): `revoked`, `refused` or `failed`. A token that is not valid
/// any more is answered like one that was revoked.
#[must_use]
pub fn read_revocation(answer: &RawAnswer, dialect: Dialect) -> &'static str {
    if answer.is_success() {
        return "revoked";
    }
    match refusal_of(answer, dialect) {
        Ok(()) => "refused",
        Err(_) => "failed",
    }
}
