//! [`Host`] over the proxy-wasm ABI.

use std::cell::{Cell, RefCell};

use super::calls::{self, LogLevel, MapType};
use super::counters::Counters;
use tokenward_filter_core::config::AnnotationPath;
use tokenward_filter_core::host::{
    CallFailure, CallId, ControlCall, Host, HostFailure, SetFailure, SharedValue, StreamId, WriteCondition,
};
use tokenward_filter_core::log::Level;
use tokenward_filter_core::metric::Metric;
use tokenward_filter_core::reply::Reply;

/// Writing with this number inserts when the key is missing and mismatches when it exists: the ABI has no other
/// "create if absent", and 0 would overwrite (cpp-host `shared_data.cc`).
const CLAIM_ABSENT: u32 = u32::MAX;

/// Envoy around the filter.
#[derive(Debug)]
pub(super) struct Envoy {
    /// The context of the running callback: the effective context is set back to it after a call for another stream.
    running: Cell<u32>,
    /// Streams that got a reply while they waited, until they are taken.
    replied: RefCell<Vec<StreamId>>,
    counters: RefCell<Counters>,
}

impl Envoy {
    pub(super) fn new(root: u32) -> Self {
        Self {
            running: Cell::new(root),
            replied: RefCell::default(),
            counters: RefCell::default(),
        }
    }

    /// Sets the context of the running callback.
    pub(super) fn enter(&self, context: u32) {
        self.running.set(context);
    }

    /// Streams that got a reply while they waited: the next response on each is the filter's own.
    pub(super) fn take_replied(&self) -> Vec<StreamId> {
        self.replied
            .try_borrow_mut()
            .map(|mut streams| std::mem::take(&mut *streams))
            .unwrap_or_default()
    }

    /// At a tick: reports to the host what was counted, if it is time for that.
    pub(super) fn tick_counters(&self) {
        if let Ok(mut counters) = self.counters.try_borrow_mut() {
            counters.tick();
        }
    }

    /// Reports to the host what was counted: nothing may be counted here any more.
    pub(super) fn flush_counters(&self) {
        if let Ok(mut counters) = self.counters.try_borrow_mut() {
            counters.flush();
        }
    }

    fn within<T>(
        &self,
        stream: StreamId,
        act: impl FnOnce() -> Result<T, calls::HostStatus>,
    ) -> Result<T, HostFailure> {
        calls::set_effective_context(stream.0).map_err(|_| HostFailure)?;
        let result = act().map_err(|_| HostFailure);
        // This context exists as long as its callback runs.
        let _ = calls::set_effective_context(self.running.get());
        result
    }
}

impl Host for Envoy {
    fn now_ms(&self) -> u64 {
        // Without a clock nothing is fresh: the end of time makes every token stale.
        calls::now_ns().map_or(u64::MAX, |now| now.div_euclid(1_000_000))
    }

    fn random(&self) -> [u8; 16] {
        // A host without random bytes: the nanosecond of this call is better than nothing.
        let by_clock = || {
            u128::from(calls::now_ns().unwrap_or(0)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
        };
        calls::random().unwrap_or_else(|| by_clock().to_le_bytes())
    }

    fn log_enabled(&self, level: Level) -> bool {
        calls::log_level().is_none_or(|lowest| log_level(level) as u32 >= lowest)
    }

    fn log(&self, level: Level, line: &str) {
        calls::log(log_level(level), line);
    }

    fn route_annotation(&self, path: &AnnotationPath) -> Option<Vec<u8>> {
        calls::property(&path.segments())
            .ok()
            .flatten()
            .filter(|value| !value.is_empty())
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostFailure> {
        let value = calls::shared_data(key).map_err(|_| HostFailure)?;
        Ok(value.map(|(bytes, cas)| SharedValue { bytes, cas }))
    }

    fn set_shared(&self, key: &str, bytes: &[u8], condition: WriteCondition) -> Result<(), SetFailure> {
        let cas = match condition {
            WriteCondition::Absent => CLAIM_ABSENT,
            WriteCondition::Unchanged(cas) => cas,
        };
        calls::set_shared_data(key, bytes, cas).map_err(|status| {
            if status == calls::CAS_MISMATCH {
                SetFailure::Mismatch
            } else {
                SetFailure::Host
            }
        })
    }

    fn call_control(&self, call: &ControlCall<'_>) -> Result<CallId, CallFailure> {
        let timeout_ms = u32::try_from(call.timeout.as_millis()).unwrap_or(u32::MAX);
        calls::http_call(call.cluster, &call.headers, call.body, timeout_ms)
            .map(CallId)
            .map_err(|status| match status {
                calls::BAD_ARGUMENT => CallFailure::UnknownCluster,
                _ => CallFailure::Unavailable,
            })
    }

    fn resume_with(&self, stream: StreamId, authorization: &str) -> Result<(), HostFailure> {
        self.within(stream, || {
            calls::replace_header(MapType::Request, "authorization", authorization)?;
            calls::resume_request()
        })
    }

    fn reply(&self, stream: StreamId, reply: &Reply) -> Result<(), HostFailure> {
        let sent = self.within(stream, || send(reply));
        if let (Ok(()), Ok(mut streams)) = (sent, self.replied.try_borrow_mut()) {
            streams.push(stream);
        }
        sent
    }

    fn stream_exists(&self, stream: StreamId) -> bool {
        let there = calls::stream_exists(stream.0);
        let _ = calls::set_effective_context(self.running.get());
        there
    }

    fn route_name(&self) -> Option<Vec<u8>> {
        calls::property(&["xds", "route_name"]).ok().flatten()
    }

    fn count(&self, metric: &Metric<'_>) {
        let Ok(mut counters) = self.counters.try_borrow_mut() else {
            return;
        };
        counters.count(metric);
    }
}

/// Replies to the request of the effective context.
pub(super) fn send(reply: &Reply) -> Result<(), calls::HostStatus> {
    let headers: Vec<(&str, &str)> = reply
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    calls::send_reply(reply.status, &reply.details, &headers, &reply.body)
}

fn log_level(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
    }
}
