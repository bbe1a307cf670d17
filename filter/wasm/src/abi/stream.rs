//! One HTTP stream.

use std::rc::Rc;

use tokenward_protocol::refusal::Refusal;

use super::calls::{self, Action, MapType};
use super::host::{Envoy, send};
use super::memory::HostBytes;
use super::root::SharedFilter;
use crate::header_map;
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::StreamId;
use tokenward_filter_core::reply::{Reply, refusal_reply};
use tokenward_filter_core::request::RequestHead;
use tokenward_filter_core::verdict::{ResponseVerdict, Verdict};
use tokenward_filter_core::worker::Watch;

/// A stream, as far as it is stored.
pub(super) enum Stream {
    /// Its headers have not come; the root context that it belongs to.
    Begun(u32),
    /// Its server's response is watched: it was forwarded, or is paused.
    Forwarded(SharedFilter, Watch),
}

impl Stream {
    /// The root context of a stream whose headers have not come.
    pub(super) fn root(self) -> Option<u32> {
        match self {
            Self::Begun(root) => Some(root),
            Self::Forwarded(..) => None,
        }
    }
}

/// The request's headers have arrived. Also returns what to store of the stream.
pub(super) fn request_headers(shared: &SharedFilter, context: u32) -> (Action, Option<Stream>) {
    let Ok(mut filter) = shared.try_borrow_mut() else {
        return (refuse(), None);
    };
    filter.host().enter(context);
    let action = act(verdict(&mut filter, context));
    let watch = filter.take_watch();
    (
        action,
        watch.map(|watch| Stream::Forwarded(Rc::clone(shared), watch)),
    )
}

fn verdict(filter: &mut Filter<Envoy>, context: u32) -> Verdict {
    // Headers that cannot be read might contain a stale token.
    let block = calls::header_block(MapType::Request).unwrap_or(HostBytes::EMPTY);
    let mut headers = header_map::read(&block);
    let head = RequestHead::read(&mut headers, filter.session_headers());
    if !headers.is_whole() {
        return filter.refuse_unreadable();
    }
    filter.on_request(StreamId(context), &head)
}

fn act(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Continue => Action::Continue,
        Verdict::Pause => Action::Pause,
        Verdict::ContinueWith(authorization) => {
            match calls::replace_header(MapType::Request, "authorization", &authorization) {
                Ok(()) => Action::Continue,
                Err(_) => refuse(),
            }
        }
        Verdict::Reply(reply) => send_reply(&reply),
    }
}

/// Refuses the running request: without a verdict it must not pass.
#[cold]
#[inline(never)]
pub(super) fn refuse() -> Action {
    send_reply(&unreadable())
}

/// The response's headers of a watched stream have arrived.
pub(super) fn response_headers(filter: &SharedFilter, watch: &Watch, context: u32) {
    let Ok(mut filter) = filter.try_borrow_mut() else {
        return;
    };
    filter.host().enter(context);
    let status = calls::header(MapType::Response, ":status");
    let status = status.map_or(0, |text| header_map::status_code(&text));
    if let ResponseVerdict::AsUnavailable { retry_after } =
        filter.on_response(watch, status, names_invalid_token)
    {
        make_unavailable(&retry_after);
    }
}

fn unreadable() -> Reply {
    refusal_reply(Refusal::UnreadableRequest, None, 1_000)
}

/// Whether one of the server's challenges names the token as the fault (RFC 6750 §3.1). A server may send several, for
/// several schemes.
#[cold]
#[inline(never)]
fn names_invalid_token() -> bool {
    let block = calls::header_block(MapType::Response).unwrap_or(HostBytes::EMPTY);
    let names_it = |challenge: &[u8]| {
        let mut parts = challenge.windows(b"invalid_token".len());
        parts.any(|part| part == b"invalid_token")
    };
    header_map::read(&block).any(|(name, value)| name == b"www-authenticate" && names_it(value))
}

/// Turns the server's 401 into a 503. A header that the host does not change stays as the server sent it.
#[cold]
#[inline(never)]
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
