//! All columns side by side, and which promises were met.

use serde::{Deserialize, Serialize};

use super::{Half, Pace, table};
use tokenward_demo::{Bound, Promise, Screen};
use tokenward_harness::issuer::Issuer;

#[cfg(test)]
mod tests;

/// Without a storm in the half without the filter there would be nothing to compare with.
const LEAST_STORM: usize = 100;

/// What a replay counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// How many times faster than it was.
    pub compression: f64,
    /// Local and remote servers.
    pub servers: usize,
    /// What the issuers were.
    pub issuers: String,
    /// As it was.
    pub off: Half,
    /// With the filter.
    pub on: Half,
    /// With the filter, and an unmodified aggregator that registers nothing.
    pub unregistered: Half,
    /// The same aggregator, behind a relay.
    pub relay: Half,
}

impl Replay {
    /// Puts the columns together, in the order of [`super::Column::ALL`].
    pub fn new<I: Issuer>(pace: Pace, [off, on, unregistered, relay]: [Half; 4]) -> Self {
        Self {
            compression: pace.compression(),
            servers: pace.remotes + 1,
            issuers: I::KIND.to_owned(),
            off,
            on,
            unregistered,
            relay,
        }
    }

    /// What the replay promises, and what was found.
    pub fn promises(&self) -> Vec<Promise> {
        let (off, on) = (&self.off, &self.on);
        let recovered = |half: &Half| {
            half.recovery_seconds
                .values()
                .filter(|time| time.is_some())
                .count()
        };
        let none = Bound::Exactly(0);
        let promises = [
            (
                "off: requests that reached a server with an expired token",
                Bound::AtLeast(LEAST_STORM),
                off.rejected_expired,
            ),
            (
                "off: tool calls that failed though the grant was alive",
                Bound::AtLeast(1),
                off.failed_though_alive,
            ),
            (
                "on: requests that reached a server with an expired token",
                none,
                on.rejected_expired,
            ),
            (
                "all: requests that reached a server with a token of the gateway's own",
                none,
                [off, on, &self.unregistered, &self.relay]
                    .iter()
                    .map(|half| half.own_tokens)
                    .sum(),
            ),
            ("on: 401 and 403 by servers", none, on.server_errors),
            (
                "on: tool calls that failed though the grant was alive",
                none,
                on.failed_though_alive,
            ),
            (
                "on: listeners' requests that failed though the grant was alive",
                none,
                on.listeners_failed_though_alive,
            ),
            (
                "on: WARN lines of the loudest pair in a minute",
                Bound::AtMost(1),
                on.warn_per_pair_minute_max,
            ),
            (
                "on: requests of the storm",
                Bound::AtLeast(LEAST_STORM.min(self.servers * 20)),
                on.storm.requests,
            ),
            (
                "on: requests of the storm that went on to a server",
                none,
                on.storm.passed_on,
            ),
            ("on: users that recovered", Bound::Exactly(2), recovered(on)),
        ];
        promises
            .into_iter()
            .chain(self.promises_without_registration())
            .map(|(counted, must_be, found)| Promise {
                counted: counted.to_owned(),
                must_be,
                found,
                met: must_be.holds(found),
            })
            .collect()
    }

    /// The same for the aggregator that registers nothing.
    fn promises_without_registration(&self) -> [(&'static str, Bound, usize); 10] {
        let (alone, relay) = (&self.unregistered, &self.relay);
        let (none, once, some) = (Bound::Exactly(0), Bound::AtMost(1), Bound::AtLeast(1));
        [
            (
                "unregistered: requests that reached a server with an expired token",
                none,
                alone.rejected_expired,
            ),
            (
                "unregistered: WARN lines of the loudest pair in a minute",
                once,
                alone.warn_per_pair_minute_max,
            ),
            (
                "unregistered: requests that servers accepted",
                some,
                alone.accepted,
            ),
            ("unregistered: logins that were lost", none, alone.logins_lost),
            (
                "relay: requests that reached a server with an expired token",
                none,
                relay.rejected_expired,
            ),
            (
                "relay: tool calls that failed though the grant was alive",
                none,
                relay.failed_though_alive,
            ),
            (
                "relay: listeners' requests that failed though the grant was alive",
                none,
                relay.listeners_failed_though_alive,
            ),
            ("relay: logins that were lost", none, relay.logins_lost),
            (
                "relay: WARN lines of the loudest pair in a minute",
                once,
                relay.warn_per_pair_minute_max,
            ),
            (
                "relay: requests that servers got in the style of MCP 2026-07-28",
                some,
                relay.requests_of_2026,
            ),
        ]
    }

    /// The broken promises, one sentence each; empty when all is well.
    pub fn broken(&self) -> Vec<String> {
        let broken = self.promises().into_iter().filter(|promise| !promise.met);
        broken
            .map(|promise| {
                format!(
                    "{} must be {}, was {}",
                    promise.counted, promise.must_be, promise.found
                )
            })
            .collect()
    }

    /// Shows the counts and the promises.
    pub fn print(&self, screen: &Screen) {
        screen.line("");
        // A terminal has room for two columns of counts.
        for columns in [&table::COLUMNS[..2], &table::COLUMNS[2..]] {
            screen.table(&table::head(columns), &table::rows(self, columns));
            screen.line("");
        }
        for promise in self.promises() {
            screen.promise(&promise);
        }
        let (all, broken) = (self.promises().len(), self.broken().len());
        let text = format!("{} of {all} promises met", all - broken);
        screen.verdict(broken == 0, &text);
    }
}
