//! What a request knows of the connection that it came by.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::budget::{Admission, Caller};
use super::pace::{Phase, RequestPace};

/// The end of an answer that is handed over in a frame of its own. HTTP/2 takes a frame whole as soon as it may send one
/// byte of it; only when the client has made room for everything before the tail is the tail asked for.
const TAIL_BYTES: usize = 256;

/// One request's way in: an extension of the request. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Arrival(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pace: RequestPace,
    admission: Mutex<Option<Admission>>,
}

impl Arrival {
    pub(super) fn new(pace: RequestPace) -> Self {
        Self(Arc::new(Inner {
            pace,
            admission: Mutex::default(),
        }))
    }

    /// The request's bytes are on the account of `admission` until its answer is taken.
    pub(crate) fn admitted(&self, admission: &Admission) {
        *self.admission() = Some(admission.clone());
    }

    fn admission(&self) -> std::sync::MutexGuard<'_, Option<Admission>> {
        self.0.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body has come whole.
    pub(crate) fn is_whole(&self) {
        self.0.pace.enter(Phase::Answering);
    }

    /// Whether the caller has shown a credential.
    pub(crate) fn is_of(&self, caller: Caller) {
        if caller == Caller::Known {
            self.0.pace.enter(Phase::Known);
        }
    }

    /// `answer` is sent from now on: the request lasts until the client has taken it.
    pub(super) fn answered(self, answer: Response<Body>, now: Instant) -> Response<Body> {
        self.0.pace.enter(Phase::Sending(now));
        if let Some(admission) = &*self.admission() {
            admission.waits_for_client(Some(self.0.pace.leave()));
        }
        if answer.body().is_end_stream() {
            return answer;
        }
        answer.map(|body| {
            Body::new(AnswerBody {
                body,
                tail: None,
                _arrival: self,
            })
        })
    }
}

/// An answer's body, which keeps its request until the client has taken it.
struct AnswerBody {
    body: Body,
    tail: Option<Bytes>,
    _arrival: Arrival,
}

impl HttpBody for AnswerBody {
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
                if data.len() > TAIL_BYTES {
                    // A copy: a slice would keep the whole answer.
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
