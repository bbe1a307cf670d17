//! Consecutive failures of one grant or exchange, and when the next attempt is allowed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokenward_protocol::backoff::Backoff;
use tokenward_protocol::duration::whole_ms;

/// Failures without a success in between. Stored in the record, so that all replicas back off together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Streak {
    /// When the current run of failures of one kind began, Unix ms.
    pub since_ms: u64,
    /// Number of failures so far, of any kind.
    pub count: u32,
    /// No attempt before this time, Unix ms.
    pub next_attempt_at_ms: u64,
    /// The kind of the last failure.
    pub kind: StreakKind,
    /// Number of consecutive failures of `kind`.
    pub same_kind: u32,
}

/// What a failure means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StreakKind {
    /// The issuer could not be reached, or a gateway answered in its place. Nothing is known about the grant.
    Unreachable,
    /// The issuer itself answered with a failure (5xx with an OAuth error), which may be temporary or permanent.
    Failing,
    /// The issuer denied a subject token that is fresh by this clock; it may be unable to reach the home issuer.
    Denied,
    /// An operator must fix a configuration.
    Misconfigured,
    /// The issuer answered with a token of another user, client or issuer.
    Substituted,
    /// The answer has no OAuth error and is neither an overload's nor a gateway's: a page, a redirect, a 404 or 403 of
    /// a proxy. Temporary, or a misconfiguration: [`Streak::is_lasting`].
    NotOauth,
    /// [`StreakKind::Unreachable`], with a `Retry-After` of the issuer.
    RetryAfter,
    /// The issuer carried the request out, but its token cannot be read or verified here.
    Unusable,
    /// The issuer carried the request out, and its answer has no ID token: whole for a client of the relay, useless for a
    /// server.
    NoIdToken,
    /// A remote issuer requires the user to act there (OIDC Core §3.1.2.6), which an exchange cannot lead to.
    Interaction,
}

impl StreakKind {
    /// Whether only an operator can end such failures, at the issuer or in a configuration.
    const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::Misconfigured | Self::Substituted | Self::Unusable | Self::NoIdToken
        )
    }
}

/// Waits after transient failures, before jitter. The cap is low so that a recovery is noticed soon.
const BACKOFF: Backoff = Backoff::new(1_000, 60_000);
/// Upper bound for an issuer's `Retry-After`.
pub const MAX_RETRY_AFTER_MS: u64 = 300_000;
/// Wait after a misconfiguration.
const MISCONFIGURED_WAIT_MS: u64 = 30_000;
/// This many answers without an OAuth error, over this long, are a misconfiguration: an ingress that is being replaced
/// answers 404 for a minute or two.
const LASTING_COUNT: u32 = 5;
const LASTING_MS: u64 = 300_000;
/// Hint for an operator while refreshes bring no ID token.
pub const NO_ID_TOKEN: &str =
    "the issuer refreshed without an ID token: the login must request the scope openid";
/// Hint for an operator while such answers arrive.
pub const NOT_OAUTH: &str = "something in between answers in the issuer's place (a proxy, firewall or load balancer), or \
                             token_endpoint is not the issuer's own";

/// The streak after one more failure at `now_ms`. `jitter` is uniform in `0..=u32::MAX`; `retry_after` is the issuer's
/// `Retry-After`.
#[must_use]
pub fn failed(
    before: Option<Streak>,
    kind: StreakKind,
    retry_after: Option<Duration>,
    now_ms: u64,
    jitter: u32,
) -> Streak {
    let kind = match (kind, retry_after) {
        (StreakKind::Unreachable, Some(_)) => StreakKind::RetryAfter,
        (kind, _) => kind,
    };
    let count = before.map_or(0, |streak| streak.count).saturating_add(1);
    let same_kind = before
        .filter(|streak| streak.kind == kind)
        .map_or(0, |streak| streak.same_kind)
        .saturating_add(1);
    let wait_ms = match (kind, retry_after) {
        (kind, _) if kind.is_lasting() => MISCONFIGURED_WAIT_MS,
        (_, Some(retry_after)) => whole_ms(retry_after).clamp(BACKOFF.base_ms(), MAX_RETRY_AFTER_MS),
        (_, None) => {
            let ceiling_ms = longest_backoff_ms(count);
            // Full jitter above a floor: without a floor, 1,000 grants could retry at once.
            let floor_ms = BACKOFF.base_ms() / 2;
            floor_ms + (ceiling_ms - floor_ms) * u64::from(jitter) / u64::from(u32::MAX)
        }
    };
    Streak {
        since_ms: before
            .filter(|streak| streak.kind == kind)
            .map_or(now_ms, |streak| streak.since_ms),
        count,
        next_attempt_at_ms: now_ms.saturating_add(wait_ms),
        kind,
        same_kind,
    }
}

/// Whether `count` answers without an OAuth error over `span_ms` are a misconfiguration.
#[must_use]
pub fn is_lasting(count: u32, span_ms: u64) -> bool {
    count >= LASTING_COUNT && span_ms >= LASTING_MS
}

/// The longest backoff after `count` failures.
fn longest_backoff_ms(count: u32) -> u64 {
    BACKOFF.wait_ms(count.saturating_sub(1))
}

impl Streak {
    /// Whether answers without an OAuth error have lasted so long that an operator must look. Both times come from the
    /// clocks that made the attempts, so the reader's clock does not matter.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        let span_ms = self.next_attempt_at_ms.saturating_sub(self.since_ms);
        self.kind == StreakKind::NotOauth && is_lasting(self.same_kind, span_ms)
    }

    /// Time until the next attempt is allowed; `None` if it is allowed now. Each kind has a longest wait. A longer rest
    /// means that the clock of the writer is ahead of the reader's; such a streak delays no caller.
    #[must_use]
    pub fn wait(&self, now_ms: u64) -> Option<Duration> {
        let longest_ms = match self.kind {
            StreakKind::Misconfigured
            | StreakKind::Substituted
            | StreakKind::Unusable
            | StreakKind::NoIdToken => MISCONFIGURED_WAIT_MS,
            StreakKind::Unreachable => longest_backoff_ms(self.count),
            StreakKind::RetryAfter
            | StreakKind::Failing
            | StreakKind::Denied
            | StreakKind::Interaction
            | StreakKind::NotOauth => MAX_RETRY_AFTER_MS,
        };
        remaining(self.next_attempt_at_ms, longest_ms, now_ms)
    }
}

/// Clocks that differ by less than this count as synchronised.
pub const CLOCK_SLACK_MS: u64 = 5_000;

/// The time until `until_ms`, which was written at most `longest_ms` ahead. `None` if it has passed, or if the clock of
/// the writer is ahead of this one.
#[must_use]
pub fn remaining(until_ms: u64, longest_ms: u64, now_ms: u64) -> Option<Duration> {
    let remaining_ms = until_ms.saturating_sub(now_ms);
    (remaining_ms > 0 && remaining_ms <= longest_ms.saturating_add(CLOCK_SLACK_MS))
        .then(|| Duration::from_millis(remaining_ms))
}

/// Uniform jitter; the maximum if the system has no randomness, which only makes waits equal.
#[must_use]
pub fn jitter() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}
