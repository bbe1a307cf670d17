//! Serves one connection with hyper, within the limits of [`IntakeConfig`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::progress::{ConnectionProgress, Deadline};
use super::request_tracker::RequestTracker;
use super::tracked_stream::TrackedStream;
use crate::config::IntakeConfig;
use crate::http::{HttpService, TimedBody};

/// Longest request head, in HTTP/1 and HTTP/2: a credential, a session handle and a proxy's own headers.
const MAX_HEAD_BYTES: u32 = 16 * 1024;
/// Concurrent streams of one HTTP/2 connection. A proxy that needs more opens another connection.
const MAX_STREAMS: u32 = 16;
/// Flow-control window of one HTTP/2 stream: what a client may send before control has read it. One frame of the smallest
/// size limit that may be advertised.
const STREAM_WINDOW_BYTES: u32 = 16 * 1024;
/// Flow-control window of a whole connection: the initial value of RFC 9113 §6.9.2.
const CONNECTION_WINDOW_BYTES: u32 = 65_535;
/// Largest HTTP/2 frame: the smallest limit that may be advertised (RFC 9113 §4.2).
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// Send buffer of one HTTP/2 stream, for response bytes that the client does not accept yet.
const MAX_UNSENT_BYTES: usize = 16 * 1024;
/// Streams that the client has reset before control accepted them ("rapid reset"), or that control has reset because of
/// client errors, before the connection is closed.
const MAX_RESETS: usize = 32;
/// Interval of HTTP/2 keep-alive pings: a peer that does not answer one is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The client closed it, or the process shuts down.
    Finished,
    /// A request was not received in time, or a response was not accepted in time.
    Late,
    /// No request arrived within `intake.keep_alive`.
    Idle,
    /// A new connection took its slot.
    Evicted,
    /// The TLS handshake failed.
    NoHandshake,
}

/// The address of the peer of a connection: an extension of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// Serves `stream` of `peer` with `site` until it is closed, misses a deadline or is evicted, or until `shutdown` is cancelled and its
/// requests are answered.
pub(super) async fn serve_connection<S>(
    stream: S,
    peer: PeerAddress,
    site: HttpService,
    intake: IntakeConfig,
    progress: Arc<ConnectionProgress>,
    shutdown: CancellationToken,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = Arc::clone(&progress);
    // hyper's own service: an adapter for tower would call `handle` only when the request's task is first polled, and until
    // then every task of a flood would hold its request's head.
    let service = hyper::service::service_fn(move |request| handle(&site, peer, &requests, &intake, request));
    let stream = TokioIo::new(TrackedStream::new(stream, Arc::clone(&progress)));
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(stream, service));
    let reason = tokio::select! {
        reason = until_closed(connection.as_mut(), &progress, &intake) => reason,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            until_closed(connection.as_mut(), &progress, &intake).await
        }
    };
    if reason == CloseReason::Evicted {
        // Sends GOAWAY to an HTTP/2 peer if that can be written at once: later streams were not processed.
        connection.as_mut().graceful_shutdown();
        poll_fn(|context| {
            let _ = connection.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    reason
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(MAX_HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_send_buf_size(MAX_UNSENT_BYTES)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS);
    builder
}

/// Starts to handle `request`. The budget is checked in this call, before the returned future is polled.
fn handle(
    site: &HttpService,
    peer: PeerAddress,
    progress: &Arc<ConnectionProgress>,
    intake: &IntakeConfig,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
    let complete = request.body().is_end_stream();
    let (request_progress, began) = progress.begin_request(complete, Instant::now());
    let tracker = RequestTracker::new(request_progress);
    let until = began + intake.deadline;
    let is_multiplexed = request.version() >= Version::HTTP_2;
    let mut request = request.map(|body| Body::new(TimedBody::new(body, until)));
    request.extensions_mut().insert(tracker.clone());
    request.extensions_mut().insert(peer);
    let responding = site.call(request);
    async move {
        let response = responding.await;
        Ok(tracker.respond(response, is_multiplexed, Instant::now()))
    }
}

/// Drives the connection until it is closed, evicted or late. The deadline is computed after every poll of the connection:
/// only its own progress moves it. The timer may fire early: most deadlines move before they are reached, and resetting the
/// timer for each costs more than one early wake-up.
async fn until_closed<C, E>(
    mut connection: Pin<&mut C>,
    progress: &ConnectionProgress,
    intake: &IntakeConfig,
) -> CloseReason
where
    C: Future<Output = Result<(), E>>,
{
    let mut timer = pin!(tokio::time::sleep(intake.deadline));
    let mut eviction = pin!(progress.eviction().notified());
    let mut evicted = false;
    poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(CloseReason::Finished);
        }
        evicted = evicted || eviction.as_mut().poll(context).is_ready();
        // An authenticated request may have begun since the connection was chosen.
        if evicted && progress.eviction_rank().is_some() {
            return Poll::Ready(CloseReason::Evicted);
        }
        let (at, reason) = match progress.deadline(intake) {
            None => return Poll::Pending,
            Some(Deadline::Request(at)) => (at, CloseReason::Late),
            Some(Deadline::KeepAlive(at)) => (at, CloseReason::Idle),
        };
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= at {
                return Poll::Ready(reason);
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    })
    .await
}
