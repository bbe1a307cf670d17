//! `/filter/tokenward.wasm` and its SHA-256: public, because Envoy fetches modules without a credential and verifies
//! them by the digest in its own configuration.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokenward_protocol::refusal::Refusal;

use super::response;
use crate::app::Service;
use crate::config::FilterModule;

/// The URL stays the same across releases while the module changes, so caches revalidate their copy.
const REVALIDATE: &str = "public, max-age=60, must-revalidate";

/// `GET /filter/tokenward.wasm`.
pub(super) async fn module(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let Some(module) = &service.config.filter_module else {
        return absent();
    };
    if is_not_modified(module, &headers) {
        return with_headers(
            module,
            "application/wasm",
            StatusCode::NOT_MODIFIED,
            Body::empty(),
        );
    }
    let bytes = Bytes::from_owner(Arc::clone(&module.bytes));
    with_headers(module, "application/wasm", StatusCode::OK, Body::from(bytes))
}

/// `GET /filter/tokenward.wasm.sha256`, in the format that `sha256sum --check` reads.
pub(super) async fn sha256(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let Some(module) = &service.config.filter_module else {
        return absent();
    };
    const TEXT: &str = "text/plain; charset=utf-8";
    if is_not_modified(module, &headers) {
        return with_headers(module, TEXT, StatusCode::NOT_MODIFIED, Body::empty());
    }
    let line = format!("{}  tokenward.wasm\n", module.sha256);
    with_headers(module, TEXT, StatusCode::OK, Body::from(line))
}

fn tag(module: &FilterModule) -> String {
    format!("\"{}\"", module.sha256)
}

/// Whether `If-None-Match` names the module (RFC 9110 §13.1.2: weak comparison).
fn is_not_modified(module: &FilterModule, headers: &HeaderMap) -> bool {
    let tag = tag(module);
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim())
        .any(|candidate| candidate == "*" || candidate.trim_start_matches("W/") == tag)
}

fn with_headers(
    module: &FilterModule,
    content_type: &'static str,
    status: StatusCode,
    body: Body,
) -> Response {
    let mut response = (
        status,
        [
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CACHE_CONTROL, HeaderValue::from_static(REVALIDATE)),
        ],
        body,
    )
        .into_response();
    // Hex digits in quotes are always a valid header value.
    if let Ok(tag) = HeaderValue::from_str(&tag(module)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn absent() -> Response {
    response::error(
        StatusCode::NOT_FOUND,
        "invalid_request",
        Refusal::BadRequest,
        "no filter module is configured: set filter_module: {path: /path/to/tokenward_filter.wasm} and send SIGHUP",
    )
}
