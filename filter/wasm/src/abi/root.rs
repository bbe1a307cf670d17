//! The root context: one per VM and configuration. It owns the filter.

use std::cell::RefCell;
use std::rc::Rc;

use tokenward_protocol::token_endpoint::MARKER_HEADER;

use super::calls::{self, BufferType, MapType};
use super::host::Envoy;
use crate::header_map;
use tokenward_filter_core::config::{BadConfig, EachTry, FilterConfig};
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::{CallId, StreamId};
use tokenward_filter_core::worker::{ControlResponse, LONGEST_RESPONSE_BYTES, TICK_MS};

/// The filter, shared between its root context and the streams that it made.
pub(super) type SharedFilter = Rc<RefCell<Filter<Envoy>>>;

/// Longest configuration that is read.
const LONGEST_CONFIG_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Root {
    context_id: u32,
    filter: SharedFilter,
    /// Workers of earlier configurations of this context with requests that still wait: they need the ticks.
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
    pub(super) fn filter(&self) -> SharedFilter {
        Rc::clone(&self.filter)
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

    /// Time passes.
    pub(super) fn tick(&mut self) {
        for filter in self.retired.iter().chain([&self.filter]) {
            if let Ok(mut filter) = filter.try_borrow_mut() {
                filter.host().enter(self.context_id);
                filter.on_tick();
                filter.host().tell_counters();
            }
        }
        self.retired
            .retain(|filter| filter.try_borrow().is_ok_and(|filter| !filter.is_idle()));
    }

    /// Streams that were answered while they waited, since the last time.
    pub(super) fn take_answered(&mut self) -> Vec<StreamId> {
        let workers = self.retired.iter().chain([&self.filter]);
        let answered = workers.filter_map(|filter| Some(filter.try_borrow().ok()?.host().take_answered()));
        answered.flatten().collect()
    }

    /// Reads control's answer and hands it to the filter. Call ids are unique within a VM, so only the filter that
    /// made the call takes it.
    pub(super) fn answer(&self, call: u32, headers: usize, body_bytes: usize) {
        let answer = read_answer(headers, body_bytes);
        for filter in self.retired.iter().chain([&self.filter]) {
            if let Ok(mut filter) = filter.try_borrow_mut() {
                filter.host().enter(self.context_id);
                filter.on_control_response(CallId(call), &answer);
            }
        }
    }
}

/// `headers` is 0 when the call was reset after its headers.
fn read_answer(headers: usize, body_bytes: usize) -> ControlResponse {
    let mut answer = ControlResponse::default();
    if headers == 0 {
        return answer;
    }
    let block = calls::header_block(MapType::CallResponse).unwrap_or_default();
    for (name, value) in header_map::read(&block) {
        match name {
            b":status" => answer.status = header_map::status_code(value),
            b"retry-after" => answer.retry_after = Some(value.to_vec()),
            name if name == MARKER_HEADER.as_bytes() => answer.marked = true,
            _ => {}
        }
    }
    if body_bytes <= LONGEST_RESPONSE_BYTES {
        answer.body = calls::buffer(BufferType::CallResponseBody, body_bytes).unwrap_or_default();
    }
    answer
}
