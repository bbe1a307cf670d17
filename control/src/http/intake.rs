//! Bodies: of the right type, within the cap, whole.

use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::LONGEST_FORM_BYTES;

use super::answer::failure;
use crate::serve::IntakeLate;

/// Forms.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
/// JSON.
const JSON: &str = "application/json";

/// Boxed: an axum answer is large for an error.
pub(super) type Rejection = Box<Response>;

/// The body, if it is of `content_type` and within the cap.
pub(super) async fn body(headers: &HeaderMap, body: Body, content_type: &str) -> Result<Bytes, Rejection> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let right = match (types.next(), types.next()) {
        (Some(value), None) => value
            .to_str()
            .ok()
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case(content_type)),
        _ => false,
    };
    if !right {
        return Err(Box::new(failure(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request",
            Refusal::BadRequest,
            &format!("the body must be {content_type}"),
        )));
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LONGEST_FORM_BYTES) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, LONGEST_FORM_BYTES)
        .await
        .map_err(|error| if is_late(&error) { late() } else { too_large() })
}

fn is_late(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<IntakeLate>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn late() -> Rejection {
    unread(
        StatusCode::REQUEST_TIMEOUT,
        "the request did not arrive whole within intake.deadline; send it at once",
    )
}

fn too_large() -> Rejection {
    unread(
        StatusCode::PAYLOAD_TOO_LARGE,
        &format!("the body is larger than {LONGEST_FORM_BYTES} bytes, or broke off"),
    )
}

/// What is left of the body is not read, so the connection ends with the answer. A client that is not told may send its next
/// request on it, and loses that.
fn unread(status: StatusCode, description: &str) -> Rejection {
    let mut answer = failure(status, "invalid_request", Refusal::BadRequest, description);
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    Box::new(answer)
}

/// A JSON body. The error names the place, never a value: values here are tokens.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, content: Body) -> Result<T, Rejection> {
    let bytes = body(headers, content, JSON).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Box::new(failure(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            Refusal::BadRequest,
            &format!(
                "the body is not the JSON that this path takes (line {}, column {})",
                error.line(),
                error.column()
            ),
        ))
    })
}
