//! Revokes refresh tokens at their issuer after a sign-out (RFC 7009), or ends the issuer's session with them
//! ([`SignOutAtIssuer`]). Best effort, in the background: no caller waits for it, and a failure changes nothing here,
//! because the token is already deleted from the store.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::answer::{RawAnswer, refusal_of};
use super::client::Connection;
use super::discovery::DiscoveryFailed;
use super::home::HomeIssuer;
use super::limits::CallOutcome;
use super::pace::Urgency;
use crate::config::SignOutAtIssuer;
use crate::context::Context;
use crate::digest;
use crate::upstream::dialect::Dialect;

/// Concurrent calls, at all issuers together.
const MAX_CONCURRENT: usize = 8;
/// Revocations that wait or run. When thousands of users are signed out at once, the rest of their tokens expire at the
/// issuer.
const MAX_PENDING: usize = 1_024;

/// Queue of revocations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Revocations {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    homes: Vec<Arc<HomeIssuer>>,
    slots: Semaphore,
    pending: TaskTracker,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Inner")
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

/// A refresh token to revoke. Control has deleted it and will not present it again.
#[derive(Debug)]
pub struct RevokedToken {
    /// `iss` of its login.
    pub issuer: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// Digest of its grant.
    pub grant: String,
    /// The token.
    pub refresh_token: SecretString,
}

impl Revocations {
    /// Revocations at the issuers of `homes`.
    #[must_use]
    pub fn new(context: Context, homes: Vec<Arc<HomeIssuer>>) -> Self {
        let pending = TaskTracker::new();
        // A closed tracker still takes tasks; `wait` then returns whenever none is running.
        pending.close();
        Self {
            inner: Arc::new(Inner {
                context,
                homes,
                slots: Semaphore::new(MAX_CONCURRENT),
                pending,
            }),
        }
    }

    /// Queues the revocation of `token`, if its issuer has an endpoint for it. Drops it when the queue is full.
    pub fn revoke(&self, token: RevokedToken) {
        let inner = &self.inner;
        let home = inner
            .homes
            .iter()
            .find(|home| home.config.issuer == token.issuer && home.config.client_id == token.client_id);
        let Some(home) = home.map(Arc::clone) else { return };
        if inner.pending.len() >= MAX_PENDING {
            inner.context.metrics.revocation(&token.issuer, "dropped");
            return;
        }
        let task = Arc::clone(inner);
        inner.pending.spawn(async move {
            let inner = &task;
            // The semaphore is never closed.
            let _slot = inner.slots.acquire().await;
            if let Some(outcome) = home.revoke(&inner.context, &token).await {
                inner.context.metrics.revocation(&token.issuer, outcome);
                tracing::debug!(
                    grant = digest::short(&token.grant),
                    issuer = token.issuer,
                    outcome,
                    "revoked a refresh token at the issuer"
                );
            }
        });
    }

    /// Waits until no revocation is pending.
    pub async fn wait_idle(&self) {
        self.inner.pending.wait().await;
    }
}

impl HomeIssuer {
    /// The outcome of revoking `token`; `None` if the issuer has no endpoint for that, or is not to be called.
    async fn revoke(&self, context: &Context, token: &RevokedToken) -> Option<&'static str> {
        let refresh_token = token.refresh_token.expose_secret();
        let (endpoint, form) = match self.config.sign_out {
            SignOutAtIssuer::Nothing => return None,
            SignOutAtIssuer::Revoke => (
                self.discovery.revocation_endpoint(context).await,
                vec![("token", refresh_token), ("token_type_hint", "refresh_token")],
            ),
            SignOutAtIssuer::EndSession => (
                self.discovery.end_session_endpoint(context).await,
                vec![("refresh_token", refresh_token)],
            ),
        };
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint?,
            Err(DiscoveryFailed::Unusable(_)) => return None,
            Err(_) => return Some("failed"),
        };
        let Ok(permit) = self.limits.acquire(&token.grant, Urgency::Waiting).await else {
            return Some("failed");
        };
        let answer = context
            .client
            .post_form(&endpoint, self.credentials(context), &form, Connection::Pooled)
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

/// Classifies the response of a revocation endpoint (RFC 7009 §2.2): `revoked`, `refused` or `failed`. An issuer
/// answers for an invalid token as for one that it has revoked.
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
