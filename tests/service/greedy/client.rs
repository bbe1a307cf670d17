//! An HTTP/2 client that opens as much as it is let, finishes nothing and takes nothing.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A stream that control does not open within this is one too many.
const OPENS_WITHIN: Duration = Duration::from_millis(300);

/// One connection with all its streams. It is closed with this guard.
pub(super) struct Client {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<()>,
    streams: Vec<(ResponseFuture, SendStream<Bytes>)>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// A connection whose streams take `window_bytes` of an answer.
    pub(super) async fn connect(address: SocketAddr, window_bytes: u32) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(window_bytes)
            .handshake(stream)
            .await?;
        let driver = tokio::spawn(async move {
            // However it ends: the tests look at control.
            let _ = connection.await;
        });
        let requests = requests.ready().await?;
        Ok(Self {
            requests,
            driver,
            streams: Vec::new(),
        })
    }

    /// Opens a stream with `body`, which does not end; `false`: as many are open as control lets.
    pub(super) async fn open(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: &Bytes,
    ) -> anyhow::Result<bool> {
        let ready = poll_fn(|context| self.requests.poll_ready(context));
        let Ok(ready) = tokio::time::timeout(OPENS_WITHIN, ready).await else {
            return Ok(false);
        };
        ready?;
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("http://control{path}"))
            .body(())?;
        *request.headers_mut() = headers;
        let ends = method == Method::GET;
        let (answer, mut stream) = self.requests.send_request(request, ends)?;
        if !ends {
            stream.send_data(body.clone(), false)?;
        }
        self.streams.push((answer, stream));
        Ok(true)
    }

    /// Opens such streams until control lets no more of them, at most `most`; how many there are.
    pub(super) async fn open_all(
        &mut self,
        most: usize,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> anyhow::Result<usize> {
        while self.streams.len() < most && self.open(method.clone(), path, headers.clone(), body).await? {}
        Ok(self.streams.len())
    }

    /// Resets the stream that was opened last.
    pub(super) fn reset_last(&mut self) {
        if let Some((_, mut stream)) = self.streams.pop() {
            stream.send_reset(h2::Reason::CANCEL);
        }
    }

    /// How many streams were answered so far, by status.
    pub(super) async fn statuses(&mut self) -> Vec<u16> {
        let mut statuses = Vec::new();
        for (answer, _) in &mut self.streams {
            if let Ok(Ok(answer)) = tokio::time::timeout(Duration::ZERO, answer).await {
                statuses.push(answer.status().as_u16());
            }
        }
        statuses
    }
}
