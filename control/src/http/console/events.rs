//! `GET /console/events`: server-sent events (WHATWG HTML §9.2) that make the script fetch the page again. They carry no data
//! of users. A stream ends before the listener's own deadline for answers, and the browser opens the next one: so a login
//! that ended, and a shutdown, are noticed within seconds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::with_security_headers;
use super::guard::{Site, Visitor};

/// Remaining times on a page are this old at most.
const TICK: Duration = Duration::from_secs(5);
/// How often the newest event is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a stream lasts, as a share of the listener's deadline for one answer.
const SHARE: f64 = 0.8;
const LONGEST: Duration = Duration::from_secs(60);

pub(super) async fn get(visitor: Visitor) -> Response {
    let site = visitor.site;
    let Ok(place) = std::sync::Arc::clone(&site.console.live_pages).try_acquire_owned() else {
        // The browser tries again after a while; the page itself stays readable.
        return with_security_headers(StatusCode::SERVICE_UNAVAILABLE.into_response());
    };
    let until = Instant::now() + site.service.config.intake.deadline.mul_f64(SHARE).min(LONGEST);
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let _place = place;
        send(&site, &sender, until).await;
    });
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    with_security_headers((StatusCode::OK, [content_type], Body::new(Events(receiver))).into_response())
}

/// Sends events until `until`, or until the browser leaves. An outage of the store sends none but ticks.
async fn send(site: &Site, sender: &mpsc::Sender<Bytes>, until: Instant) {
    let mut message = Bytes::from_static(b"retry: 1000\n\n");
    let mut newest = site.service.newest_event(&site.console).await.unwrap_or_default();
    let mut ticked = Instant::now();
    loop {
        if sender.send(message).await.is_err() {
            return;
        }
        message = loop {
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep_until(until) => return,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let now = site.service.newest_event(&site.console).await;
            if let Ok(now) = now
                && now != newest
            {
                newest = now;
                break Bytes::from_static(b"event: changed\ndata:\n\n");
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                break Bytes::from_static(b"event: tick\ndata:\n\n");
            }
        };
    }
}

/// The body of the stream.
struct Events(mpsc::Receiver<Bytes>);

impl HttpBody for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|bytes| Some(Ok(Frame::data(bytes?))))
    }
}
