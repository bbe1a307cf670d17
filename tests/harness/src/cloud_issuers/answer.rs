//! An answer of an endpoint.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

/// Status and JSON body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) retry_after_seconds: Option<u64>,
    /// Of a redirect.
    pub(super) location: Option<String>,
}

impl Answer {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            retry_after_seconds: None,
            location: None,
        }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    /// An error with both members of RFC 6749 §5.2.
    pub(super) fn error(status: u16, error: &str, description: &str) -> Self {
        Self::new(status, json!({"error": error, "error_description": description}))
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, Value::Null)
    }

    pub(super) fn into_response(self) -> Response {
        let body = match self.body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json;charset=UTF-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
        let location = self.location.and_then(|to| HeaderValue::try_from(to).ok());
        headers.extend(location.map(|to| (LOCATION, to)));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
