//! One connection, from its acceptance to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::pace::{Limit, Pace};
use super::paced_stream::PacedStream;
use crate::config::IntakeConfig;
use crate::http::{HttpService, TimedBody};

/// Longest head, of either version of HTTP: a credential, a session handle and a proxy's own headers.
const LONGEST_HEAD_BYTES: u32 = 16 * 1024;
/// Streams of one HTTP/2 connection at the same time. A proxy with more to ask opens another connection.
const MOST_STREAMS: u32 = 16;
/// What a client may send on one HTTP/2 stream before control has read it: the least that a frame may have.
const STREAM_WINDOW_BYTES: u32 = 16 * 1024;
/// The same for a whole connection; RFC 9113 §6.9.2 has it begin with as much.
const CONNECTION_WINDOW_BYTES: u32 = 65_535;
/// Largest HTTP/2 frame: the least that may be said (RFC 9113 §4.2).
const LONGEST_FRAME_BYTES: u32 = 16 * 1024;
/// What control keeps of answers on one HTTP/2 stream that the client does not take.
const LONGEST_UNSENT_BYTES: usize = 16 * 1024;
/// Streams that a client has opened and reset again before they were looked at ("rapid reset"), or that control has reset for
/// the client's faults, before the connection is closed.
const MOST_RESETS: usize = 32;
/// An HTTP/2 peer that answers no ping for this long has gone.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By its client, or because the process stops.
    Itself,
    /// A request did not come whole in time, or an answer was not taken in time.
    Late,
    /// Nothing was asked for too long.
    Idle,
    /// It made room for another one.
    PushedOut,
}

/// Serves `stream` with `site` until it ends, is too slow, makes room for another one, or `stopping` turns true and its
/// requests are answered.
pub(super) async fn serve<S>(
    stream: S,
    site: HttpService,
    intake: IntakeConfig,
    pace: Arc<Pace>,
    mut stopping: watch::Receiver<bool>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = Arc::clone(&pace);
    // hyper's own service: an adapter for tower would call `answered` only when the request's task is first polled, and until
    // then every task of a flood would hold its request's head.
    let service = hyper::service::service_fn(move |request| answered(&site, &requests, &intake, request));
    let stream = TokioIo::new(PacedStream::new(stream, Arc::clone(&pace)));
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(stream, service));
    let stop = async {
        // A sender that is gone is a listener that has ended: the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let end = tokio::select! {
        end = until_over(connection.as_mut(), &pace, &intake) => end,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            until_over(connection.as_mut(), &pace, &intake).await
        }
    };
    if end == End::PushedOut {
        // HTTP/2 peers learn that what they send from now on was not looked at, if that can be written at once.
        connection.as_mut().graceful_shutdown();
        poll_fn(|context| {
            let _ = connection.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    end
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(LONGEST_HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(LONGEST_FRAME_BYTES)
        .max_header_list_size(LONGEST_HEAD_BYTES)
        .max_send_buf_size(LONGEST_UNSENT_BYTES)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(MOST_RESETS);
    builder
}

/// Begins to answer `request`: whether there is room for it is decided at once.
fn answered(
    site: &HttpService,
    pace: &Arc<Pace>,
    intake: &IntakeConfig,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
    let whole = request.body().is_end_stream();
    let (request_pace, began) = pace.request_begins(whole, Instant::now());
    let arrival = Arrival::new(request_pace);
    let until = began + intake.deadline;
    let mut request = request.map(|body| Body::new(TimedBody::new(body, until)));
    request.extensions_mut().insert(arrival.clone());
    let answering = site.call(request);
    async move {
        let answer = answering.await;
        Ok(arrival.answered(answer, Instant::now()))
    }
}

/// The limit is looked at after every turn of the connection: nothing but its own progress moves it. The alarm may ring
/// too early: most limits move away before they are reached, and setting a timer for each costs more than one ring.
async fn until_over<C, E>(mut connection: Pin<&mut C>, pace: &Pace, intake: &IntakeConfig) -> End
where
    C: Future<Output = Result<(), E>>,
{
    let mut alarm = pin!(tokio::time::sleep(intake.deadline));
    let mut leave = pin!(pace.leave().notified());
    let mut leaving = false;
    poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Itself);
        }
        leaving = leaving || leave.as_mut().poll(context).is_ready();
        // It may have begun to answer a known caller since it was chosen.
        if leaving && pace.rest().is_some() {
            return Poll::Ready(End::PushedOut);
        }
        let (at, end) = match pace.limit(intake) {
            None => return Poll::Pending,
            Some(Limit::Late(at)) => (at, End::Late),
            Some(Limit::Idle(at)) => (at, End::Idle),
        };
        if alarm.deadline() > at {
            alarm.as_mut().reset(at);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if alarm.deadline() >= at {
                return Poll::Ready(end);
            }
            alarm.as_mut().reset(at);
        }
        Poll::Pending
    })
    .await
}
