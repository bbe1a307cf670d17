//! Failures on demand, per endpoint: what a test makes the issuer do instead of, or after, its work.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Disguise;

/// What of the issuer is called. The token endpoint counts as one endpoint per grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/.well-known/openid-configuration`
    Discovery,
    /// `/keys`
    Keys,
    /// `/auth` and the login page behind it
    Authorization,
    /// `/token`, `grant_type=password` and `authorization_code`
    Login,
    /// `/token`, `grant_type=refresh_token`
    Refresh,
    /// `/token`, token exchange (RFC 8693)
    Exchange,
    /// `/userinfo`
    UserInfo,
    /// `/token/introspect`
    Introspect,
    /// `/token/revoke`, which Dex does not have
    Revoke,
    /// Everything else.
    Other,
}

/// One scripted failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// This answer, and no work done.
    Answer {
        /// HTTP status.
        status: u16,
        /// Body, sent as `application/json`.
        body: String,
        /// `Retry-After`, seconds.
        retry_after_seconds: Option<u64>,
    },
    /// No work done and never an answer; the connection stays open.
    Hang,
    /// No work done, the connection closes without an answer.
    CloseBeforeAnswer,
    /// The work is done (a refresh token is rotated), then the connection closes without an answer.
    CloseAfterCommit,
    /// A refresh succeeds without `refresh_token` in its answer; the token is not rotated (RFC 6749 §6).
    DropRefreshToken,
    /// The tokens of the answer are of another user (`sub`).
    OtherSubject,
    /// The tokens of the answer have another `iss`.
    OtherIssuer,
    /// The tokens of the answer are for another client (`aud`).
    OtherAudience,
    /// The tokens of the answer have another `nonce`.
    OtherNonce,
    /// The answer has no `id_token`.
    NoIdToken,
    /// The work is done; the answer is 200 with a body that is not JSON.
    Garbage,
    /// The work is done; the answer is sent like this.
    Disguised(Disguise),
}

impl Failure {
    /// Dex's own 500: a connector or the storage failed.
    pub fn internal_error() -> Self {
        Self::answer(500, r#"{"error":"invalid_request"}"#)
    }

    /// Any status with a JSON body.
    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer {
            status,
            body: body.to_owned(),
            retry_after_seconds: None,
        }
    }

    /// 429 with `Retry-After`, as a proxy in front of Dex answers.
    pub fn too_many_requests(retry_after_seconds: u64) -> Self {
        Self::Answer {
            status: 429,
            body: "{}".to_owned(),
            retry_after_seconds: Some(retry_after_seconds),
        }
    }
}

/// The failures that are planned, and the requests that are held.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    plans: Mutex<HashMap<Endpoint, Plan>>,
    held: watch::Sender<HashMap<Endpoint, usize>>,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<Failure>,
    always: Option<Failure>,
    latency: Duration,
}

impl Faults {
    fn plan<T>(&self, endpoint: Endpoint, change: impl FnOnce(&mut Plan) -> T) -> T {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        change(plans.entry(endpoint).or_default())
    }

    pub(crate) fn fail_next(&self, endpoint: Endpoint, count: usize, failure: &Failure) {
        self.plan(endpoint, |plan| {
            plan.next.extend(std::iter::repeat_n(failure.clone(), count));
        });
    }

    pub(crate) fn fail_always(&self, endpoint: Endpoint, failure: Failure) {
        self.plan(endpoint, |plan| plan.always = Some(failure));
    }

    pub(crate) fn heal(&self, endpoint: Endpoint) {
        self.plan(endpoint, |plan| *plan = Plan::default());
    }

    pub(crate) fn set_latency(&self, endpoint: Endpoint, latency: Duration) {
        self.plan(endpoint, |plan| plan.latency = latency);
    }

    pub(crate) fn latency(&self, endpoint: Endpoint) -> Duration {
        self.plan(endpoint, |plan| plan.latency)
    }

    pub(crate) fn take(&self, endpoint: Endpoint) -> Option<Failure> {
        self.plan(endpoint, |plan| {
            plan.next.pop_front().or_else(|| plan.always.clone())
        })
    }

    pub(crate) fn hold(&self, endpoint: Endpoint) {
        self.held.send_modify(|held| {
            held.entry(endpoint).or_default();
        });
    }

    pub(crate) fn release(&self, endpoint: Endpoint) {
        self.held.send_modify(|held| {
            held.remove(&endpoint);
        });
    }

    /// Whether `count` requests are held within `deadline`.
    pub(crate) async fn are_held(&self, endpoint: Endpoint, count: usize, deadline: Duration) -> bool {
        let reached =
            |held: &HashMap<Endpoint, usize>| held.get(&endpoint).is_some_and(|waiting| *waiting >= count);
        let mut held = self.held.subscribe();
        // The sender lives as long as `self`, so only the deadline can come in between.
        tokio::time::timeout(deadline, held.wait_for(reached))
            .await
            .is_ok()
    }

    /// Returns at once unless the endpoint is held.
    pub(crate) async fn pass(&self, endpoint: Endpoint) {
        let mut changes = self.held.subscribe();
        let waits = self.held.send_if_modified(|held| match held.get_mut(&endpoint) {
            Some(waiting) => {
                *waiting += 1;
                true
            }
            None => false,
        });
        if waits {
            let _ = changes.wait_for(|held| !held.contains_key(&endpoint)).await;
        }
    }
}
