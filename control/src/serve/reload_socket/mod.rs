//! `tokenward reload`: makes the running process of the same user reload, where nothing can send it a signal.
//!
//! The socket is abstract: it needs no writable folder, exists only in this network namespace, and ends with its process. The
//! kernel states the user of each side; another user's process is not answered, and not believed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of a reload, as the socket transports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// `applied`, `rejected` or `restart_needed`.
    pub outcome: String,
    /// The problems of the files, each with its place and its cure; empty if they apply.
    pub problems: Vec<String>,
}

impl ReloadAnswer {
    /// Whether the files apply now.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.outcome == "applied"
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestFailed {
    /// No process of this configuration is there.
    #[error(
        "no tokenward serve --config {0} runs in this pod or on this machine; name the configuration exactly as it does"
    )]
    NotRunning(String),
    /// The process is another user's.
    #[error("the process that answers belongs to user {0}: run this command as that user")]
    AnotherUser(u32),
    /// The answer did not come, or is not one.
    #[error("the process did not answer ({0}); its log states what it does")]
    NoAnswer(String),
    /// The system has no such sockets.
    #[error("this system has no abstract sockets: send the process SIGHUP")]
    #[cfg(not(target_os = "linux"))]
    Unsupported,
}

/// Longest wait for the answer: a reload reads files, and may wait for another reload.
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait until the other side takes its answer.
#[cfg(target_os = "linux")]
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::request_reload;
#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{ReloadRequest, ReloadSocket};
#[cfg(target_os = "linux")]
pub use linux::request_reload;
#[cfg(target_os = "linux")]
pub(super) use linux::{ReloadRequest, ReloadSocket};
