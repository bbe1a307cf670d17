//! What happened in a world so far, in numbers.

use serde::Serialize;

use super::World;
use crate::issuer::Issuer;

/// Counts of a world, to be shown and kept as JSON.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Tally {
    /// Requests that reached an MCP server with a bearer past its `exp`. Must be 0.
    pub rejected_expired: usize,
    /// Requests that reached an MCP server with another unusable bearer.
    pub rejected_other: usize,
    /// Requests that an MCP server accepted.
    pub accepted: usize,
    /// Refreshes presented to the home issuer.
    pub refreshes: usize,
    /// Exchanges presented to the remote issuer.
    pub exchanges: usize,
    /// WARN lines of the filter.
    pub warnings: usize,
    /// INFO lines of the filter.
    pub recoveries: usize,
}

impl<I: Issuer> World<I> {
    /// Counts so far.
    pub fn tally(&self) -> Tally {
        let servers = || self.servers.values().map(|server| server.counts());
        let lines = self.envoy.wasm_lines();
        let at = |level: &str| lines.iter().filter(|line| line.level == level).count();
        Tally {
            rejected_expired: servers().map(|counts| counts.rejected_expired).sum(),
            rejected_other: servers().map(|counts| counts.rejected_other).sum(),
            accepted: servers().map(|counts| counts.accepted).sum(),
            refreshes: self.home.counts().refreshes_presented,
            exchanges: self.remote.counts().exchanges_presented,
            warnings: at("warning"),
            recoveries: at("info"),
        }
    }
}
