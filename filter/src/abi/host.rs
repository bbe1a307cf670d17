//! [`Host`] over the proxy-wasm ABI.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{LogLevel, MapType, Status};

use super::calls;
use crate::config::AnnotationPath;
use crate::host::{
    CallFailure, CallId, Claim, ControlCall, Host, HostFailure, Level, SetFailure, SharedValue, StreamId,
};
use crate::outcome::{Event, Metric, Reply};

/// Writing with this number inserts when the key is missing and mismatches when it exists: the ABI has no other
/// "create if absent", and 0 would overwrite (cpp-host `shared_data.cc`).
const CLAIM_ABSENT: u32 = u32::MAX;

/// Envoy around the filter.
#[derive(Debug)]
pub(super) struct Envoy {
    /// The context whose callback is running: the effective context is put back to it after an excursion.
    home: Cell<u32>,
    /// Streams that were answered while they waited and whose answer has not passed by yet.
    answered: RefCell<Vec<u32>>,
    /// Ids of counters already defined: defining costs ten times what counting does.
    counters: RefCell<HashMap<(Option<usize>, Event), u32>>,
}

impl Envoy {
    pub(super) fn new(root: u32) -> Self {
        Self {
            home: Cell::new(root),
            answered: RefCell::default(),
            counters: RefCell::default(),
        }
    }

    /// Notes which context's callback is running.
    pub(super) fn enter(&self, context: u32) {
        self.home.set(context);
    }

    /// Whether the answer that passes by on this stream was made by the filter; asked once per stream.
    pub(super) fn was_answered(&self, stream: StreamId) -> bool {
        let Ok(mut streams) = self.answered.try_borrow_mut() else {
            return false;
        };
        let at = streams.iter().position(|other| *other == stream.0);
        at.map(|at| streams.swap_remove(at)).is_some()
    }

    fn within<T>(
        &self,
        stream: StreamId,
        act: impl FnOnce() -> Result<T, calls::HostStatus>,
    ) -> Result<T, HostFailure> {
        calls::set_effective_context(stream.0).map_err(|_| HostFailure)?;
        let answer = act().map_err(|_| HostFailure);
        // The home context exists as long as its callback runs.
        let _ = calls::set_effective_context(self.home.get());
        answer
    }
}

impl Host for Envoy {
    fn now_ms(&self) -> u64 {
        // Without a clock nothing is fresh: the end of time makes every token stale.
        calls::now_ns().map_or(u64::MAX, |now| now.div_euclid(1_000_000))
    }

    fn would_log(&self, level: Level) -> bool {
        calls::log_level().is_none_or(|lowest| log_level(level) as u32 >= lowest)
    }

    fn log(&self, level: Level, line: &str) {
        calls::log(log_level(level), line);
    }

    fn route_annotation(&self, path: &AnnotationPath) -> Option<Vec<u8>> {
        calls::property(path.as_str())
            .ok()
            .flatten()
            .filter(|value| !value.is_empty())
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostFailure> {
        let value = calls::shared_data(key).map_err(|_| HostFailure)?;
        Ok(value.map(|(bytes, cas)| SharedValue { bytes, cas }))
    }

    fn set_shared(&self, key: &str, bytes: &[u8], claim: Claim) -> Result<(), SetFailure> {
        let cas = match claim {
            Claim::Absent => CLAIM_ABSENT,
            Claim::Unchanged(cas) => cas,
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
        // Through the SDK, because it routes the answer to the context that asked.
        hostcalls::dispatch_http_call(
            call.cluster,
            call.headers.clone(),
            Some(call.body),
            vec![],
            call.timeout,
        )
        .map(CallId)
        .map_err(|status| match status {
            Status::BadArgument => CallFailure::UnknownCluster,
            _ => CallFailure::Unavailable,
        })
    }

    fn resume_with(&self, stream: StreamId, authorization: &str) -> Result<(), HostFailure> {
        self.within(stream, || {
            calls::replace_header(MapType::HttpRequestHeaders, "authorization", authorization)?;
            calls::resume_request()
        })
    }

    fn reply(&self, stream: StreamId, reply: &Reply) -> Result<(), HostFailure> {
        let answered = self.within(stream, || send(reply));
        if let (Ok(()), Ok(mut streams)) = (answered, self.answered.try_borrow_mut()) {
            streams.push(stream.0);
        }
        answered
    }

    fn count(&self, metric: &Metric<'_>) {
        let key = (metric.server.number, metric.event);
        let Ok(mut counters) = self.counters.try_borrow_mut() else {
            return;
        };
        let id = match counters.get(&key) {
            Some(id) => *id,
            None => {
                let Ok(id) = calls::define_counter(&metric.stat_name()) else {
                    return;
                };
                counters.insert(key, id);
                id
            }
        };
        calls::increment(id);
    }
}

/// Answers the request of the effective context.
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
