//! Answers of the relay that are not the issuer's own, and the issuer's own as they are.

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::ext::ReasonPhrase;
use tokenward_protocol::refusal::Refusal;

use super::passing;
use crate::app::relay::{PassedAnswer, end_to_end};
use crate::http::response;
use crate::upstream::issuer::client::CallFailed;

/// `Retry-After` of a failure that passes by itself.
const SOON: HeaderValue = HeaderValue::from_static("2");
/// `Retry-After` of a failure that an operator must end.
const LATER: HeaderValue = HeaderValue::from_static("60");

/// 200 with a token response (RFC 6749 §5.1).
pub(super) fn tokens(json: impl Into<Bytes>) -> Response {
    raw_json(StatusCode::OK, json.into())
}

/// The words of the issuer for a refresh that it refused.
pub(super) fn of_issuer(status: u16, json: Vec<u8>) -> Response {
    raw_json(
        StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        json.into(),
    )
}

fn raw_json(status: StatusCode, json: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // RFC 6749 §5.1, for HTTP/1.0 caches.
        (PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    (status, headers, json).into_response()
}

/// The issuer's answer to a login. Its rest, if it has one, goes to the first client that is answered.
pub(super) fn passed(answer: &PassedAnswer) -> Response {
    let rest = answer.take_rest();
    let body = match rest {
        None => Body::from(answer.begun.clone()),
        Some(rest) => passing::continued(answer.begun.clone(), rest),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.head.status;
    *response.headers_mut() = end_to_end(&answer.head.headers);
    if let Some(reason) = answer.head.extensions.get::<ReasonPhrase>() {
        response.extensions_mut().insert(reason.clone());
    }
    response
}

/// 503: the issuer gave no answer.
pub(super) fn no_answer(failed: &CallFailed) -> Response {
    let what = match failed {
        CallFailed::Connect | CallFailed::NotSent => {
            "the issuer's token endpoint cannot be reached, and has not received the request; retry later"
        }
        CallFailed::TimedOut | CallFailed::Broken | CallFailed::TooLarge => {
            "the issuer's token endpoint gave no answer, and may have processed the request: a code in it may be used up"
        }
    };
    unavailable(what, SOON)
}

/// 503: control has sent the request itself.
pub(super) fn came_back() -> Response {
    unavailable(
        "the relay's token_endpoint leads back to the relay: an operator must name the address at which the issuer \
         itself answers",
        LATER,
    )
}

/// 400: the query is not one that can be added to the issuer's own.
pub(super) fn bad_query() -> Response {
    response::error(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        Refusal::BadRequest,
        "the query of the request cannot be passed to the issuer",
    )
}

fn unavailable(what: &str, retry_after: HeaderValue) -> Response {
    let mut response = response::error(
        StatusCode::SERVICE_UNAVAILABLE,
        Refusal::IssuerUnavailable.control_error(),
        Refusal::IssuerUnavailable,
        what,
    );
    response.headers_mut().insert(RETRY_AFTER, retry_after);
    response
}
