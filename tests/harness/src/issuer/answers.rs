//! Answers with exactly the bodies and headers that Dex sends.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

/// An error of any endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DexError {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) description: String,
}

impl DexError {
    pub(crate) fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status,
            error,
            description: description.into(),
        }
    }

    pub(crate) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    pub(crate) fn invalid_client() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Invalid client credentials.",
        )
    }

    pub(crate) fn not_supported(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request_not_supported", description)
    }

    /// A connector or the storage failed: no description.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "invalid_request", "")
    }

    pub(crate) fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct ErrorBody {
            error: &'static str,
            #[serde(skip_serializing_if = "String::is_empty")]
            error_description: String,
        }
        let body = ErrorBody {
            error: self.error,
            error_description: self.description,
        };
        json(self.status, &body)
    }
}

/// What the token endpoint answers on success, members in Dex's order.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_token_type: Option<&'static str>,
    pub(crate) token_type: &'static str,
    pub(crate) expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<String>,
}

impl Tokens {
    pub(crate) fn into_response(self) -> Response {
        not_stored(json(StatusCode::OK, &self))
    }
}

/// A JSON answer without any caching header.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    raw_json(status, serde_json::to_vec(body).unwrap_or_default())
}

pub(crate) fn raw_json(status: StatusCode, body: Vec<u8>) -> Response {
    with_type(status, "application/json", body)
}

pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn not_stored(response: Response) -> Response {
    with_header(
        with_header(response, CACHE_CONTROL, "no-store"),
        PRAGMA,
        "no-cache",
    )
}

pub(crate) fn with_header(mut response: Response, name: HeaderName, value: &'static str) -> Response {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

/// `/userinfo` without a bearer token.
pub(crate) fn bearer_challenge(response: Response) -> Response {
    with_header(response, WWW_AUTHENTICATE, "Bearer")
}

/// An unknown path.
pub(crate) fn not_found() -> Response {
    let response = with_type(
        StatusCode::NOT_FOUND,
        "text/plain; charset=utf-8",
        "404 page not found\n",
    );
    with_header(
        response,
        HeaderName::from_static("x-content-type-options"),
        "nosniff",
    )
}
