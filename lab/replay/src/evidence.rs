//! What a half is made of, and the counts that are read from it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::book::{Attempt, Kind};
use super::half::Storm;
use super::log_lines::{self, Warning};
use super::{Column, Pace};

/// A filter's line is written some milliseconds after the moment at which the filter judged it to be due.
const THROTTLE_WINDOW_MINUTES: f64 = 0.95;
/// The throttle is longer by the slack, and a machine that needs slack writes its lines later still.
const THROTTLE_WINDOW_SLACK: f64 = 0.75;

/// What a half is made of.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) pace: Pace,
    pub(super) column: Column,
    pub(super) attempts: Vec<Attempt>,
    /// Lines of Envoy's log up to each minute's end.
    pub(super) minutes: Vec<usize>,
    pub(super) envoy_log: Vec<String>,
    /// When the pods were back.
    pub(super) restarted: Duration,
    pub(super) logins: BTreeMap<&'static str, Duration>,
    pub(super) servers: Vec<String>,
    pub(super) local: String,
}

impl Evidence {
    fn warnings(&self) -> Vec<Warning> {
        if self.column.filter_on() {
            return log_lines::warnings_of_filter(&self.envoy_log);
        }
        let failed = self.attempts.iter().filter(|attempt| !attempt.succeeded());
        failed
            .map(|attempt| Warning {
                pair: format!("{} {}", attempt.user, attempt.server),
                at: attempt.at,
            })
            .collect()
    }

    pub(super) fn warn_per_pair_minute_max(&self) -> usize {
        let window =
            self.pace.minutes(THROTTLE_WINDOW_MINUTES) + self.pace.slack.mul_f64(THROTTLE_WINDOW_SLACK);
        log_lines::most_per_pair(&self.warnings(), window)
    }

    pub(super) fn failed_though_alive(&self, kind: Kind) -> usize {
        self.count(|attempt| attempt.kind == kind && attempt.alive && !attempt.succeeded())
    }

    pub(super) fn count(&self, chosen: impl Fn(&Attempt) -> bool) -> usize {
        self.attempts.iter().filter(|attempt| chosen(attempt)).count()
    }

    /// How many of these attempts were answered in each minute.
    pub(super) fn per_minute(&self, chosen: impl Fn(&Attempt) -> bool) -> Vec<usize> {
        let mut minutes = vec![0; self.minutes.len()];
        for attempt in self.attempts.iter().filter(|attempt| chosen(attempt)) {
            if let Some(count) = minutes.get_mut(self.pace.minute_of(attempt.at)) {
                *count += 1;
            }
        }
        minutes
    }

    pub(super) fn server_errors_per_minute(&self) -> Vec<usize> {
        self.per_minute(|attempt| matches!(attempt.status, 401 | 403) && !attempt.by_gateway)
    }

    pub(super) fn warn_lines_per_minute(&self) -> Vec<usize> {
        if !self.column.filter_on() {
            return self.per_minute(|attempt| !attempt.succeeded());
        }
        let ends = self.minutes.iter().copied();
        let before = std::iter::once(0).chain(ends.clone());
        let lines = before
            .zip(ends)
            .map(|(before, end)| self.envoy_log.get(before..end));
        lines
            .map(|lines| log_lines::of_filter(lines.unwrap_or_default()).warn)
            .collect()
    }

    pub(super) fn local_failures_in_a_row(&self) -> usize {
        let (mut most, mut rows) = (0, BTreeMap::<&str, usize>::new());
        let local = |attempt: &&Attempt| attempt.server == self.local && attempt.kind == Kind::Listener;
        for attempt in self.attempts.iter().filter(local) {
            let row = rows.entry(attempt.user).or_default();
            *row = if attempt.succeeded() { 0 } else { *row + 1 };
            most = most.max(*row);
        }
        most
    }

    pub(super) fn storm(&self, user: &str) -> Storm {
        let until = self.logins.get(user).copied().unwrap_or(Duration::MAX);
        let in_storm = |attempt: &Attempt| {
            attempt.user == user && !attempt.alive && (self.restarted..until).contains(&attempt.at)
        };
        let requests = self.count(in_storm);
        let refused = self.count(|attempt| in_storm(attempt) && attempt.by_gateway);
        Storm {
            requests,
            refused,
            passed_on: requests - refused,
        }
    }

    pub(super) fn recovery_seconds(&self) -> BTreeMap<String, Option<f64>> {
        let first_success = |user: &str, server: &str, since: Duration| {
            let mut later = self.attempts.iter().filter(|attempt| {
                attempt.user == user && attempt.server == server && attempt.at >= since && attempt.succeeded()
            });
            later.next().map(|attempt| attempt.at - since)
        };
        let recovery = |user: &str, since: Duration| {
            let answered = self
                .servers
                .iter()
                .map(|server| first_success(user, server, since));
            let slowest = answered.collect::<Option<Vec<_>>>()?.into_iter().max()?;
            Some(self.pace.seconds_of(slowest))
        };
        let logins = self.logins.iter();
        logins
            .map(|(user, since)| ((*user).to_owned(), recovery(user, *since)))
            .collect()
    }
}
