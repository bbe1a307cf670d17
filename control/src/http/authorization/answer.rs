//! JSON responses of the endpoints that clients call: never cached, readable by any origin.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use tokenward_protocol::error_text::error_text;

use super::cors::with_cors;
use crate::authorization::refusal::AuthorizationRefused;
use crate::http::response;

/// RFC 6749 §5.2.
#[derive(Serialize)]
struct OauthError<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// A response with `body` as JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    with_cors(response::json(status, body))
}

/// The response to a refusal, as the refusal table defines it.
pub(super) fn refused(refused: &AuthorizationRefused) -> Response {
    let status = StatusCode::from_u16(refused.refusal.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = json(
        status,
        &OauthError {
            error: refused.refusal.error(),
            error_description: &error_text(&refused.description()),
        },
    );
    if let Some(seconds) = refused.retry_after_header() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6749 §5.2: a client that used the Authorization header gets a challenge of its scheme.
        response.headers_mut().insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"tokenward\""),
        );
    }
    response
}
