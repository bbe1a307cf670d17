//! One connection, from its acceptance to its end.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::pace::{Limit, Pace};
use super::paced_stream::PacedStream;
use super::timed_body::TimedBody;
use crate::config::IntakeConfig;

/// Longest head: a credential, a session handle and a proxy's own headers.
const LONGEST_HEAD_BYTES: usize = 32 * 1024;
/// Streams of one HTTP/2 connection at the same time.
const MOST_STREAMS: u32 = 256;
/// An HTTP/2 peer that answers no ping for this long has gone.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By its client, or because the process stops.
    Itself,
    /// A request did not come whole in time.
    Late,
    /// Nothing was asked for too long.
    Idle,
}

/// Ends a request in its connection's [`Pace`], also when its client goes away before the answer.
struct UnderWay(Arc<Pace>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.request_ends(Instant::now());
    }
}

/// Serves `stream` with `router` until it ends, is too slow, or `stopping` turns true and its requests are answered.
pub(super) async fn serve<S>(
    stream: S,
    router: Router,
    intake: IntakeConfig,
    pace: Arc<Pace>,
    mut stopping: watch::Receiver<bool>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(LONGEST_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(MOST_STREAMS);
    let requests = Arc::clone(&pace);
    let service = TowerToHyperService::new(tower::service_fn(move |request: Request<Incoming>| {
        let began = requests.request_begins(Instant::now());
        let under_way = UnderWay(Arc::clone(&requests));
        let until = began + intake.deadline;
        let answer = router
            .clone()
            .oneshot(request.map(|body| Body::new(TimedBody::new(body, until))));
        async move {
            let answer = answer.await;
            drop(under_way);
            answer
        }
    }));
    let stream = TokioIo::new(PacedStream::new(stream, Arc::clone(&pace)));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let stop = async {
        // A sender that is gone is a listener that has ended: the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    tokio::select! {
        end = until_over(connection.as_mut(), &pace, &intake) => return end,
        () = stop => connection.as_mut().graceful_shutdown(),
    }
    until_over(connection, &pace, &intake).await
}

/// The limit is looked at after every turn of the connection: nothing but its own progress moves it. The alarm may ring
/// too early: most limits move away before they are reached, and setting a timer for each costs more than one ring.
async fn until_over<C, E>(mut connection: Pin<&mut C>, pace: &Pace, intake: &IntakeConfig) -> End
where
    C: Future<Output = Result<(), E>>,
{
    let mut alarm = pin!(tokio::time::sleep(intake.deadline));
    poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Itself);
        }
        let (at, end) = match pace.limit(intake) {
            Limit::None => return Poll::Pending,
            Limit::Late(at) => (at, End::Late),
            Limit::Idle(at) => (at, End::Idle),
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
