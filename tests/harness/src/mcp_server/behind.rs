//! A real MCP server behind the verification: requests and answers pass as they are, streams as they come.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, Method, StatusCode};

use super::lasting::LastingBody;

/// A listener that comes back starts afresh: server-everything would replay to it what it has sent to others.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const LONGEST_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The server behind.
#[derive(Debug)]
pub(super) struct Behind {
    http: reqwest::Client,
    server: SocketAddr,
}

impl Behind {
    pub(super) fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, server })
    }

    /// Its answer. A listener's stream ends after `streams_last`, unless that is zero.
    pub(super) async fn answer(&self, request: Request, streams_last: Duration) -> Response {
        let is_listener = request.method() == Method::GET;
        match self.passed_on(request).await {
            Ok(answer) if is_listener && !streams_last.is_zero() => {
                answer.map(|body| Body::new(LastingBody::of(body, streams_last)))
            }
            Ok(answer) => answer,
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }

    async fn passed_on(&self, request: Request) -> anyhow::Result<Response> {
        let (mut parts, body) = request.into_parts();
        // The server behind is not protected, and shall not be: it needs no token.
        for name in [
            AUTHORIZATION,
            HOST,
            CONNECTION,
            TRANSFER_ENCODING,
            CONTENT_LENGTH,
            LAST_EVENT_ID,
        ] {
            parts.headers.remove(name);
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let sent = self
            .http
            .request(parts.method, format!("http://{}{path}", self.server))
            .headers(parts.headers)
            .body(to_bytes(body, LONGEST_BODY_BYTES).await?)
            .send()
            .await?;
        let mut answer = http::Response::from(sent).map(Body::new);
        for name in [CONNECTION, TRANSFER_ENCODING] {
            answer.headers_mut().remove(name);
        }
        Ok(answer)
    }
}
