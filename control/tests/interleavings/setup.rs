//! What a search begins with, and what may happen in it.

use tokenward_control::config::IssuerPolicy;

/// What a search may still make happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Attempts that may begin.
    pub(crate) starts: u8,
    /// Processes that may die.
    pub(crate) crashes: u8,
    /// Store operations that may go unanswered, with or without effect.
    pub(crate) outages: u8,
    /// Answers of the issuer that may be lost on the way.
    pub(crate) lost: u8,
    /// Presentations that the issuer may fail or that may not reach it.
    pub(crate) failures: u8,
    /// Times that [`Setup::pause_ms`] may pass while nobody does anything: everybody is paused.
    pub(crate) pauses: u8,
    /// Logins that may come in between.
    pub(crate) logins: u8,
    /// Times that the store may be saved, and that it may come back as it was saved.
    pub(crate) saves: u8,
    pub(crate) rewinds: u8,
}

/// What the model begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) issuer: IssuerPolicy,
    pub(crate) reuse_ms: u64,
    /// Whether the issuer tells what a refresh token is still good for (RFC 7662).
    pub(crate) tells: bool,
    /// One replica each, with its clock's difference from the true time.
    pub(crate) skews_ms: Vec<i64>,
    /// Life of an ID token.
    pub(crate) life_seconds: u64,
    /// How long a pause is: longer than a lease lives.
    pub(crate) pause_ms: u64,
    pub(crate) budget: Budget,
}

/// One thing that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A caller makes a replica begin an attempt.
    Start(usize),
    /// The step that a replica waits for is carried out and answered.
    Go(usize),
    /// The store does not answer, and did nothing.
    Unheard(usize),
    /// The store does not answer, and did it all the same.
    Unanswered(usize),
    /// The issuer carries the presentation out; its answer is on the way.
    Arrive(usize),
    /// The answer on the way is lost.
    Lose(usize),
    /// The issuer says that it fails.
    Fail(usize),
    /// The issuer cannot be reached.
    Miss(usize),
    /// The process dies.
    Crash(usize),
    /// Nobody does anything for longer than a lease lives.
    Pause,
    /// The user logs in anew.
    LogIn,
    /// The store is saved.
    Save,
    /// The store comes back as it was saved, and the leases have expired.
    Rewind,
}
