//! One HTTP stream.

use tokenward_protocol::refusal::Refusal;

use super::calls::{self, Action, MapType};
use super::host::send;
use super::root::SharedFilter;
use crate::header_map;
use tokenward_filter_core::host::StreamId;
use tokenward_filter_core::reply::{Reply, refusal_reply};
use tokenward_filter_core::request::RequestHead;
use tokenward_filter_core::verdict::{ResponseVerdict, Verdict};
use tokenward_filter_core::worker::Watch;

pub(super) struct Stream {
    filter: SharedFilter,
    watch: Option<Watch>,
}

impl Stream {
    pub(super) fn new(filter: SharedFilter) -> Self {
        Self { filter, watch: None }
    }

    /// The request's headers have arrived.
    pub(super) fn request_headers(&mut self, context: u32) -> Action {
        match self.verdict(context) {
            Verdict::Continue => Action::Continue,
            Verdict::Pause => Action::Pause,
            Verdict::ContinueWith(authorization) => {
                match calls::replace_header(MapType::Request, "authorization", &authorization) {
                    Ok(()) => Action::Continue,
                    Err(_) => Self::refuse(),
                }
            }
            Verdict::Reply(reply) => send_reply(&reply),
        }
    }

    fn verdict(&mut self, context: u32) -> Verdict {
        let Ok(mut filter) = self.filter.try_borrow_mut() else {
            return Verdict::Reply(unreadable().into());
        };
        filter.host().enter(context);
        // Headers that cannot be read might contain a stale token.
        let block = calls::header_block(MapType::Request).unwrap_or_default();
        let mut headers = header_map::read(&block);
        let head = RequestHead::read(&mut headers, filter.session_headers());
        if !headers.is_whole() {
            return filter.refuse_unreadable();
        }
        let verdict = filter.on_request(StreamId(context), &head);
        self.watch = filter.take_watch();
        verdict
    }

    /// Refuses the running request: without a verdict it must not pass.
    pub(super) fn refuse() -> Action {
        send_reply(&unreadable())
    }

    /// The response's headers have arrived: the server's, or those of the filter's own reply, which has no watch.
    pub(super) fn response_headers(self, context: u32) {
        let Some(watch) = self.watch else {
            return;
        };
        let Ok(mut filter) = self.filter.try_borrow_mut() else {
            return;
        };
        filter.host().enter(context);
        let status = calls::header(MapType::Response, ":status");
        let status = status.map_or(0, |text| header_map::status_code(&text));
        if let ResponseVerdict::AsUnavailable { retry_after } =
            filter.on_response(&watch, status, names_invalid_token)
        {
            make_unavailable(&retry_after);
        }
    }
}

fn unreadable() -> Reply {
    refusal_reply(Refusal::UnreadableRequest, None, 1_000)
}

/// Whether one of the server's challenges names the token as the fault (RFC 6750 §3.1). A server may send several, for
/// several schemes.
fn names_invalid_token() -> bool {
    let block = calls::header_block(MapType::Response).unwrap_or_default();
    let names_it = |challenge: &[u8]| {
        let mut parts = challenge.windows(b"invalid_token".len());
        parts.any(|part| part == b"invalid_token")
    };
    header_map::read(&block).any(|(name, value)| name == b"www-authenticate" && names_it(value))
}

/// Turns the server's 401 into a 503. A header that the host does not change stays as the server sent it.
fn make_unavailable(retry_after: &str) {
    let kind = MapType::Response;
    let changed = calls::replace_header(kind, ":status", "503")
        .and_then(|()| calls::replace_header(kind, "retry-after", retry_after))
        .and_then(|()| calls::replace_header(kind, "cache-control", "no-store"))
        .and_then(|()| calls::remove_header(kind, "www-authenticate"));
    let _ = changed;
}

/// Replies to the running stream. If that fails the request stays paused and Envoy's stream timeout ends it: anything is
/// better than forwarding a stale token.
fn send_reply(reply: &Reply) -> Action {
    let _ = send(reply);
    Action::Pause
}
