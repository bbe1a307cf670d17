//! The `gate` of the configuration.

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::json::Json;

use super::error::BadConfig;
use super::fields::{Fields, LONGEST_SECONDS};

/// How long the gate stays closed, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct GateTimes {
    /// First closing after a transient failure.
    pub transient_first_ms: u64,
    /// Longest closing after transient failures.
    pub transient_longest_ms: u64,
    /// First closing when a login is needed.
    pub login_first_ms: u64,
    /// Longest closing when a login is needed.
    pub login_longest_ms: u64,
    /// Closing when an operator must fix something.
    pub misconfigured_ms: u64,
}

pub(super) fn gate_times(json: Json<'_>) -> Result<GateTimes, BadConfig> {
    let mut fields = Fields::of(json, "gate")?;
    let times = GateTimes {
        transient_first_ms: whole_ms(fields.span("transient_first", "1s", LONGEST_SECONDS)?),
        transient_longest_ms: whole_ms(fields.span("transient_longest", "60s", LONGEST_SECONDS)?),
        login_first_ms: whole_ms(fields.span("login_first", "5s", LONGEST_SECONDS)?),
        login_longest_ms: whole_ms(fields.span("login_longest", "30s", LONGEST_SECONDS)?),
        misconfigured_ms: whole_ms(fields.span("misconfigured", "5m", LONGEST_SECONDS)?),
    };
    fields.end()?;
    Ok(times)
}
