//! `intake`: how long, how many at once and with how many bytes callers may keep the listener busy.

use std::time::Duration;

use super::findings::Findings;
use super::raw::RawIntake;
use crate::yaml::Spanned;

/// Bounds on what callers may take: a slow or greedy one costs a place for a while, nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeConfig {
    /// From a connection's acceptance, or the first byte of a later request, to the request's last byte.
    pub deadline: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// Connections at the same time. When there are as many, the connection that has rested longest makes room for a new
    /// one; where none rests, the new one is answered 503 at once.
    pub connections: u32,
    /// Bytes of all requests together that are held at the same time, in bytes. Callers without a credential share an
    /// eighth of it.
    pub bytes: usize,
}

/// Less than this holds no request of the largest kind of a caller without a credential.
const FEWEST_BYTES: usize = 2 * 1024 * 1024;

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
    let deadline = findings.positive("intake.deadline", raw.value.deadline.as_ref(), default.deadline);
    let keep_alive = findings.positive(
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
            if bytes.value < FEWEST_BYTES {
                findings.add(
                    bytes.referenced,
                    format!("intake.bytes must be at least {FEWEST_BYTES} (2 MiB)"),
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
