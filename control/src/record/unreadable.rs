//! What a login does about a record that cannot be read, told at most once a minute for each kind of record.
//!
//! Such a record would refuse its user for as long as it lives. A login takes its place, on its own revision, so that
//! nothing is overwritten that was not looked at. What a newer version wrote is left alone: during a rolling update the
//! newer replicas can read it, and the login can be put to them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::observe::throttle::{Emit, Throttle};
use crate::store::StoreError;

/// One warning in this time for each kind of line.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What has become of what cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// A login is kept in place of a grant.
    Grant,
    /// A login is kept in place of a grant's tokens, which no configured key opens.
    Tokens,
    /// A session is kept in place of one.
    Session,
    /// Nothing: a newer version wrote it.
    Left,
}

impl Replaced {
    const fn what(self) -> &'static str {
        match self {
            Self::Grant => "a new login took the place of a grant that cannot be read",
            Self::Tokens => "a login took the place of tokens that do not open",
            Self::Session => "a login took the place of a session's record that cannot be read",
            Self::Left => {
                "a login is refused: the record of before is left to the newer version that wrote it"
            }
        }
    }

    const fn cure(self) -> &'static str {
        match self {
            Self::Grant => {
                "an older version wrote it, or something else changed the store: let nothing else write there; the \
                 user's other sessions are unknown until they are put or logged in again"
            }
            Self::Tokens => {
                "a sealing key is lost: put it back into sealing.previous, else each user has to log in again"
            }
            Self::Session => {
                "an older version wrote it, or something else changed the store: let nothing else write there"
            }
            Self::Left => {
                "finish the update; after going back to this version delete that record, or all of the store"
            }
        }
    }
}

/// Tells of it.
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

    /// `error` says which record, and why it cannot be read.
    pub(crate) fn tell(&self, told: Replaced, error: &StoreError) {
        let (what, cure) = (told.what(), told.cure());
        match self.throttle.failed(what, self.clock.now_ms()) {
            Emit::Warn { suppressed } => tracing::warn!(%error, cure, suppressed, "{what}"),
            Emit::Debug => tracing::debug!(%error, "{what}"),
        }
    }
}
