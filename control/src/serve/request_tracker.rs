//! Ties a request to its connection's progress and to its bytes in the budget, until the client has accepted the response.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::budget::{Admission, Caller};
use super::progress::{RequestPhase, RequestProgress};

/// The last bytes of a response, sent in a frame of their own. HTTP/2 takes a frame whole as soon as it may send one byte of
/// it, so the tail is polled only when the client has made room for everything before it.
const TAIL_BYTES: usize = 256;
/// HTTP/1 buffers a response of up to so many bytes whole, whatever its frames are.
const BUFFERED_BYTES: u64 = 8 * 1024;

/// Tracks one request; an extension of the request. Cheap to clone: the last clone ends the request.
#[derive(Debug, Clone)]
pub(crate) struct RequestTracker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    progress: RequestProgress,
    admission: Mutex<Option<Admission>>,
}

impl RequestTracker {
    pub(super) fn new(progress: RequestProgress) -> Self {
        Self(Arc::new(Inner {
            progress,
            admission: Mutex::default(),
        }))
    }

    /// Holds `admission`, and with it the request's bytes in the budget, until the client has accepted the response.
    pub(crate) fn hold(&self, admission: &Admission) {
        *self.admission() = Some(admission.clone());
    }

    fn admission(&self) -> std::sync::MutexGuard<'_, Option<Admission>> {
        self.0.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the body is complete.
    pub(crate) fn body_received(&self) {
        self.0.progress.enter(RequestPhase::Handling);
    }

    /// Records whether the request has presented a valid credential.
    pub(crate) fn identified(&self, caller: Caller) {
        if caller == Caller::Known {
            self.0.progress.enter(RequestPhase::Authenticated);
        }
    }

    /// Starts to send `response`: the request lasts until the client has accepted all of it.
    pub(super) fn respond(
        self,
        response: Response<Body>,
        is_multiplexed: bool,
        now: Instant,
    ) -> Response<Body> {
        self.0.progress.enter(RequestPhase::Sending(now));
        if let Some(admission) = &*self.admission() {
            admission.set_waiting(Some(self.0.progress.eviction()));
        }
        if response.body().is_end_stream() {
            return response;
        }
        response.map(|body| {
            let is_short = body
                .size_hint()
                .exact()
                .is_some_and(|bytes| bytes <= BUFFERED_BYTES);
            Body::new(ResponseBody {
                body,
                has_tail: is_multiplexed || !is_short,
                tail: None,
                _tracker: self,
            })
        })
    }
}

/// A response body that holds its request's tracker until the client has accepted the last byte.
struct ResponseBody {
    body: Body,
    /// Whether the last bytes of a frame are sent in one of their own.
    has_tail: bool,
    tail: Option<Bytes>,
    _tracker: RequestTracker,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(tail) = self.tail.take() {
            return Poll::Ready(Some(Ok(Frame::data(tail))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = polled else {
            return polled;
        };
        let frame = match frame.into_data() {
            Ok(mut data) => {
                if self.has_tail && data.len() > TAIL_BYTES {
                    // A copy: a slice would retain the whole response.
                    let tail = data.split_off(data.len() - TAIL_BYTES);
                    self.tail = Some(Bytes::copy_from_slice(&tail));
                }
                Frame::data(data)
            }
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let tail = self.tail.as_ref().map_or(0, |tail| tail.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + tail);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + tail);
        }
        hint
    }
}
