//! What one VM has learned of control's state, and what it does to learn more.

use crate::config::{ServerNumbers, StateSettings};
use crate::host::CallId;

use super::documents::Head;
use super::lease::OwnerId;
use super::sign_outs::SignOuts;

/// Deadline of a poll, in milliseconds: shorter than that of other calls, because another VM may succeed.
pub(crate) const POLL_TIMEOUT_MS: u64 = 3_000;
/// What the lease outlasts the poll's deadline and the time to the next poll by, in milliseconds.
const LEASE_GRACE_MS: u64 = 1_000;
/// So many answers in a row may be of an earlier position than the filter's: a replica of control may be a moment behind.
/// After that the log itself has gone back (a store restored from a copy), and is read from its beginning.
const MOST_BEHIND: u8 = 5;

/// A poll that has not been answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnderWay {
    /// The call.
    pub(crate) call: CallId,
    /// Number of the worker's tick at which it has failed.
    pub(crate) deadline_tick: u64,
}

/// One VM's knowledge.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) settings: StateSettings,
    pub(crate) owner: OwnerId,
    pub(crate) numbers: ServerNumbers,
    pub(crate) sign_outs: SignOuts,
    /// Version of the list of servers in force; 0 for none.
    pub(crate) servers_version: u64,
    /// Version of a newer list that has a fault; 0 for none.
    pub(crate) refused_version: u64,
    /// The head as this VM last saw it.
    pub(crate) head: Head,
    /// The tick at which shared data is read again.
    pub(crate) look_at_tick: u64,
    /// The tick at which the lease is tried again.
    pub(crate) poll_at_tick: u64,
    pub(crate) under_way: Option<UnderWay>,
    /// Failed polls in a row before the one under way.
    pub(crate) failures: u8,
    /// Answers in a row of an earlier position.
    behind: u8,
}

impl Learned {
    /// Before anything is learned.
    pub(crate) fn new(settings: StateSettings, owner: OwnerId, numbers: ServerNumbers) -> Self {
        Self {
            settings,
            owner,
            numbers,
            sign_outs: SignOuts::default(),
            servers_version: 0,
            refused_version: 0,
            head: Head::default(),
            look_at_tick: 0,
            poll_at_tick: 0,
            under_way: None,
            failures: 0,
            behind: 0,
        }
    }

    /// Whether enough is known to judge a request.
    pub(crate) fn is_complete(&self) -> bool {
        self.servers_version > 0 && self.sign_outs.is_whole()
    }

    /// How long a claimed lease lasts, in milliseconds.
    pub(crate) fn hold_ms(&self) -> u64 {
        let poll_ms = POLL_TIMEOUT_MS.saturating_add(LEASE_GRACE_MS);
        self.settings.poll_every_ms.saturating_add(poll_ms)
    }

    /// The position after which to ask for sign-outs.
    pub(crate) fn after(&self) -> u64 {
        if self.behind > MOST_BEHIND {
            return 0;
        }
        self.sign_outs.position()
    }

    /// The version of the servers to ask for a newer one of. What shared data does not have is asked for again.
    pub(crate) fn servers_after(&self) -> u64 {
        self.head.servers_version.max(self.refused_version)
    }

    /// Whether an answer of this position follows the request for what is after [`Self::after`]. One that does not is counted:
    /// control's log may have gone back.
    pub(crate) fn follows(&mut self, position: u64) -> bool {
        let follows = position >= self.after();
        self.behind = if follows { 0 } else { self.behind.saturating_add(1) };
        follows
    }
}
