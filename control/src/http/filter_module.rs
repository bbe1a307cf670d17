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

/// The address stays while the module changes with a release: who has a copy asks whether it is still the one.
const REVALIDATE: &str = "public, max-age=60, must-revalidate";

pub(super) async fn module(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let Some(module) = &service.config.filter_module else {
        return absent();
    };
    if is_known(module, &headers) {
        return described(
            module,
            "application/wasm",
            StatusCode::NOT_MODIFIED,
            Body::empty(),
        );
    }
    let bytes = Bytes::from_owner(Arc::clone(&module.bytes));
    described(module, "application/wasm", StatusCode::OK, Body::from(bytes))
}

/// As `sha256sum` writes it, so that `sha256sum --check` reads it.
pub(super) async fn sha256(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let Some(module) = &service.config.filter_module else {
        return absent();
    };
    const TEXT: &str = "text/plain; charset=utf-8";
    if is_known(module, &headers) {
        return described(module, TEXT, StatusCode::NOT_MODIFIED, Body::empty());
    }
    let line = format!("{}  tokenward.wasm\n", module.sha256);
    described(module, TEXT, StatusCode::OK, Body::from(line))
}

fn tag(module: &FilterModule) -> String {
    format!("\"{}\"", module.sha256)
}

/// RFC 9110 §13.1.2; a weak tag compares equal here.
fn is_known(module: &FilterModule, headers: &HeaderMap) -> bool {
    let tag = tag(module);
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim())
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn described(module: &FilterModule, content_type: &'static str, status: StatusCode, body: Body) -> Response {
    let mut response = (
        status,
        [
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CACHE_CONTROL, HeaderValue::from_static(REVALIDATE)),
        ],
        body,
    )
        .into_response();
    // Hex digits are always a header value.
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
