//! The root context: one per VM and configuration. It owns the filter.

use std::cell::RefCell;
use std::rc::Rc;

use tokenward_protocol::token_endpoint::MARKER_HEADER;

use super::calls::{self, BufferType, MapType};
use super::host::Envoy;
use super::memory::HostBytes;
use crate::header_map;
use tokenward_filter_core::config::{BadConfig, EachTry, FilterConfig};
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::{CallId, StreamId};
use tokenward_filter_core::worker::{ControlResponse, TICK_MS};

/// The filter, shared between its root context and the streams that it made.
pub(super) type SharedFilter = Rc<RefCell<Filter<Envoy>>>;

/// Longest configuration that is read.
const LONGEST_CONFIG_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Root {
    context_id: u32,
    filter: SharedFilter,
    /// Filters of earlier configurations of this context with requests that still wait: they need the ticks.
    retired: Vec<SharedFilter>,
}

impl Root {
    pub(super) fn new(context_id: u32) -> Self {
        Self {
            context_id,
            filter: Rc::new(RefCell::new(Filter::unconfigured(Envoy::new(context_id)))),
            retired: Vec::new(),
        }
    }

    /// The filter of the present configuration, for a stream that begins.
    pub(super) fn filter(&self) -> &SharedFilter {
        &self.filter
    }

    /// Reads the configuration and starts a filter under it.
    pub(super) fn configure(&mut self) {
        let text = calls::buffer(BufferType::PluginConfiguration, LONGEST_CONFIG_BYTES).unwrap_or_default();
        let host = Envoy::new(self.context_id);
        let ticks = calls::set_tick_period_ms(u32::try_from(TICK_MS).unwrap_or(100));
        let filter = match EachTry::parse(&text) {
            Some(settings) => Filter::of_tries(host, settings, &text),
            None => {
                let config = FilterConfig::parse(&text, calls::environment_variable);
                // Without ticks no pause would have a deadline.
                let ticks = ticks.map_err(|_| BadConfig::new("", "the host gives no ticks"));
                Filter::new(host, config.and_then(|config| ticks.map(|()| config)), &text)
            }
        };
        let before = std::mem::replace(&mut self.filter, Rc::new(RefCell::new(filter)));
        self.retired.push(before);
    }

    /// Passes the tick to the filters.
    pub(super) fn tick(&mut self) {
        for shared in self.retired.iter().chain([&self.filter]) {
            if let Ok(mut filter) = shared.try_borrow_mut() {
                filter.host().enter(self.context_id);
                filter.on_tick();
                match Rc::ptr_eq(&self.filter, shared) {
                    true => filter.host().tick_counters(),
                    false => filter.host().flush_counters(),
                }
            }
        }
        self.retired
            .retain(|filter| filter.try_borrow().is_ok_and(|filter| !filter.is_idle()));
    }

    /// Reports what was counted: the root context is gone, and with it its ticks.
    #[cold]
    pub(super) fn report_counts(&self) {
        for filter in self.retired.iter().chain([&self.filter]) {
            if let Ok(filter) = filter.try_borrow() {
                filter.host().flush_counters();
            }
        }
    }

    /// Streams that got a reply while they waited, since the last call.
    pub(super) fn take_replied(&mut self) -> Vec<StreamId> {
        let filters = self.retired.iter().chain([&self.filter]);
        let replied = filters.filter_map(|filter| Some(filter.try_borrow().ok()?.host().take_replied()));
        replied.flatten().collect()
    }

    /// Reads control's response and passes it to the filters. Call ids are unique within a VM, so only the filter that made
    /// the call takes it.
    pub(super) fn call_response(&self, call: u32, headers: usize, body_bytes: usize) {
        let filters = || self.retired.iter().chain([&self.filter]);
        let limits =
            filters().filter_map(|filter| Some(filter.try_borrow().ok()?.longest_response(CallId(call))));
        let response = read_response(headers, body_bytes, limits.max().unwrap_or(0));
        for filter in filters() {
            if let Ok(mut filter) = filter.try_borrow_mut() {
                filter.host().enter(self.context_id);
                filter.on_control_response(CallId(call), &response);
            }
        }
    }
}

/// `headers` is 0 when the call was reset after its headers. A body longer than `most_bytes` is not read.
fn read_response(headers: usize, body_bytes: usize, most_bytes: usize) -> ControlResponse {
    let mut response = ControlResponse::default();
    if headers == 0 {
        return response;
    }
    let block = calls::header_block(MapType::CallResponse).unwrap_or(HostBytes::EMPTY);
    for (name, value) in header_map::read(&block) {
        match name {
            b":status" => response.status = header_map::status_code(value),
            b"retry-after" => response.retry_after = Some(value.to_vec()),
            name if name == MARKER_HEADER.as_bytes() => response.marked = true,
            _ => {}
        }
    }
    if body_bytes <= most_bytes {
        response.body = calls::buffer(BufferType::CallResponseBody, body_bytes).unwrap_or_default();
    }
    response
}
