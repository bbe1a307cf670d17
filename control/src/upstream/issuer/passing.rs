//! Passes requests to an issuer as they are: one connection for each, no redirect followed, nothing sent twice.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::client::{CONNECT_TIMEOUT, CallFailed, ClientUnusable};

/// The most that one connection buffers in each direction, in bytes; also the longest head of an answer. What exceeds it
/// waits in the peer's socket.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// The HTTP client for requests that control passes on. Unlike [`IssuerClient`](super::client::IssuerClient) it adds no
/// header field of its own. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct PassingClient(Client<HttpsConnector<HttpConnector>, Body>);

impl PassingClient {
    /// # Errors
    /// [`ClientUnusable`] when TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, ClientUnusable> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(ClientUnusable::tls)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            // A request may hold a code or a refresh token: whether it arrived must never be in doubt because the issuer
            // closed an idle connection.
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(MAX_BUFFER_BYTES)
            .set_host(false)
            .build(connector);
        Ok(Self(client))
    }

    /// Sends `request`, whose URI is absolute and whose header fields include `Host`, and waits at most `patience` for the
    /// head of the answer.
    ///
    /// # Errors
    /// [`CallFailed`] without an answer.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        patience: Duration,
    ) -> Result<Response<Incoming>, CallFailed> {
        match tokio::time::timeout(patience, self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(CallFailed::Connect),
            Ok(Err(_)) => Err(CallFailed::Broken),
            Err(_) => Err(CallFailed::TimedOut),
        }
    }
}
