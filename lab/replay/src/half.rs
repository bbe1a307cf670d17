//! What one column counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use tokenward_harness::issuer::IssuerCounts;

/// Counts of one column. Minutes and seconds are the incident's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Half {
    /// Requests that reached a server with a bearer past its `exp`.
    pub rejected_expired: usize,
    /// Requests that reached a server with a token that the gateway itself had signed.
    pub own_tokens: usize,
    /// 401 and 403 answered by servers, expired or not.
    pub server_errors: usize,
    /// The same in each minute.
    pub server_errors_per_minute: Vec<usize>,
    /// Requests that servers accepted.
    pub accepted: usize,
    /// Requests that the gateway refused in each minute.
    pub gateway_refusals_per_minute: Vec<usize>,
    /// Requests that the gateway refused.
    pub gateway_refusals: usize,
    /// The longest row of failures of one listener at the local server.
    pub local_failures_in_a_row: usize,
    /// Tool calls that failed though the user's grant was alive.
    pub failed_though_alive: usize,
    /// Users whose login was lost: at some time the issuer refused to refresh it, or its owner could not refresh it in the
    /// end, and the story had not ended it.
    pub logins_lost: usize,
    /// Requests that servers got in the style of MCP 2026-07-28: without a session, with a method header, listeners by
    /// `POST`.
    pub requests_of_2026: usize,
    /// Listeners' requests that failed though the user's grant was alive.
    pub listeners_failed_though_alive: usize,
    /// WARN lines: of the aggregator, one an attempt that failed, where there is no filter; of the filter, where there is.
    pub warn_lines_per_minute: Vec<usize>,
    /// The most of them about one pair in one minute.
    pub warn_per_pair_minute_max: usize,
    /// The aggregator's own lines: one an attempt that failed, as its client library writes them.
    pub aggregator_lines: usize,
    /// The filter's lines.
    pub filter_lines: Lines,
    /// Control's lines.
    pub control_lines: Lines,
    /// Calls from the gateway to control.
    pub control_calls: usize,
    /// Calls to both issuers.
    pub issuer_calls: IssuerCalls,
    /// The listeners of the user with the dead grant.
    pub storm: Storm,
    /// By user: seconds from the new login until every server had answered; `None` is never.
    pub recovery_seconds: BTreeMap<String, Option<f64>>,
}

/// Lines by level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Lines {
    pub error: usize,
    pub warn: usize,
    pub info: usize,
    pub debug: usize,
}

impl Lines {
    pub(super) fn add(&mut self, more: Self) {
        self.error += more.error;
        self.warn += more.warn;
        self.info += more.info;
        self.debug += more.debug;
    }
}

/// Calls to the issuers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerCalls {
    /// Logins of the users.
    pub logins: usize,
    /// Refresh tokens presented.
    pub refreshes: usize,
    /// Exchanges requested.
    pub exchanges: usize,
    /// Keys, discovery, userinfo and introspection.
    pub other: usize,
}

impl IssuerCalls {
    pub(super) fn of(home: &IssuerCounts, remote: &IssuerCounts) -> Self {
        let other = |counts: &IssuerCounts| {
            counts.key_fetches + counts.discovery_fetches + counts.user_info_requests + counts.introspections
        };
        Self {
            logins: home.logins + remote.logins,
            refreshes: home.refreshes_presented + remote.refreshes_presented,
            exchanges: home.exchanges_presented + remote.exchanges_presented,
            other: other(home) + other(remote),
        }
    }
}

/// Requests of the user with the dead grant, from the restart to the new login.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storm {
    /// All.
    pub requests: usize,
    /// Refused by the gateway.
    pub refused: usize,
    /// Answered by a server, or not answered.
    pub passed_on: usize,
}
