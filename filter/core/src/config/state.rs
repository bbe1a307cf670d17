//! The `state` of the configuration: the filter learns its servers and the sign-outs from control.

use tokenward_protocol::duration::whole_ms;

use super::error::BadConfig;
use super::fields::Fields;

/// Longest time between two polls, seconds.
const LONGEST_POLL_SECONDS: u64 = 60;
/// Shortest time between two polls, milliseconds.
const SHORTEST_POLL_MS: u64 = 1_000;

/// How the filter stays in step with control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSettings {
    /// Time between two polls of the whole Envoy, milliseconds.
    pub poll_every_ms: u64,
}

/// Reads `state`; `None` when it is missing.
pub(super) fn state(fields: &mut Fields<'_>) -> Result<Option<StateSettings>, BadConfig> {
    let Some(json) = fields.take("state") else {
        return Ok(None);
    };
    let mut fields = Fields::of(json, "state")?;
    let poll_every_ms = whole_ms(fields.span("poll_every", "2s", LONGEST_POLL_SECONDS)?);
    if poll_every_ms < SHORTEST_POLL_MS {
        return Err(fields.fault("poll_every", "must be at least 1s"));
    }
    fields.end()?;
    Ok(Some(StateSettings { poll_every_ms }))
}
