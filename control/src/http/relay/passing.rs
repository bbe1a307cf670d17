//! Bodies of requests and answers that are passed as they arrive, with bounded memory and bounded time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use tokio::time::{Duration, Instant};

use crate::app::Service;
use crate::app::relay::{Account, RelayEndpoint, end_to_end};
use crate::http::admission::Admitted;
use crate::http::body::BodyError;
use crate::http::timed_body::TimedBody;
use crate::upstream::issuer::client::CallFailed;

/// Passes `request` and returns the issuer's answer, whose body follows as it arrives.
///
/// # Errors
/// [`CallFailed`] without an answer.
pub(super) async fn pass(
    service: &Service,
    endpoint: &RelayEndpoint,
    request: Request<Body>,
    patience: Duration,
) -> Result<Response, CallFailed> {
    let answer = service.pass(endpoint, request, patience).await?;
    let (head, body) = answer.into_parts();
    let until = Instant::now() + patience;
    let mut response = Response::new(Body::new(TimedBody::new(body, until)));
    *response.status_mut() = head.status;
    *response.headers_mut() = end_to_end(&head.headers);
    if let Some(reason) = head.extensions.get::<ReasonPhrase>() {
        response.extensions_mut().insert(reason.clone());
    }
    Ok(response)
}

/// A body that begins with `begun`.
pub(super) fn continued(begun: Bytes, rest: Body) -> Body {
    Body::new(Continued {
        begun: VecDeque::from([begun]),
        rest,
    })
}

/// Bytes that were read already, then the rest.
struct Continued {
    begun: VecDeque<Bytes>,
    rest: Body,
}

impl Continued {
    /// The next part of what was read already.
    fn next_begun(&mut self) -> Option<Bytes> {
        loop {
            let part = self.begun.pop_front()?;
            if !part.is_empty() {
                return Some(part);
            }
        }
    }

    fn begun_bytes(&self) -> u64 {
        self.begun.iter().map(|part| part.len() as u64).sum()
    }
}

impl HttpBody for Continued {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(part) = self.next_begun() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        Pin::new(&mut self.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.begun_bytes() == 0 && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (begun, rest) = (self.begun_bytes(), self.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(begun));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(begun));
        }
        hint
    }
}

/// Why a client's body ended before its end, for the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<BodyError>>>);

impl Fault {
    fn set(&self, why: BodyError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// The cause, if the client's body has one.
    pub(super) fn get(&self) -> Option<BodyError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request body that is passed while it arrives. While it is incomplete the request can be evicted from the budget.
pub(super) struct Streamed {
    body: Continued,
    admitted: Admitted,
    evicted: Pin<Box<dyn Future<Output = ()> + Send>>,
    fault: Fault,
}

impl Streamed {
    /// `read`, then `rest`.
    pub(super) fn new(read: [Bytes; 2], rest: Body, admitted: Admitted) -> Self {
        let admission = admitted.admission.clone();
        if rest.is_end_stream() {
            admitted.body_complete();
        } else {
            admission.body_expected();
        }
        Self {
            body: Continued {
                begun: read.into(),
                rest,
            },
            evicted: Box::pin(async move { admission.evicted().await }),
            admitted,
            fault: Fault::default(),
        }
    }

    /// Where the cause is to be found if the body ends early.
    pub(super) fn fault(&self) -> Fault {
        self.fault.clone()
    }
}

/// The request was evicted.
#[derive(Debug, thiserror::Error)]
#[error("other requests needed the room of this one")]
struct Evicted;

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.evicted.as_mut().poll(context).is_ready() {
            self.fault.set(BodyError::OverBudget);
            return Poll::Ready(Some(Err(axum::Error::new(Evicted))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Err(error))) => self.fault.set(BodyError::of(error)),
            Poll::Ready(None) => self.admitted.body_complete(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.admitted.body_complete(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Account for Admitted {
    fn take(&self, bytes: usize) -> bool {
        self.admission.grow(bytes).is_ok()
    }
}
