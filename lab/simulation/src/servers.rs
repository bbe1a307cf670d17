//! The MCP servers: as control publishes them to the filters, and how they judge the tokens that reach them.

use crate::count::{Count, Tally};
use crate::options::Options;
use crate::random::{mix_two, scaled};
use crate::token::{HOME_AUDIENCE, HOME_ISSUER, Kind, OWN_ISSUER, REMOTE_ISSUER, Stamp, resource_of};

/// One server in so many learns a new key late: between one minute and five after the first token that it signs.
const LATE_LEARNERS: u16 = 5;
const LATE_MS: u64 = 60_000;
const LATER_MS: u64 = 240_000;

/// What servers know and require.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    exchanging: Vec<bool>,
    /// When each accepts the home issuer's second key, Unix ms.
    learns_ms: Vec<u64>,
    paths: Vec<String>,
}

impl Servers {
    /// The servers of a run.
    pub(crate) fn new(options: &Options) -> Self {
        let all = 0..options.servers;
        let learns_ms = |server: u16| {
            // Not one of those that get exchanged tokens.
            let is_late = server % LATE_LEARNERS == LATE_LEARNERS - 2;
            let chance = mix_two(options.seed, u64::from(server));
            let delay_ms = match is_late {
                true => LATE_MS + scaled(chance, LATER_MS),
                false => 0,
            };
            options
                .rotation_ms()
                .map_or(0, |rotation_ms| rotation_ms + delay_ms)
        };
        Self {
            exchanging: all.clone().map(|server| options.is_exchanging(server)).collect(),
            learns_ms: all.clone().map(learns_ms).collect(),
            paths: all.map(|server| format!("/s{server}/mcp")).collect(),
        }
    }

    /// The path of a server's endpoint.
    pub(crate) fn path(&self, server: u16) -> &str {
        &self.paths[usize::from(server)]
    }

    /// The list in the form in which control publishes it.
    pub(crate) fn published(&self) -> String {
        let server = |number: usize| {
            let resource = resource_of(u16::try_from(number).unwrap_or(u16::MAX));
            let auth = if self.exchanging[number] {
                format!(
                    r#"{{"kind":"exchange","issuer":"{REMOTE_ISSUER}","required_audiences":["r{number}"],"subject_issuer":"{HOME_ISSUER}"}}"#
                )
            } else {
                format!(
                    r#"{{"kind":"forward","issuer":"{HOME_ISSUER}","required_audiences":["{HOME_AUDIENCE}"]}}"#
                )
            };
            format!(
                r#"{{"name":"s{number}","path_prefix":"/s{number}/mcp","resource":"{resource}","auth":{auth}}}"#
            )
        };
        let all: Vec<String> = (0..self.exchanging.len()).map(server).collect();
        format!(
            r#"{{"authorization_server":{{"issuer":"{OWN_ISSUER}","scope":"mcp"}},"servers":[{}]}}"#,
            all.join(",")
        )
    }

    /// The status with which a server answers a request of `user` with this token. Broken promises are counted.
    pub(crate) fn judge(&self, server: u16, user: u32, stamp: &Stamp, now_ms: u64, tally: &Tally) -> u16 {
        let at = usize::from(server);
        if stamp.kind == Kind::Own {
            tally.one(Count::BrokenOwnToken);
            return 401;
        }
        if u64::from(stamp.exp_seconds) * 1000 <= now_ms {
            tally.one(Count::BrokenPastExp);
            return 401;
        }
        let is_exchanged = stamp.kind == Kind::Exchanged;
        if stamp.user != user
            || is_exchanged != self.exchanging[at]
            || (is_exchanged && stamp.server != server)
        {
            tally.one(Count::BrokenOtherToken);
            return 401;
        }
        if stamp.key > 0 && now_ms < self.learns_ms[at] {
            tally.one(Count::ServerRejected);
            return 401;
        }
        tally.one(Count::ServerAccepted);
        200
    }
}
