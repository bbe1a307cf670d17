//! One HTTP stream.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use tokenward_protocol::refusal::Refusal;

use super::calls;
use super::host::send;
use super::root::{SharedWorker, on_answer};
use crate::host::StreamId;
use crate::outcome::{Reply, refusal_reply};
use crate::request::RequestHead;
use crate::worker::Verdict;

pub(super) struct Http {
    context_id: u32,
    worker: SharedWorker,
}

impl Http {
    pub(super) fn new(context_id: u32, worker: SharedWorker) -> Self {
        Self { context_id, worker }
    }

    fn verdict(&self) -> Verdict {
        let refuse = || Verdict::Reply(refusal_reply(Refusal::FilterMisconfigured, None, 1_000));
        // Headers that cannot be read might hold a stale token.
        let Ok(block) = calls::header_block(MapType::HttpRequestHeaders) else {
            return refuse();
        };
        let Ok(mut worker) = self.worker.try_borrow_mut() else {
            return refuse();
        };
        worker.host().enter(self.context_id);
        let head = RequestHead::read(calls::pairs(&block), worker.session_headers());
        worker.on_request(StreamId(self.context_id), &head)
    }
}

impl Context for Http {
    fn on_http_call_response(
        &mut self,
        token_id: u32,
        num_headers: usize,
        body_size: usize,
        _trailers: usize,
    ) {
        on_answer(&self.worker, self.context_id, token_id, num_headers, body_size);
    }

    fn on_done(&mut self) -> bool {
        if let Ok(mut worker) = self.worker.try_borrow_mut() {
            worker.on_stream_gone(StreamId(self.context_id));
        }
        true
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match self.verdict() {
            Verdict::Continue => Action::Continue,
            Verdict::Pause => Action::Pause,
            Verdict::ContinueWith(authorization) => {
                match calls::replace_request_header("authorization", &authorization) {
                    Ok(()) => Action::Continue,
                    Err(_) => answer(&refusal_reply(Refusal::FilterMisconfigured, None, 1_000)),
                }
            }
            Verdict::Reply(reply) => answer(&reply),
        }
    }
}

/// Answers the running stream. If even that fails the request stays paused and Envoy's stream timeout ends it:
/// anything is better than letting a stale token through.
fn answer(reply: &Reply) -> Action {
    let _ = send(reply);
    Action::Pause
}
