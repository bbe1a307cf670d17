//! Reads request bodies: of the expected content type, within the limit of the path and the memory budget, complete.

use std::future::poll_fn;
use std::pin::pin;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use super::admission::{Admitted, over_budget, rejected};
use super::response;
use super::timed_body::BodyTimeout;
use crate::observe::metrics::Metrics;
use crate::serve::NoRoom;

/// Content type of forms.
const FORM: &str = "application/x-www-form-urlencoded";
/// Content type of JSON.
const JSON: &str = "application/json";

/// The response to a body that is not accepted. Boxed: an axum response is large for an error.
pub(super) type Rejection = Box<Response>;

/// A request body that is not read yet.
pub(super) struct RequestBody<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body,
    pub(super) admitted: &'a Admitted,
    pub(super) metrics: &'a Metrics,
}

/// A body of which at most so many bytes were read.
pub(super) enum Beginning {
    /// All of it.
    Whole(Vec<u8>),
    /// It is longer.
    Longer {
        /// What was read, in order.
        read: [Bytes; 2],
        /// What follows.
        rest: Body,
    },
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    OverBudget,
    Late,
    TooLarge,
    Truncated,
}

impl From<NoRoom> for BodyError {
    fn from(_: NoRoom) -> Self {
        Self::OverBudget
    }
}

impl RequestBody<'_> {
    /// Reads a form of at most `max_bytes`.
    pub(super) async fn form(self, max_bytes: usize) -> Result<Form, Rejection> {
        let bytes = self.bytes(FORM, max_bytes).await?;
        Form::read(&bytes).map_err(|bad| {
            Box::new(response::error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                Refusal::BadRequest,
                &bad.to_string(),
            ))
        })
    }

    /// Reads a JSON object of at most `max_bytes` with members of `members`. The error names the member at fault if it
    /// is one of them, otherwise line and column. It never contains a value: values here are tokens.
    pub(super) async fn json<T: DeserializeOwned>(
        self,
        max_bytes: usize,
        members: &[&'static str],
    ) -> Result<T, Rejection> {
        let bytes = self.bytes(JSON, max_bytes).await?;
        read_json(&bytes, members).map_err(|what| {
            Box::new(response::error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                Refusal::BadRequest,
                &what,
            ))
        })
    }

    /// Reads a JSON body of at most `max_bytes` without parsing it.
    pub(super) async fn json_bytes(self, max_bytes: usize) -> Result<Vec<u8>, Rejection> {
        self.bytes(JSON, max_bytes).await
    }

    /// Reads the complete body, if it is of `content_type`.
    async fn bytes(self, content_type: &str, max_bytes: usize) -> Result<Vec<u8>, Rejection> {
        if !is_of_type(self.headers, content_type) {
            return Err(Box::new(rejected(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!("the body must be {content_type} in UTF-8, without a content coding"),
            )));
        }
        let (admitted, metrics) = (self.admitted, self.metrics);
        let content_length = content_length(self.headers);
        let complete = read(self.body, content_length, max_bytes, admitted).await;
        complete.map_err(|why| Box::new(unread(why, max_bytes, metrics)))
    }
}

/// The response to a body that was not read to its end, although that of at most `max_bytes` would have been.
pub(super) fn unread(why: BodyError, max_bytes: usize, metrics: &Metrics) -> Response {
    let (cause, response) = match why {
        BodyError::OverBudget => ("no_room", over_budget()),
        BodyError::Late => (
            "late",
            rejected(
                StatusCode::REQUEST_TIMEOUT,
                "the request was not complete within intake.deadline; send it without pauses",
            ),
        ),
        BodyError::TooLarge => (
            "too_large",
            rejected(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("the body is larger than {max_bytes} bytes"),
            ),
        ),
        BodyError::Truncated => (
            "broke_off",
            rejected(StatusCode::BAD_REQUEST, "the body is incomplete"),
        ),
    };
    metrics.request_unread(cause);
    response
}

impl BodyError {
    /// Why a body ended in `error`.
    pub(super) fn of(error: &axum::Error) -> Self {
        if is_late(error) {
            Self::Late
        } else {
            Self::Truncated
        }
    }
}

/// Whether `headers` have one content type, `expected`, in UTF-8 if a charset is named, and no content coding.
fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (types.next().map(|value| value.to_str()), types.next()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let has_type = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case(expected));
    let in_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    has_type && in_utf8 && !headers.contains_key(CONTENT_ENCODING)
}

/// Whether the content type is that of a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    is_of_type(headers, FORM)
}

/// `Content-Length`, if it can be parsed.
pub(super) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads `body` into one buffer and accounts for it.
async fn read(
    body: Body,
    content_length: Option<usize>,
    max_bytes: usize,
    admitted: &Admitted,
) -> Result<Vec<u8>, BodyError> {
    if content_length.is_some_and(|content_length| content_length > max_bytes) {
        return Err(BodyError::TooLarge);
    }
    match read_beginning(body, content_length, max_bytes, admitted).await? {
        Beginning::Whole(bytes) => Ok(bytes),
        Beginning::Longer { .. } => Err(BodyError::TooLarge),
    }
}

/// Reads at most `max_bytes` of `body` into one buffer and accounts for it. The buffer grows with the bytes that arrive;
/// frames are copied, because a frame retains the whole buffer that it was read from.
pub(super) async fn read_beginning(
    mut body: Body,
    content_length: Option<usize>,
    max_bytes: usize,
    admitted: &Admitted,
) -> Result<Beginning, BodyError> {
    let largest = content_length.unwrap_or(max_bytes).min(max_bytes);
    let mut bytes = Vec::new();
    admitted.admission.body_expected();
    let mut evicted = pin!(admitted.admission.evicted());
    loop {
        let frame = tokio::select! {
            biased;
            () = &mut evicted => return Err(BodyError::OverBudget),
            frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)) => frame,
        };
        let data = match frame {
            None => break,
            Some(Err(error)) => return Err(BodyError::of(&error)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let needed = bytes.len().saturating_add(data.len());
        if needed > max_bytes {
            return Ok(Beginning::Longer {
                read: [bytes.into(), data],
                rest: body,
            });
        }
        if needed > bytes.capacity() {
            let capacity = needed.max(largest.min(bytes.capacity() * 2));
            admitted.admission.grow(capacity - bytes.capacity())?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    admitted.body_complete();
    Ok(Beginning::Whole(bytes))
}

fn is_late(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<BodyTimeout>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Parses `bytes`. The error contains nothing of them but names in `members`.
fn read_json<T: DeserializeOwned>(bytes: &[u8], members: &[&'static str]) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader);
    let fault = match read {
        Ok(value) => match reader.end() {
            Ok(()) => return Ok(value),
            Err(error) => error,
        },
        Err(error) => {
            let path = error.path().to_string();
            let error = error.into_inner();
            if let Some(what) = faulty_member(&path, &error, members) {
                return Err(what);
            }
            error
        }
    };
    Err(format!(
        "the body is not the JSON that this path takes (line {}, column {}): an object with the members {}",
        fault.line(),
        fault.column(),
        members.join(", ")
    ))
}

/// Describes the member at fault. serde's own message may repeat the value, or a name that the client chose.
fn faulty_member(path: &str, error: &serde_json::Error, members: &[&'static str]) -> Option<String> {
    if error.classify() != serde_json::error::Category::Data {
        return None;
    }
    let text = error.to_string();
    let named = |start: &str| {
        members
            .iter()
            .find(|member| text.starts_with(&format!("{start} `{member}`")))
    };
    if let Some(member) = named("missing field") {
        Some(format!("the member {member} is missing"))
    } else if let Some(member) = named("duplicate field") {
        Some(format!("the member {member} is there twice"))
    } else if text.starts_with("unknown field") {
        Some(format!(
            "the body has a member that this path does not take (line {}, column {}); it takes {}",
            error.line(),
            error.column(),
            members.join(", ")
        ))
    } else {
        let member = members.iter().find(|member| **member == path)?;
        Some(format!(
            "the member {member} is not of the type that this path takes"
        ))
    }
}
