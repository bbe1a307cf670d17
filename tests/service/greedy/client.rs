//! An HTTP/2 client that opens as many streams as it may, finishes no request and reads no answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;

/// Between two looks at the settings.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

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
    /// A connection whose streams accept `window_bytes` of an answer. Control has stated by SETTINGS how many streams it
    /// may have; before that it opens none.
    pub(super) async fn connect(address: SocketAddr, window_bytes: u32) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(window_bytes)
            .initial_max_send_streams(0)
            .handshake(stream)
            .await?;
        let driver = tokio::spawn(async move {
            // The tests look at control, not at how the connection ends.
            let _ = connection.await;
        });
        let client = Self {
            requests,
            driver,
            streams: Vec::new(),
        };
        timeout(PATIENCE, client.settings()).await??;
        Ok(client)
    }

    /// Returns once the settings are here.
    async fn settings(&self) -> anyhow::Result<()> {
        while self.most_streams() == 0 {
            anyhow::ensure!(
                !self.driver.is_finished(),
                "the connection ended before its settings"
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// How many streams control lets this connection have (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub(super) fn most_streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Opens a stream with `body`, which does not end; `false` where it already has one more than control lets be open,
    /// which waits in this client.
    pub(super) async fn open(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: &Bytes,
    ) -> anyhow::Result<bool> {
        if self.streams.len() > self.most_streams() {
            return Ok(false);
        }
        let ready = poll_fn(|context| self.requests.poll_ready(context));
        timeout(PATIENCE, ready).await??;
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

    /// Opens such streams until there are `most`, or one more than control lets be open; how many there are.
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

    /// The statuses of the streams that were answered so far.
    pub(super) async fn statuses(&mut self) -> Vec<u16> {
        let mut statuses = Vec::new();
        for (answer, _) in &mut self.streams {
            if let Ok(Ok(answer)) = timeout(Duration::ZERO, answer).await {
                statuses.push(answer.status().as_u16());
            }
        }
        statuses
    }
}
