//! CORS for the endpoints that clients in browsers call (Fetch standard). Their responses hold nothing that a cookie or
//! another ambient credential would add, so any origin may read them. The pages for users have no CORS.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::hosted::Hosted;

/// What MCP clients in browsers send: the inspector and web hosts preflight the MCP headers too, and headers that their
/// users add. `*` does not cover `authorization`, and old browsers do not know it.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "*, authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");

/// Lets any origin read `response`.
pub(in crate::http) fn with_cors(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("www-authenticate, retry-after"),
    );
    response
}

/// The response to a preflight.
pub(in crate::http) fn preflight_response() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")),
    ];
    with_cors((StatusCode::NO_CONTENT, headers).into_response())
}

/// `OPTIONS` of an endpoint with CORS.
pub(super) async fn preflight(_: Hosted) -> Response {
    preflight_response()
}
