//! Bodies of event streams that end after a time, in order: with the last chunk, not with a broken connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::Frame;
use tokio::time::Sleep;

/// A body that ends after a time at the latest.
pub(super) struct LastingBody {
    first: Option<Bytes>,
    inner: Option<Body>,
    end: Pin<Box<Sleep>>,
}

impl LastingBody {
    /// These bytes, then silence until the end.
    pub(super) fn silent_after(first: Bytes, lasts: Duration) -> Self {
        Self {
            first: Some(first),
            inner: None,
            end: Box::pin(tokio::time::sleep(lasts)),
        }
    }

    /// Another body, cut off at the end.
    pub(super) fn of(inner: Body, lasts: Duration) -> Self {
        Self {
            first: None,
            inner: Some(inner),
            end: Box::pin(tokio::time::sleep(lasts)),
        }
    }
}

impl http_body::Body for LastingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(inner) = &mut self.inner
            && let Poll::Ready(frame) = Pin::new(inner).poll_frame(context)
        {
            return Poll::Ready(frame);
        }
        self.end.as_mut().poll(context).map(|()| None)
    }
}
