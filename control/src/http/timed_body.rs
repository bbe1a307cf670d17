//! A request body with a deadline.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// The request was not complete at its deadline.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request did not arrive within intake.deadline")]
pub(crate) struct BodyTimeout;

/// `Incoming` until a deadline, then an error.
pub(crate) struct TimedBody {
    body: Incoming,
    until: Instant,
    /// Created when the body is first incomplete: most bodies arrive together with the head.
    timer: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    /// Wraps `body`, which must be complete at `until`.
    pub(crate) fn new(body: Incoming, until: Instant) -> Self {
        Self {
            body,
            until,
            timer: None,
        }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                let until = self.until;
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                timer
                    .as_mut()
                    .poll(context)
                    .map(|()| Some(Err(BodyTimeout.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
