//! What the filter needs from the proxy around it. The crate `tokenward-filter` implements it over the proxy-wasm ABI, native
//! tests by a plain struct.

use std::time::Duration;

use crate::config::AnnotationPath;
use crate::log::Level;
use crate::metric::Metric;
use crate::reply::Reply;

/// A paused or running HTTP stream; the ABI's context id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// A call to control that is under way. Unique within one VM only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// Shared data as read, and the number for a later compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedValue {
    /// The bytes; empty when the key exists with an empty value.
    pub bytes: Vec<u8>,
    /// The host's compare-and-set number.
    pub cas: u32,
}

/// The condition of a shared-data write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteCondition {
    /// The key does not exist.
    Absent,
    /// The key is as it was read.
    Unchanged(u32),
}

/// Why a shared-data write did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetFailure {
    /// Another worker wrote first: read again.
    Mismatch,
    /// The host failed.
    Host,
}

/// Why a call to control could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// Envoy has no such cluster: a configuration fault.
    UnknownCluster,
    /// The cluster has no host or its circuit breaker is open.
    Unavailable,
}

/// The host refused a call, for example because the stream has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFailure;

/// One call to control.
#[derive(Debug)]
pub struct ControlCall<'a> {
    /// Envoy cluster.
    pub cluster: &'a str,
    /// All headers, pseudo headers first.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The form.
    pub body: &'a [u8],
    /// Deadline that the host enforces.
    pub timeout: Duration,
}

/// The proxy around the filter. No method may panic; a call that the host refuses is an error or is ignored.
pub trait Host {
    /// Wall clock, Unix milliseconds.
    fn now_ms(&self) -> u64;

    /// Random bytes that no client can guess.
    fn random(&self) -> [u8; 16];

    /// Whether a line of this level would be written.
    fn log_enabled(&self, level: Level) -> bool;

    /// Writes one log line.
    fn log(&self, level: Level, line: &str);

    /// The value of an annotation of the request's route.
    fn route_annotation(&self, path: &AnnotationPath) -> Option<Vec<u8>>;

    /// The name of the request's route; `None` when it has none.
    fn route_name(&self) -> Option<Vec<u8>>;

    /// Reads shared data; `None` when the key was never written.
    ///
    /// # Errors
    /// [`HostFailure`] when the host cannot read it.
    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostFailure>;

    /// Writes shared data if `condition` holds.
    ///
    /// # Errors
    /// [`SetFailure`]; nothing was written then.
    fn set_shared(&self, key: &str, bytes: &[u8], condition: WriteCondition) -> Result<(), SetFailure>;

    /// Starts a call to control. The response arrives even if the stream that started the call closes.
    ///
    /// # Errors
    /// [`CallFailure`] when it could not be started; no response follows then.
    fn call_control(&self, call: &ControlCall<'_>) -> Result<CallId, CallFailure>;

    /// Sets the paused stream's `authorization` and resumes it.
    ///
    /// # Errors
    /// [`HostFailure`] when the stream has closed.
    fn resume_with(&self, stream: StreamId, authorization: &str) -> Result<(), HostFailure>;

    /// Replies to the paused stream.
    ///
    /// # Errors
    /// [`HostFailure`] when the stream has closed.
    fn reply(&self, stream: StreamId, reply: &Reply) -> Result<(), HostFailure>;

    /// Whether the stream still exists.
    fn stream_exists(&self, stream: StreamId) -> bool;

    /// Counts one event.
    fn count(&self, metric: &Metric<'_>);
}
