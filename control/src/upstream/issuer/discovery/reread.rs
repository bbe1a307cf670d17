//! Rereads the discovery document: about hourly, and when an endpoint does not answer as one.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::backoff::Backoff;
use tokenward_protocol::duration::whole_ms;

use super::super::answer::RawAnswer;
use super::super::client::CallFailed;
use super::{Discovery, DiscoveryFailed, Endpoints};
use crate::context::Context;
use crate::upstream::streak::jitter;

/// How long a document is used before it is reread; up to a tenth of it is added at random.
const REREAD_AFTER: Duration = Duration::from_secs(3600);
/// The next attempt after a failed reread.
const RETRY_AFTER: Duration = Duration::from_secs(300);
/// The shortest time between two early rereads; doubles while the document stays the same.
const EARLY_REREAD_INTERVAL: Backoff = Backoff::new(30_000, 960_000);

/// Rereads before the document is due, because an endpoint did not answer as one.
#[derive(Debug, Default)]
pub(super) struct EarlyRereads {
    /// No early reread before this time, Unix ms.
    next_ms: u64,
    /// Early rereads so far that found the same endpoints.
    unchanged: u32,
}

impl Discovery {
    /// Rereads the document soon: an endpoint did not answer as one ([`is_no_endpoint`]), so it may have moved. Does nothing
    /// if both endpoints are configured.
    pub(in super::super) fn reread_soon(self: &Arc<Self>, context: &Context) {
        let now_ms = context.clock.now_ms();
        let mut state = self.lock();
        // A clock that was set back must not delay it for longer.
        let latest_ms = now_ms.saturating_add(EARLY_REREAD_INTERVAL.cap_ms());
        let is_too_soon = (now_ms + 1..=latest_ms).contains(&state.early_rereads.next_ms);
        if state.found.is_none() || self.is_configured() || is_too_soon {
            return;
        }
        let interval_ms = EARLY_REREAD_INTERVAL.wait_ms(state.early_rereads.unchanged);
        state.early_rereads.next_ms = now_ms.saturating_add(interval_ms);
        state.early_rereads.unchanged = state.early_rereads.unchanged.saturating_add(1);
        drop(state);
        self.start_reread(context);
    }

    fn is_configured(&self) -> bool {
        self.token_endpoint.is_some() && self.jwks_uri.is_some()
    }

    /// Starts a reread in the background when one is due. The current document stays in use until a usable one arrives.
    pub(super) fn reread_when_due(self: &Arc<Self>, context: &Context) {
        let now_ms = context.clock.now_ms();
        let is_due = {
            let state = self.lock();
            // A clock that was set back must not delay it for longer.
            let latest_ms = now_ms.saturating_add(whole_ms(REREAD_AFTER) * 2);
            now_ms >= state.due_ms || state.due_ms > latest_ms
        };
        if is_due && !self.is_configured() {
            self.start_reread(context);
        }
    }

    fn start_reread(self: &Arc<Self>, context: &Context) {
        self.fetches.start("", |_| {
            let (discovery, context) = (Arc::clone(self), context.clone());
            async move { discovery.reread(&context).await }
        });
    }

    async fn reread(&self, context: &Context) -> Result<Endpoints, DiscoveryFailed> {
        let read = self.fetch(context).await;
        let now_ms = context.clock.now_ms();
        let mut state = self.lock();
        let before = state.found.clone();
        match (read, before) {
            (Ok(endpoints), before) => {
                if before.is_some_and(|before| before != endpoints) {
                    tracing::info!(
                        issuer = self.issuer,
                        token_endpoint = %endpoints.token_endpoint,
                        jwks_uri = %endpoints.jwks_uri,
                        "the issuer's discovery document changed; the new endpoints are used from now on"
                    );
                    state.early_rereads.unchanged = 0;
                }
                state.found = Some(endpoints.clone());
                state.due_ms = due_ms(now_ms);
                Ok(endpoints)
            }
            (Err(why), Some(before)) => {
                tracing::debug!(
                    issuer = self.issuer,
                    cause = %why,
                    "rereading the discovery document failed; the previous one stays in use"
                );
                state.due_ms = now_ms.saturating_add(whole_ms(RETRY_AFTER));
                Ok(before)
            }
            (Err(why), None) => Err(why),
        }
    }
}

/// Whether a response does not come from an OAuth endpoint at all: the endpoint may have moved.
pub(in super::super) fn is_no_endpoint(answer: Result<&RawAnswer, &CallFailed>) -> bool {
    match answer {
        Ok(answer) => {
            let begins = answer.body.iter().find(|byte| byte.is_ascii_graphic());
            matches!(answer.status, 300..=399 | 404 | 405 | 410 | 421 | 501) || begins != Some(&b'{')
        }
        Err(failed) => *failed == CallFailed::Connect,
    }
}

/// When a document that was read now is due, Unix ms. The random part spreads the replicas.
pub(super) fn due_ms(now_ms: u64) -> u64 {
    let after_ms = whole_ms(REREAD_AFTER);
    let spread_ms = after_ms / 10 * u64::from(jitter()) / u64::from(u32::MAX);
    now_ms.saturating_add(after_ms).saturating_add(spread_ms)
}
