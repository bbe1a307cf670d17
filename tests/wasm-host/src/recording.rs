//! What the host writes down: logs, host calls, crashes.

use std::collections::BTreeMap;

use super::status::Status;

/// The Envoy thread that a VM lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thread {
    /// Envoy's main thread: no traffic, but ticks. The base and canary VMs live and die here, too.
    Main,
    /// A worker thread.
    Worker(usize),
}

/// Log levels of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum LogLevel {
    /// 0.
    Trace = 0,
    /// 1.
    Debug = 1,
    /// 2.
    Info = 2,
    /// 3.
    Warn = 3,
    /// 4.
    Error = 4,
    /// 5.
    Critical = 5,
}

impl LogLevel {
    /// The level of an ABI number.
    #[must_use]
    pub fn from_abi(level: i32) -> Option<Self> {
        [
            Self::Trace,
            Self::Debug,
            Self::Info,
            Self::Warn,
            Self::Error,
            Self::Critical,
        ]
        .into_iter()
        .find(|known| *known as i32 == level)
    }
}

/// One `proxy_log` at or above the host's level.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Its level.
    pub level: LogLevel,
    /// Where the VM lives.
    pub thread: Thread,
    /// The context that logged; root contexts are the low numbers of their VM.
    pub context: u32,
    /// Virtual milliseconds since the start.
    pub elapsed_ms: u64,
    /// The text.
    pub message: String,
}

/// One host call and what it returned.
#[derive(Debug, Clone, Copy)]
pub struct HostCall {
    /// Where the VM lives.
    pub thread: Thread,
    /// The effective context of the call.
    pub context: u32,
    /// The import's name.
    pub function: &'static str,
    /// What the host answered; `None` for WASI functions.
    pub status: Option<Status>,
}

/// A list of host calls that can be counted.
#[derive(Debug, Clone, Default)]
pub struct HostCalls(pub Vec<HostCall>);

impl HostCalls {
    /// How many calls there were.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.len()
    }

    /// How many calls of one function there were.
    #[must_use]
    pub fn count(&self, function: &str) -> usize {
        self.0.iter().filter(|call| call.function == function).count()
    }

    /// How many calls of each function there were.
    #[must_use]
    pub fn by_function(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.0 {
            *counts.entry(call.function).or_default() += 1;
        }
        counts
    }

    /// The statuses that one function returned, in order.
    #[must_use]
    pub fn statuses(&self, function: &str) -> Vec<Status> {
        self.0
            .iter()
            .filter(|call| call.function == function)
            .filter_map(|call| call.status)
            .collect()
    }
}

/// A VM that trapped: from then on it is dead.
#[derive(Debug, Clone)]
pub struct Crash {
    /// Where the VM lived.
    pub thread: Thread,
    /// The callback that trapped.
    pub callback: &'static str,
    /// The trap, with wasm frames.
    pub message: String,
}

impl LogLine {
    /// Adds itself to what was written down.
    ///
    /// # Panics
    /// When it holds a token or secret ([`tokenward_harness::secrets`]).
    pub(crate) fn write_down(self, record: &mut Record) {
        assert!(
            !tokenward_harness::secrets::are_in(&self.message),
            "the filter has logged a token or a secret"
        );
        record.logs.push(self);
    }
}

/// Everything written down so far.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) logs: Vec<LogLine>,
    pub(crate) host_calls: Vec<HostCall>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) instructions: BTreeMap<&'static str, u64>,
    pub(crate) callbacks: BTreeMap<(Thread, &'static str), usize>,
}
