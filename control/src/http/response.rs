//! Responses: JSON in the shape of OAuth, never cached.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokenward_protocol::error_text::error_text;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::TokenError;

use crate::refused::Refused;

/// A response with `body` as JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_of_about(128, status, body)
}

/// The same for a `body` of about so many `bytes`: a larger one costs further allocations.
pub(super) fn json_of_about(bytes: usize, status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(bytes);
    if serde_json::to_writer(&mut text, body).is_err() {
        // Plain data always serializes; the fallback is valid JSON.
        text = b"{}".to_vec();
    }
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // RFC 6749 §5.1, for HTTP/1.0 caches.
        (PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    (status, headers, text).into_response()
}

/// An error with its own status and code. The description is reduced to the characters that RFC 6749 §5.2 allows.
pub(super) fn error(status: StatusCode, error: &str, refusal: Refusal, description: &str) -> Response {
    json(
        status,
        &TokenError {
            error: error.to_owned(),
            error_description: error_text(description).into_owned(),
            refusal: refusal.name().to_owned(),
        },
    )
}

/// The response to a refusal, as the refusal table defines it.
pub(super) fn refusal(refused: &Refused) -> Response {
    let status =
        StatusCode::from_u16(refused.refusal.control_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = error(
        status,
        refused.refusal.control_error(),
        refused.refusal,
        &refused.description(),
    );
    if let Some(seconds) = refused.retry_after_header() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"tokenward\""),
        );
    }
    response
}
