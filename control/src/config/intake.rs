//! `intake`: limits on the duration, number and bytes of connections and requests.

use std::time::Duration;

use super::findings::Findings;
use super::raw::RawIntake;
use crate::yaml::Spanned;

/// Limits on connections and requests: a slow or greedy client occupies one slot for a while and nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeConfig {
    /// From a connection's acceptance, or the first byte of a later request, to the request's last byte.
    pub deadline: Duration,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// Concurrent connections. At this number, a new connection evicts the one that has been idle longest; where none is
    /// idle, the new one gets 503 at once.
    pub connections: u32,
    /// Bytes that all requests in progress may hold together. Callers without a credential share an eighth of it.
    pub bytes: usize,
}

/// Below this, the largest request without a credential would not fit.
const MIN_BYTES: usize = 2 * 1024 * 1024;

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            keep_alive: Duration::from_secs(600),
            connections: 1024,
            bytes: 64 * 1024 * 1024,
        }
    }
}

pub(super) fn intake(findings: &mut Findings, raw: Option<&Spanned<RawIntake>>) -> IntakeConfig {
    let default = IntakeConfig::default();
    let Some(raw) = raw else { return default };
    let deadline =
        findings.positive_duration("intake.deadline", raw.value.deadline.as_ref(), default.deadline);
    let keep_alive = findings.positive_duration(
        "intake.keep_alive",
        raw.value.keep_alive.as_ref(),
        default.keep_alive,
    );
    let connections = match &raw.value.connections {
        None => default.connections,
        Some(connections) => {
            if connections.value == 0 {
                findings.add(
                    connections.referenced,
                    "intake.connections must not be zero",
                    format!("leave it out for the default of {}", default.connections),
                );
            }
            connections.value
        }
    };
    let bytes = match &raw.value.bytes {
        None => default.bytes,
        Some(bytes) => {
            if bytes.value < MIN_BYTES {
                findings.add(
                    bytes.referenced,
                    format!("intake.bytes must be at least {MIN_BYTES} (2 MiB)"),
                    format!("leave it out for the default of {} (64 MiB)", default.bytes),
                );
            }
            bytes.value
        }
    };
    IntakeConfig {
        deadline,
        keep_alive,
        connections,
        bytes,
    }
}
