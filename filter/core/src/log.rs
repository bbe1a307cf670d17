//! The log lines that operators read: their levels and texts.

use tokenward_protocol::refusal::Refusal;

use crate::identity::PairKey;

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For following one request.
    Debug,
    /// A state changed for the better.
    Info,
    /// Somebody should know.
    Warn,
}

/// What to write about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalLine {
    /// WARN or DEBUG.
    pub level: Level,
    /// Refusals since the last WARN that were not logged above DEBUG; said with a WARN.
    pub suppressed: u32,
    /// Refusals in a row since the last success, these included.
    pub in_a_row: u32,
}

impl RefusalLine {
    /// When the pair's memory could not be reached: nothing is said above DEBUG.
    pub const QUIET: Self = Self {
        level: Level::Debug,
        suppressed: 0,
        in_a_row: 0,
    };
}

/// What to write about a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryLine {
    /// The last refusal.
    pub refusal: Option<Refusal>,
    /// Refusals since the last WARN that were not logged above DEBUG.
    pub suppressed: u32,
}

/// The log line of one or more refusals that were decided together.
#[must_use]
pub fn refusal_line(
    refusal: Refusal,
    server: &str,
    pair: &PairKey,
    requests: u32,
    line: RefusalLine,
) -> String {
    format!(
        "refused server={server} pair={} refusal={} status={} requests={requests} suppressed={}: {}",
        pair.short(),
        refusal.name(),
        refusal.client_status(),
        line.suppressed,
        refusal.description(),
    )
}

/// The log line of a recovery.
#[must_use]
pub fn recovery_line(server: &str, pair: &PairKey, line: RecoveryLine) -> String {
    let after = line.refusal.map_or("unknown", Refusal::name);
    format!(
        "recovered server={server} pair={} after={after} suppressed={}",
        pair.short(),
        line.suppressed
    )
}
