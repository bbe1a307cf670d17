//! What is measured: the called service, the number of concurrent callers, and how a subject names its session.

use anyhow::ensure;

#[cfg(test)]
mod tests;

/// One lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    /// Its name in table, JSON and `--only`.
    pub(super) name: &'static str,
    /// The raw GETs of as many callers.
    pub(super) base: &'static str,
    /// The called service.
    pub(super) target: Target,
    /// One caller, or as many as `--connections` states.
    pub(super) one_caller: bool,
    /// Whether the request names the aggregator's session; otherwise the subject token leads to the grant.
    pub(super) with_session: bool,
}

/// The service that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Valkey itself.
    Raw,
    /// One control service on Valkey.
    Valkey,
    /// One control service on the Valkey that reads it for each request.
    Uncached,
    /// One control service on its file.
    Embedded,
    /// Three control services on the Valkey.
    Replicas,
}

const RAW: Lane = Lane {
    name: "raw_get",
    base: "raw_get",
    target: Target::Raw,
    one_caller: false,
    with_session: false,
};

const ONE: Lane = Lane {
    name: "raw_get_one",
    base: "raw_get_one",
    one_caller: true,
    ..RAW
};

/// So many of [`LANES`], the first ones, are what others are compared with.
const COMPARED_WITH: usize = 2;

/// All of them.
pub(super) const LANES: [Lane; 11] = [
    ONE,
    RAW,
    Lane {
        name: "valkey_one",
        target: Target::Valkey,
        ..ONE
    },
    Lane {
        name: "valkey_session_one",
        target: Target::Valkey,
        with_session: true,
        ..ONE
    },
    Lane {
        name: "valkey",
        target: Target::Valkey,
        ..RAW
    },
    Lane {
        name: "valkey_session",
        target: Target::Valkey,
        with_session: true,
        ..RAW
    },
    Lane {
        name: "valkey_uncached_one",
        target: Target::Uncached,
        ..ONE
    },
    Lane {
        name: "valkey_uncached",
        target: Target::Uncached,
        ..RAW
    },
    Lane {
        name: "embedded",
        target: Target::Embedded,
        ..RAW
    },
    Lane {
        name: "embedded_session",
        target: Target::Embedded,
        with_session: true,
        ..RAW
    },
    Lane {
        name: "replicas",
        target: Target::Replicas,
        ..RAW
    },
];

/// The benchmark's other parts, for `--only`.
pub(super) const STORM: &str = "refresh_storm";
/// Tokens that control has never seen.
pub(super) const FIRST: &str = "valkey_first";
/// Refreshes of MCP clients at the authorization server.
pub(super) const LOGIN: &str = "login";
/// Sizes of the store.
pub(super) const SIZES: &str = "sizes";

impl Lane {
    /// Records that each request needs of the Valkey.
    fn records_per_request(&self) -> u64 {
        match self.target {
            Target::Raw => 1,
            Target::Embedded => 0,
            Target::Valkey | Target::Uncached | Target::Replicas => 1 + u64::from(self.with_session),
        }
    }

    /// Whether a record may be one that was read for a request before.
    fn may_be_recent(&self) -> bool {
        matches!(self.target, Target::Valkey | Target::Replicas)
    }

    /// Whether so many requests did what this lane's name states, each of them.
    ///
    /// # Errors
    /// When a count differs: what was measured was something else.
    pub(super) fn check(&self, requests: u64, counted: Counts) -> anyhow::Result<()> {
        let records = requests * self.records_per_request();
        let expected = Counts {
            tokens: if self.target == Target::Raw { 0 } else { requests },
            refused: 0,
            refreshes: 0,
            commands: if self.may_be_recent() {
                counted.commands
            } else {
                records
            },
            recent: if self.may_be_recent() { counted.recent } else { 0 },
        };
        // A request that finds one of two records of before reads both.
        let has_read_all = counted.commands <= records && counted.commands + counted.recent >= records;
        ensure!(
            counted == expected && has_read_all,
            "{}: {requests} requests, {counted:?} instead of {expected:?}",
            self.name
        );
        Ok(())
    }
}

/// What is counted around every measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tokens that control handed out.
    pub(super) tokens: u64,
    /// Questions that control refused.
    pub(super) refused: u64,
    /// Refresh tokens presented at the issuer.
    pub(super) refreshes: u64,
    /// Commands that Valkey ran.
    pub(super) commands: u64,
    /// Records that control used as it had read them a moment ago.
    pub(super) recent: u64,
}

impl Counts {
    /// What came since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            tokens: self.tokens - before.tokens,
            refused: self.refused - before.refused,
            refreshes: self.refreshes - before.refreshes,
            commands: self.commands - before.commands,
            recent: self.recent - before.recent,
        }
    }
}

/// The lanes that `only` names, and what they are compared with; all when it is empty.
pub(super) fn chosen(only: &[String]) -> Vec<Lane> {
    let chosen = LANES.iter().enumerate();
    chosen
        .filter(|(number, lane)| *number < COMPARED_WITH || wants(only, lane.name))
        .map(|(_, lane)| *lane)
        .collect()
}

/// Whether `only` selects `name`.
pub(super) fn wants(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == name)
}
