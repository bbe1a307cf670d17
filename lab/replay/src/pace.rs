//! How fast the incident is replayed.

use std::time::Duration;

use serde_json::json;

use super::Column;
use tokenward_harness::world::{Store, World, WorldBuilder};

/// ID tokens and exchanged tokens lived this long, minutes of the incident.
const TOKENS_LIVE_MINUTES: u32 = 30;
/// The gateway in front of the servers ended a silent event stream after this long, minutes of the incident.
const STREAMS_LAST_MINUTES: u32 = 5;
/// An unmodified aggregator refreshes a token that lives no longer than this, minutes of the incident.
const REFRESHED_BEFORE_EXPIRY_MINUTES: u32 = 5;
/// A login that control has only learned from the relay proves itself so long after its token's expiry, minutes of the
/// incident: control's default.
const LEARNED_GRACE_MINUTES: u32 = 60;
/// Envoy's workers.
const WORKERS: usize = 2;

/// The size of the replay and of its minute. "Minute" and "second" below are the incident's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long a minute takes.
    pub minute: Duration,
    /// How long a listener waits before it tries again: a second.
    pub retry: Duration,
    /// Remote servers.
    pub remotes: usize,
    /// By how much the machine may be late without breaking a promise: added to the margin and to the throttle of WARN.
    pub slack: Duration,
}

impl Pace {
    /// The whole incident, a minute in a second.
    pub fn incident() -> Self {
        Self {
            minute: Duration::from_secs(1),
            retry: Duration::from_secs(1) / 60,
            remotes: 16,
            slack: Duration::ZERO,
        }
    }

    /// The same story, small and more than three times as fast, with listeners that are not as hasty, for a machine
    /// that is busy with other tests.
    pub fn short() -> Self {
        Self {
            minute: Duration::from_millis(300),
            retry: Duration::from_millis(40),
            remotes: 2,
            slack: Duration::from_secs(1),
        }
    }

    /// How many times faster than it was.
    pub fn compression(self) -> f64 {
        60.0 / self.minute.as_secs_f64()
    }

    /// So many minutes.
    pub(super) fn minutes(self, count: f64) -> Duration {
        self.minute.mul_f64(count)
    }

    /// In which minute something happened.
    pub(super) fn minute_of(self, since_begin: Duration) -> usize {
        usize::try_from(since_begin.as_nanos() / self.minute.as_nanos()).unwrap_or(usize::MAX)
    }

    /// A span of the replay in the incident's seconds, rounded to tenths.
    pub(super) fn seconds_of(self, span: Duration) -> f64 {
        (span.as_secs_f64() * self.compression() * 10.0).round() / 10.0
    }

    /// How long a listener's stream stays open.
    pub(super) fn streams_last(self) -> Duration {
        self.minute * STREAMS_LAST_MINUTES
    }

    /// How long before its expiry an aggregator that refreshes by itself does so: before the filter counts it as stale.
    pub(super) fn refreshed_before_expiry(self) -> Duration {
        self.minute * REFRESHED_BEFORE_EXPIRY_MINUTES + self.slack
    }

    /// The world in which it happens.
    ///
    /// Whatever the filter and control measure in seconds of the incident is compressed, but for the margin: the way
    /// from the gateway to a server takes as long as ever.
    pub fn stage(self, column: Column) -> WorldBuilder {
        let tokens_live = self.minute * TOKENS_LIVE_MINUTES;
        let margin = tokens_live / 15 + self.slack;
        let refresh_ahead = margin.max(tokens_live / 15 * 2);
        let in_ms = |span: Duration| format!("{}ms", span.as_millis().max(1));
        let gate = json!({
            "transient_first": in_ms(self.minute / 60), "transient_longest": in_ms(self.minute),
            "login_first": in_ms(self.minute / 12), "login_longest": in_ms(self.minute / 2),
        });
        let world = World::builder()
            .workers(WORKERS)
            .remotes(self.remotes)
            .clients_of_their_own()
            .store(Store::Valkey)
            .tokens_live(tokens_live, tokens_live)
            .filter_setting("margin", in_ms(margin))
            .filter_setting("refresh_ahead", in_ms(refresh_ahead))
            .filter_setting("warn_every", in_ms(self.minute + self.slack))
            .filter_setting("gate", gate)
            .control_setting("margin", in_ms(margin));
        match column {
            Column::Off => world.filter_off(),
            Column::On | Column::Unregistered => world,
            Column::Relay => {
                let grace = in_ms(self.minute * LEARNED_GRACE_MINUTES);
                world.relay(json!({"stale_subject_grace": grace}))
            }
        }
    }
}
