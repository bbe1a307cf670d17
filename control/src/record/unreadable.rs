//! Warnings about unreadable records that a login replaces, at most one per minute for each kind of record.
//!
//! Such a record would refuse its user until it expires. A login replaces it at its own revision, so that no record is
//! overwritten that was not read before. A record of a newer version stays: during a rolling update the newer replicas can
//! read it, and a client can register the login with them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::observe::throttle::{Emit, Throttle};
use crate::store::StoreError;

/// At most one warning of each kind per this time.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What a login replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// A grant that cannot be decoded.
    Grant,
    /// The tokens of a grant that no configured key opens.
    Tokens,
    /// A session that cannot be decoded.
    Session,
    /// Nothing: a newer version wrote the record.
    Nothing,
}

impl Replaced {
    const fn message(self) -> &'static str {
        match self {
            Self::Grant => "a login replaced a grant record that cannot be read",
            Self::Tokens => "a login replaced tokens that no configured sealing key opens",
            Self::Session => "a login replaced a session record that cannot be read",
            Self::Nothing => "a login is refused: a newer version wrote the existing record",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Grant => {
                "an older version wrote it, or another program changed it: let no other program write to the store; the \
                 user's other sessions are unknown until they are registered or logged in again"
            }
            Self::Tokens => {
                "a sealing key is missing: add it to sealing.previous again, else each user has to log in again"
            }
            Self::Session => {
                "an older version wrote it, or another program changed it: let no other program write to the store"
            }
            Self::Nothing => {
                "finish the update; after a downgrade to this version delete that record, or the whole store"
            }
        }
    }
}

/// Logs replacements, throttled.
#[derive(Debug, Clone)]
pub(crate) struct Notices {
    throttle: Arc<Throttle>,
    clock: Arc<dyn Clock>,
}

impl Notices {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            throttle: Arc::new(Throttle::new(WARN_EVERY)),
            clock,
        }
    }

    /// Logs `replaced`. `error` names the record and the reason why it cannot be read.
    pub(crate) fn log(&self, replaced: Replaced, error: &StoreError) {
        let (message, hint) = (replaced.message(), replaced.hint());
        match self.throttle.failed(message, self.clock.now_ms()) {
            Emit::Warn { suppressed } => tracing::warn!(%error, hint, suppressed, "{message}"),
            Emit::Debug => tracing::debug!(%error, "{message}"),
        }
    }
}
