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
use crate::worker::{ResponseVerdict, Verdict, Watch};

pub(super) struct Http {
    context_id: u32,
    worker: SharedWorker,
    watch: Option<Watch>,
}

impl Http {
    pub(super) fn new(context_id: u32, worker: SharedWorker) -> Self {
        Self {
            context_id,
            worker,
            watch: None,
        }
    }

    fn verdict(&mut self) -> Verdict {
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
        let verdict = worker.on_request(StreamId(self.context_id), &head);
        self.watch = worker.take_watch();
        verdict
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
        // Without a watch the stream was refused, passed by, or answered by its server: nothing waits for it.
        if let Some(watch) = self.watch.take()
            && let Ok(mut worker) = self.worker.try_borrow_mut()
        {
            let stream = StreamId(self.context_id);
            worker.on_stream_gone(stream, &watch);
            worker.host().was_answered(stream);
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
                match calls::replace_header(MapType::HttpRequestHeaders, "authorization", &authorization) {
                    Ok(()) => Action::Continue,
                    Err(_) => answer(&refusal_reply(Refusal::FilterMisconfigured, None, 1_000)),
                }
            }
            Verdict::Reply(reply) => answer(&reply),
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let Some(watch) = self.watch.take() else {
            return Action::Continue;
        };
        let Ok(mut worker) = self.worker.try_borrow_mut() else {
            return Action::Continue;
        };
        worker.host().enter(self.context_id);
        if worker.host().was_answered(StreamId(self.context_id)) {
            return Action::Continue;
        }
        let status = calls::header(MapType::HttpResponseHeaders, ":status").unwrap_or_default();
        let status = std::str::from_utf8(&status)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        if let ResponseVerdict::Soften { retry_after } =
            worker.on_response(&watch, status, says_invalid_token)
        {
            soften(&retry_after);
        }
        Action::Continue
    }
}

/// Whether the server's challenge names the token as the fault (RFC 6750 §3.1).
fn says_invalid_token() -> bool {
    let challenge = calls::header(MapType::HttpResponseHeaders, "www-authenticate").unwrap_or_default();
    challenge
        .windows(b"invalid_token".len())
        .any(|part| part == b"invalid_token")
}

/// Makes the server's 401 a 503. What the host refuses stays as the server said it.
fn soften(retry_after: &str) {
    let kind = MapType::HttpResponseHeaders;
    let softened = calls::replace_header(kind, ":status", "503")
        .and_then(|()| calls::replace_header(kind, "retry-after", retry_after))
        .and_then(|()| calls::replace_header(kind, "cache-control", "no-store"))
        .and_then(|()| calls::remove_header(kind, "www-authenticate"));
    let _ = softened;
}

/// Answers the running stream. If even that fails the request stays paused and Envoy's stream timeout ends it:
/// anything is better than letting a stale token through.
fn answer(reply: &Reply) -> Action {
    let _ = send(reply);
    Action::Pause
}
