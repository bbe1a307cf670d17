//! A run of failures of one grant or one exchange, and when the next attempt may be made.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokenward_protocol::backoff::Backoff;
use tokenward_protocol::duration::whole_ms;

/// Failures without a success in between. Kept in the record, so that every replica backs off together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Streak {
    /// When the run of failures of the last kind began, Unix ms.
    pub since_ms: u64,
    /// How many so far.
    pub count: u32,
    /// No attempt before this moment, Unix ms.
    pub next_attempt_at_ms: u64,
    /// What the last of them was.
    pub kind: StreakKind,
    /// How many in a row were of `kind`.
    pub same_kind: u32,
}

/// What a failure says about the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StreakKind {
    /// The issuer could not be reached, a gateway answered in its place, or it retry_after for time: nothing is known about the
    /// grant.
    Unreachable,
    /// The issuer itself answered that it failed (5xx with an OAuth error): waiting may help, or never.
    Failing,
    /// The issuer denied a subject that is fresh by our clock (its way to the home issuer may be down).
    Denied,
    /// An operator must mend something.
    Misconfigured,
    /// The issuer answered with somebody else's token.
    Substituted,
    /// Something answered without OAuth's words, and not as an overload or a gateway does: a page, a redirect, a 404 or
    /// 403 of a proxy in between. It passes, or it is a fault of a configuration: [`Streak::is_lasting`].
    NotOauth,
    /// [`StreakKind::Unreachable`], with the time that the issuer retry_after for (`Retry-After`).
    RetryAfter,
    /// The issuer carried the request out, and the token that it gave cannot be read or verified here.
    Unusable,
}

/// Longest waits after transient failures, before jitter. The cap is low so that a recovery is noticed soon.
const BACKOFF: Backoff = Backoff::new(1_000, 60_000);
/// Longest wait that an issuer's `Retry-After` may ask for.
pub const MAX_RETRY_AFTER_MS: u64 = 300_000;
/// Wait after a configuration fault.
const MISCONFIGURED_WAIT_MS: u64 = 30_000;
/// So many answers without OAuth's words, over so long, are a fault of a configuration: an ingress that is being replaced
/// answers 404 for a minute or two.
const LASTING_COUNT: u32 = 5;
const LASTING_MS: u64 = 300_000;
/// For people, while such answers come.
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
        (StreakKind::Misconfigured | StreakKind::Substituted | StreakKind::Unusable, _) => {
            MISCONFIGURED_WAIT_MS
        }
        (_, Some(retry_after)) => whole_ms(retry_after).clamp(BACKOFF.base_ms(), MAX_RETRY_AFTER_MS),
        (_, None) => {
            let ceiling_ms = longest_backoff_ms(count);
            // Full jitter above a floor: a wait of nothing would let 1,000 grants come back at once.
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

/// Whether `count` answers without OAuth's words over `span_ms` are more than a passing trouble.
#[must_use]
pub fn is_lasting(count: u32, span_ms: u64) -> bool {
    count >= LASTING_COUNT && span_ms >= LASTING_MS
}

/// The longest wait of a backoff after `count` failures.
fn longest_backoff_ms(count: u32) -> u64 {
    BACKOFF.wait_ms(count.saturating_sub(1))
}

impl Streak {
    /// Whether answers without OAuth's words have come for so long that an operator must look. Both moments were noted by
    /// those who made the attempts: the reader's clock has no part in it.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        let span_ms = self.next_attempt_at_ms.saturating_sub(self.since_ms);
        self.kind == StreakKind::NotOauth && is_lasting(self.same_kind, span_ms)
    }

    /// Time until the next attempt may be made; `None` when it may be made now. Each kind of failure has a longest wait:
    /// more than that is remaining only where the clock that noted it is ahead of the reader's, and such a note delays no caller.
    #[must_use]
    pub fn wait(&self, now_ms: u64) -> Option<Duration> {
        let longest_ms = match self.kind {
            StreakKind::Misconfigured | StreakKind::Substituted | StreakKind::Unusable => {
                MISCONFIGURED_WAIT_MS
            }
            StreakKind::Unreachable => longest_backoff_ms(self.count),
            StreakKind::RetryAfter | StreakKind::Failing | StreakKind::Denied | StreakKind::NotOauth => {
                MAX_RETRY_AFTER_MS
            }
        };
        remaining(self.next_attempt_at_ms, longest_ms, now_ms)
    }
}

/// Two clocks that differ by less than this are both right.
pub const CLOCK_SLACK_MS: u64 = 5_000;

/// What is remaining until `until_ms`, which was noted not longer than `longest_ms` ahead; `None`: nothing is remaining, or it was
/// noted by a clock that is ahead of this one.
#[must_use]
pub fn remaining(until_ms: u64, longest_ms: u64, now_ms: u64) -> Option<Duration> {
    let remaining_ms = until_ms.saturating_sub(now_ms);
    (remaining_ms > 0 && remaining_ms <= longest_ms.saturating_add(CLOCK_SLACK_MS))
        .then(|| Duration::from_millis(remaining_ms))
}

/// A uniform jitter; without randomness none, which only makes waits alike.
#[must_use]
pub fn jitter() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}
