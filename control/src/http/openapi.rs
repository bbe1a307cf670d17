//! `GET /openapi.json`: the API as OpenAPI 3.1.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::VERSION;

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| include_str!("openapi.json").replace("@VERSION@", VERSION).into());

pub(super) async fn openapi() -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (StatusCode::OK, headers, DOCUMENT.clone()).into_response()
}
