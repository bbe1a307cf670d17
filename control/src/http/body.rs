//! Bodies: of the right type, within the cap and the room that there is, whole.

use std::future::poll_fn;
use std::pin::pin;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use super::admission::{Admitted, no_room, unread};
use super::response;
use super::timed_body::IntakeLate;
use crate::observe::metrics::Metrics;
use crate::serve::NoRoom;

/// Forms.
const FORM: &str = "application/x-www-form-urlencoded";
/// JSON.
const JSON: &str = "application/json";

/// Boxed: an axum answer is large for an error.
pub(super) type Rejection = Box<Response>;

/// One request's body, and what is known of it.
pub(super) struct RequestBody<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body,
    pub(super) admitted: &'a Admitted,
    pub(super) metrics: &'a Metrics,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    NoRoom,
    Late,
    TooLarge,
    BrokeOff,
}

impl From<NoRoom> for Unread {
    fn from(_: NoRoom) -> Self {
        Self::NoRoom
    }
}

impl RequestBody<'_> {
    /// The body as a form of at most `longest_bytes`.
    pub(super) async fn form(self, longest_bytes: usize) -> Result<Form, Rejection> {
        let bytes = self.whole(FORM, longest_bytes).await?;
        Form::read(&bytes).map_err(|bad| {
            Box::new(response::error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                Refusal::BadRequest,
                &bad.to_string(),
            ))
        })
    }

    /// The body as JSON of at most `longest_bytes`, an object with members of `members`. The error names the member at
    /// fault where it is one of them, else the place; never a value: values here are tokens.
    pub(super) async fn json<T: DeserializeOwned>(
        self,
        longest_bytes: usize,
        members: &[&'static str],
    ) -> Result<T, Rejection> {
        let bytes = self.whole(JSON, longest_bytes).await?;
        read_json(&bytes, members).map_err(|what| {
            Box::new(response::error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                Refusal::BadRequest,
                &what,
            ))
        })
    }

    /// The whole body, if it is of `content_type`.
    async fn whole(self, content_type: &str, longest_bytes: usize) -> Result<Vec<u8>, Rejection> {
        if !is_of_type(self.headers, content_type) {
            return Err(Box::new(unread(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!("the body must be {content_type} in UTF-8, without a content coding"),
            )));
        }
        let (admitted, metrics) = (self.admitted, self.metrics);
        let announced = announced_bytes(self.headers);
        let whole = read(self.body, announced, longest_bytes, admitted).await;
        whole.map_err(|why| {
            let (cause, answer) = match why {
                Unread::NoRoom => ("no_room", no_room()),
                Unread::Late => (
                    "late",
                    unread(
                        StatusCode::REQUEST_TIMEOUT,
                        "the request did not arrive whole within intake.deadline; send it at once",
                    ),
                ),
                Unread::TooLarge => (
                    "too_large",
                    unread(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        &format!("the body is larger than {longest_bytes} bytes"),
                    ),
                ),
                Unread::BrokeOff => ("broke_off", unread(StatusCode::BAD_REQUEST, "the body broke off")),
            };
            metrics.request_unread(cause);
            Box::new(answer)
        })
    }
}

/// Whether the one content type of `headers` is `wanted`, in UTF-8 where it says a charset, and nothing is compressed.
fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (types.next().map(|value| value.to_str()), types.next()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let right = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case(wanted));
    let in_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    right && in_utf8 && !headers.contains_key(CONTENT_ENCODING)
}

/// Whether the body is announced as a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    is_of_type(headers, FORM)
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads `body` into one buffer, which is no larger than what has come (a frame keeps the whole buffer that it was read
/// from), and accounts for that.
async fn read(
    mut body: Body,
    announced: Option<usize>,
    longest_bytes: usize,
    admitted: &Admitted,
) -> Result<Vec<u8>, Unread> {
    if announced.is_some_and(|announced| announced > longest_bytes) {
        return Err(Unread::TooLarge);
    }
    let largest = announced.unwrap_or(longest_bytes);
    let mut bytes = Vec::new();
    admitted.admission.arriving();
    let mut pushed_out = pin!(admitted.admission.pushed_out());
    loop {
        let frame = tokio::select! {
            biased;
            () = &mut pushed_out => return Err(Unread::NoRoom),
            frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)) => frame,
        };
        let data = match frame {
            None => break,
            Some(Err(error)) if is_late(&error) => return Err(Unread::Late),
            Some(Err(_)) => return Err(Unread::BrokeOff),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let needed = bytes.len().saturating_add(data.len());
        if needed > longest_bytes {
            return Err(Unread::TooLarge);
        }
        if needed > bytes.capacity() {
            let capacity = needed.max(largest.min(bytes.capacity() * 2));
            admitted.admission.grow(capacity - bytes.capacity())?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    admitted.body_complete();
    Ok(bytes)
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

/// `bytes` as JSON, or what is wrong with them, in words that hold nothing of them but names out of `members`.
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

/// Which member is at fault. serde's own words repeat the value, or a name that the client made up.
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
