//! The root context: one per VM and configuration. It owns the worker.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, MapType};
use tokenward_protocol::token_endpoint::MARKER_HEADER;

use super::calls;
use super::host::Envoy;
use super::http::Http;
use crate::config::{BadConfig, FilterConfig};
use crate::host::CallId;
use crate::worker::answer::{ControlAnswer, LONGEST_ANSWER_BYTES};
use crate::worker::{TICK_MS, Worker};

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
}

/// Before `on_configure` nothing may pass. No host call is allowed yet, so nothing is logged either.
fn unconfigured(context_id: u32) -> Worker<Envoy> {
    Worker::unconfigured(Envoy::new(context_id))
}

impl Context for Root {
    fn on_http_call_response(
        &mut self,
        token_id: u32,
        num_headers: usize,
        body_size: usize,
        _trailers: usize,
    ) {
        // Call ids are unique within a VM, so only the worker that made the call takes the answer.
        for worker in self.retired.iter().chain([&self.worker]) {
            on_answer(worker, self.context_id, token_id, num_headers, body_size);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = calls::buffer(BufferType::PluginConfiguration, LONGEST_CONFIG_BYTES).unwrap_or_default();
        let config = FilterConfig::parse(&text, calls::environment_variable);
        let tick_ms = u32::try_from(TICK_MS).unwrap_or(100);
        let config = match calls::set_tick_period_ms(tick_ms) {
            Ok(()) => config,
            // Without ticks no pause would have a deadline.
            Err(_) => Err(BadConfig::new("", "the host gives no ticks")),
        };
        let worker = Rc::new(RefCell::new(Worker::new(
            Envoy::new(self.context_id),
            config,
            &text,
        )));
        self.retired.push(std::mem::replace(&mut self.worker, worker));
        // Never false: how Envoy takes that depends on how the filter was delivered (it exits, keeps the old
        // configuration unnoticed, or answers 503 without a reason). The worker refuses and says why.
        true
    }

    fn on_tick(&mut self) {
        for worker in self.retired.iter().chain([&self.worker]) {
            if let Ok(mut worker) = worker.try_borrow_mut() {
                worker.host().enter(self.context_id);
                worker.on_tick();
            }
        }
        self.retired
            .retain(|worker| worker.try_borrow().is_ok_and(|worker| !worker.is_idle()));
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(context_id, Rc::clone(&self.worker))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Reads control's answer and hands it to the worker. `context_id` is the context that made the call.
pub(super) fn on_answer(
    worker: &SharedWorker,
    context_id: u32,
    token_id: u32,
    num_headers: usize,
    body_size: usize,
) {
    let mut answer = ControlAnswer::default();
    if num_headers > 0 {
        let block = calls::header_block(MapType::HttpCallResponseHeaders).unwrap_or_default();
        for (name, value) in calls::pairs(&block) {
            match name {
                b":status" => answer.status = status(value),
                b"retry-after" => answer.retry_after = Some(value.to_vec()),
                name if name == MARKER_HEADER.as_bytes() => answer.marked = true,
                _ => {}
            }
        }
        if body_size <= LONGEST_ANSWER_BYTES {
            answer.body = calls::buffer(BufferType::HttpCallResponseBody, body_size).unwrap_or_default();
        }
    }
    if let Ok(mut worker) = worker.try_borrow_mut() {
        worker.host().enter(context_id);
        worker.on_control_answer(CallId(token_id), &answer);
    }
}

fn status(value: &[u8]) -> u16 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
