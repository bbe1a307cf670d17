//! The root context: one per VM and configuration. It owns the worker.

use std::cell::RefCell;
use std::rc::Rc;

use tokenward_protocol::token_endpoint::MARKER_HEADER;

use super::calls::{self, BufferType, MapType};
use super::host::Envoy;
use crate::header_map;
use tokenward_filter_core::config::{BadConfig, EachTry, FilterConfig};
use tokenward_filter_core::host::{CallId, StreamId};
use tokenward_filter_core::worker::control_response::{ControlResponse, LONGEST_RESPONSE_BYTES};
use tokenward_filter_core::worker::{TICK_MS, Worker};

/// The worker, shared between its root context and the streams that it made.
pub(super) type SharedWorker = Rc<RefCell<Worker<Envoy>>>;

/// Longest configuration that is read.
const LONGEST_CONFIG_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Root {
    context_id: u32,
    worker: SharedWorker,
    /// Workers of earlier configurations of this context with requests that still wait: they need the ticks.
    retired: Vec<SharedWorker>,
}

impl Root {
    pub(super) fn new(context_id: u32) -> Self {
        Self {
            context_id,
            worker: Rc::new(RefCell::new(unconfigured(context_id))),
            retired: Vec::new(),
        }
    }

    /// The worker of the present configuration, for a stream that begins.
    pub(super) fn worker(&self) -> SharedWorker {
        Rc::clone(&self.worker)
    }

    /// Reads the configuration and starts a worker under it.
    pub(super) fn configure(&mut self) {
        let text = calls::buffer(BufferType::PluginConfiguration, LONGEST_CONFIG_BYTES).unwrap_or_default();
        let host = Envoy::new(self.context_id);
        let ticks = calls::set_tick_period_ms(u32::try_from(TICK_MS).unwrap_or(100));
        let worker = match EachTry::parse(&text) {
            Some(Ok(each_try)) => Worker::of_tries(host, each_try),
            Some(Err(error)) => Worker::new(host, Err(error), &text),
            None => {
                let config = FilterConfig::parse(&text, calls::environment_variable);
                // Without ticks no pause would have a deadline.
                let ticks = ticks.map_err(|_| BadConfig::new("", "the host gives no ticks"));
                Worker::new(host, config.and_then(|config| ticks.map(|()| config)), &text)
            }
        };
        let before = std::mem::replace(&mut self.worker, Rc::new(RefCell::new(worker)));
        self.retired.push(before);
    }

    /// Time passes.
    pub(super) fn tick(&mut self) {
        for worker in self.retired.iter().chain([&self.worker]) {
            if let Ok(mut worker) = worker.try_borrow_mut() {
                worker.host().enter(self.context_id);
                worker.on_tick();
                worker.host().tell_counters();
            }
        }
        self.retired
            .retain(|worker| worker.try_borrow().is_ok_and(|worker| !worker.is_idle()));
    }

    /// Streams that were answered while they waited, since the last time.
    pub(super) fn take_answered(&mut self) -> Vec<StreamId> {
        let workers = self.retired.iter().chain([&self.worker]);
        let answered = workers.filter_map(|worker| Some(worker.try_borrow().ok()?.host().take_answered()));
        answered.flatten().collect()
    }

    /// Reads control's answer and hands it to the worker. Call ids are unique within a VM, so only the worker that
    /// made the call takes it.
    pub(super) fn answer(&self, call: u32, headers: usize, body_bytes: usize) {
        let answer = read_answer(headers, body_bytes);
        for worker in self.retired.iter().chain([&self.worker]) {
            if let Ok(mut worker) = worker.try_borrow_mut() {
                worker.host().enter(self.context_id);
                worker.on_control_response(CallId(call), &answer);
            }
        }
    }
}

/// Before `on_configure` nothing may pass. No host call is allowed yet, so nothing is logged either.
fn unconfigured(context_id: u32) -> Worker<Envoy> {
    Worker::unconfigured(Envoy::new(context_id))
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
