//! What happened in a world so far, in numbers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;

use super::World;
use crate::issuer::Issuer;

/// How long Envoy's log may lag behind its answers on a busy machine.
const LOG_LAG: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// `warn_every` of the filter.
const WARN_EVERY_SECONDS: u64 = 60;

/// Counts of a world, to be shown and stored as JSON.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Tally {
    /// Requests that reached an MCP server with a bearer past its `exp`. Must be 0.
    pub rejected_expired: usize,
    /// Requests that reached an MCP server with a token that the gateway itself signed. Must be 0.
    pub own_tokens: usize,
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
            own_tokens: servers().map(|counts| counts.own_tokens).sum(),
            rejected_other: servers().map(|counts| counts.rejected_other).sum(),
            accepted: servers().map(|counts| counts.accepted).sum(),
            refreshes: self.home.counts().refreshes_presented,
            exchanges: self.remote.counts().exchanges_presented,
            warnings: at("warning"),
            recoveries: at("info"),
        }
    }

    /// [`World::tally`] once it satisfies `predicate`: a line is read a little after the answer that it is about.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub async fn tally_when(&self, predicate: impl Fn(&Tally) -> bool) -> anyhow::Result<Tally> {
        let limit = Instant::now() + LOG_LAG;
        loop {
            let tally = self.tally();
            if predicate(&tally) {
                return Ok(tally);
            }
            ensure!(
                Instant::now() < limit,
                "{tally:?}\n{:#?}",
                self.envoy.wasm_lines()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// WARN lines of the filter by pair of session and server; a line without a pair goes by its whole text.
    pub fn warnings_per_pair(&self) -> BTreeMap<String, usize> {
        let mut warnings = BTreeMap::new();
        let lines = self.envoy.wasm_lines();
        for line in lines.iter().filter(|line| line.level == "warning") {
            let pair = line.field("pair").unwrap_or(&line.message).to_owned();
            *warnings.entry(pair).or_default() += 1;
        }
        warnings
    }

    /// The filter has warned of exactly so many pairs, and of each at most once in a minute.
    ///
    /// # Errors
    /// When it has not.
    pub async fn ensure_one_warning_per_pair_and_minute(&self, pairs: usize) -> anyhow::Result<()> {
        self.tally_when(|tally| tally.warnings >= pairs).await?;
        let warned = self.warnings_per_pair();
        let minutes = 1 + usize::try_from(self.began.elapsed().as_secs() / WARN_EVERY_SECONDS)?;
        ensure!(
            warned.len() == pairs && warned.values().all(|count| *count <= minutes),
            "{} pairs instead of {pairs} in {minutes} minutes: {:#?}",
            warned.len(),
            self.envoy.wasm_lines()
        );
        Ok(())
    }
}
