//! The initial state of a search, and its actions.

use tokenward_control::config::IssuerPolicy;

/// How many actions of each kind a search may still take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Attempts that may start.
    pub(crate) starts: u8,
    /// Presentations by the client of the relay; none: there is no such client.
    pub(crate) presents: u8,
    /// Processes that may crash.
    pub(crate) crashes: u8,
    /// Store operations that may go unanswered, with or without effect.
    pub(crate) outages: u8,
    /// Answers of the issuer that may be lost.
    pub(crate) lost: u8,
    /// Presentations that the issuer may fail, or that may not reach it.
    pub(crate) failures: u8,
    /// Pauses of [`Setup::pause_ms`], in which no process runs.
    pub(crate) pauses: u8,
    /// Logins that may happen in between.
    pub(crate) logins: u8,
    /// Times that the store may be saved, and restored to what was saved.
    pub(crate) saves: u8,
    pub(crate) rewinds: u8,
}

/// The initial state of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) issuer: IssuerPolicy,
    pub(crate) reuse_ms: u64,
    /// Whether the issuer reports on refresh tokens (RFC 7662).
    pub(crate) introspects: bool,
    /// One replica each, with its clock's offset from true time.
    pub(crate) skews_ms: Vec<i64>,
    /// Lifetime of an ID token.
    pub(crate) life_seconds: u64,
    /// The length of a pause; longer than a lease.
    pub(crate) pause_ms: u64,
    pub(crate) budget: Budget,
}

/// One action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A caller makes a replica start an attempt.
    Start(usize),
    /// The client of the relay presents the refresh token that it holds; or, if true, the one that it held before.
    Present(usize, bool),
    /// The step of a replica is done and answered.
    Go(usize),
    /// The store does not answer, and the operation was not done.
    NotDone(usize),
    /// The store does not answer, but the operation was done.
    Unanswered(usize),
    /// The issuer processes the presentation; its answer is in transit.
    Arrive(usize),
    /// The answer in transit is lost.
    Lose(usize),
    /// The issuer answers that it fails.
    Fail(usize),
    /// The issuer cannot be reached.
    Miss(usize),
    /// The process crashes.
    Crash(usize),
    /// No process runs for longer than a lease lives.
    Pause,
    /// The user logs in again.
    LogIn,
    /// The store is saved.
    Save,
    /// The store is restored to what was saved, and the leases have expired.
    Rewind,
}
