//! The log lines that operators read: levels and texts.

use tokenward_protocol::refusal::Refusal;

use crate::identity::PairKey;
use crate::mcp_method::McpMethod;

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For following one request.
    Debug,
    /// A state changed for the better.
    Info,
    /// An operator or a user has to act.
    Warn,
}

/// Requests of one pair that are refused together, for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    /// The reason.
    pub refusal: Refusal,
    /// What the first of them was for.
    pub mcp_method: McpMethod,
    /// How many requests.
    pub requests: u32,
    /// Whether they may write a WARN. Refusals from the gate's memory repeat an earlier one and may not.
    pub may_warn: bool,
}

impl Refusals {
    /// One request, refused for a reason that is judged now.
    #[must_use]
    pub fn one(refusal: Refusal, mcp_method: McpMethod) -> Self {
        Self {
            refusal,
            mcp_method,
            requests: 1,
            may_warn: true,
        }
    }

    /// This many requests, refused from the gate's memory.
    #[must_use]
    pub fn from_memory(refusal: Refusal, mcp_method: McpMethod, requests: u32) -> Self {
        Self {
            refusal,
            mcp_method,
            requests,
            may_warn: false,
        }
    }
}

/// What to log about refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalLine {
    /// WARN or DEBUG.
    pub level: Level,
    /// Refusals since the last WARN that were not logged above DEBUG; a WARN prints it.
    pub suppressed: u32,
    /// Refusals in a row since the last success, these included.
    pub in_a_row: u32,
}

impl RefusalLine {
    /// For a pair whose record cannot be reached: nothing above DEBUG.
    pub const QUIET: Self = Self {
        level: Level::Debug,
        suppressed: 0,
        in_a_row: 0,
    };

    /// The text for `refusals` of a pair at a server.
    #[must_use]
    pub fn text(self, server: &str, pair: &PairKey, refusals: Refusals) -> String {
        let Refusals {
            refusal, requests, ..
        } = refusals;
        format!(
            "refused server={server} pair={} mcp_method={} refusal={} status={} requests={requests} suppressed={}: {}",
            pair.short(),
            refusals.mcp_method.name(),
            refusal.name(),
            refusal.client_status(),
            self.suppressed,
            refusal.description(),
        )
    }
}

/// What to log about a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryLine {
    /// The last refusal before it.
    pub refusal: Option<Refusal>,
    /// Refusals since the last WARN that were not logged above DEBUG.
    pub suppressed: u32,
}

impl RecoveryLine {
    /// The text for a pair at a server; `mcp_method` is the one of the request that worked.
    #[must_use]
    pub fn text(self, server: &str, pair: &PairKey, mcp_method: McpMethod) -> String {
        let after = self.refusal.map_or("unknown", Refusal::name);
        format!(
            "recovered server={server} pair={} mcp_method={} after={after} suppressed={}",
            pair.short(),
            mcp_method.name(),
            self.suppressed
        )
    }
}
