//! A good answer of the token endpoint, sent as no RFC describes it, and as some issuer or something before it does.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use http_body::Frame;
use serde_json::{Map, Value, json};
use tokio::time::{Sleep, sleep};

use super::dex::Dex;
use super::jose::{self, Jws};
use crate::secrets;

const LONGEST_BODY_BYTES: usize = 1024 * 1024;

/// What is odd about an answer that is good otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disguise {
    /// UTF-8 with a byte order mark.
    ByteOrderMark,
    /// UTF-16.
    Utf16,
    /// gzip, which was not requested.
    Gzip,
    /// Raw deflate.
    Deflate,
    /// A form instead of JSON.
    Form,
    /// `access_token` is an object.
    ObjectMember,
    /// `access_token` comes twice.
    TwiceNamed,
    /// A member is no UTF-8.
    InvalidUtf8,
    /// Text after the object.
    TrailingText,
    /// 300 KB.
    Long,
    /// Two megabytes, the tokens first.
    TooLong,
    /// The connection breaks after the refresh token.
    BrokenOff,
    /// HTML by its header.
    CalledHtml,
    /// Another status.
    Status(u16),
    /// The ID token is longer than any reader takes.
    LongIdToken,
    /// The ID token's `exp` is a text.
    ExpAsText,
    /// The ID token's `exp` has a fraction.
    ExpAsFloat,
    /// `id_token` is an object.
    IdTokenAsObject,
}

impl Disguise {
    /// `answer`, where it is a success, like this.
    pub(crate) async fn put_on(self, dex: &Dex, answer: Response) -> Response {
        if !answer.status().is_success() {
            return answer;
        }
        let (mut parts, body) = answer.into_parts();
        let body = to_bytes(body, LONGEST_BODY_BYTES)
            .await
            .unwrap_or_else(|_| Bytes::new());
        let members: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
        let (status, header) = match self {
            Self::Status(status) => (StatusCode::from_u16(status).ok(), None),
            Self::Gzip => (None, Some((CONTENT_ENCODING, "gzip"))),
            Self::Deflate => (None, Some((CONTENT_ENCODING, "deflate"))),
            Self::CalledHtml => (None, Some((CONTENT_TYPE, "text/html"))),
            Self::Form => (None, Some((CONTENT_TYPE, "application/x-www-form-urlencoded"))),
            _ => (None, None),
        };
        parts.status = status.unwrap_or(parts.status);
        parts.headers.remove(CONTENT_LENGTH);
        if let Some((name, value)) = header {
            parts.headers.insert(name, HeaderValue::from_static(value));
        }
        let body = self.body(dex, &body, members);
        Response::from_parts(parts, body)
    }

    fn body(self, dex: &Dex, body: &[u8], mut members: Map<String, Value>) -> Body {
        let text = String::from_utf8_lossy(body).trim_end().to_owned();
        let open = text.trim_end_matches('}').to_owned();
        let bytes = match self {
            Self::ByteOrderMark => [b"\xEF\xBB\xBF", body].concat(),
            Self::Utf16 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                let _ = encoder.write_all(body);
                encoder.finish().unwrap_or_default()
            }
            Self::Deflate => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                let _ = encoder.write_all(body);
                encoder.finish().unwrap_or_default()
            }
            Self::Form => form(&members).into_bytes(),
            Self::TwiceNamed => format!(r#"{open},"access_token":"x"}}"#).into_bytes(),
            Self::InvalidUtf8 => [open.as_bytes(), b",\"name\":\"\xFF\xFE\"}"].concat(),
            Self::TrailingText => format!("{text}\n<!-- served by gateway 7 -->").into_bytes(),
            Self::Long => format!(r#"{open},"filler":"{}"}}"#, "x".repeat(300_000)).into_bytes(),
            Self::TooLong => format!(r#"{open},"filler":"{}"}}"#, "x".repeat(2_000_000)).into_bytes(),
            Self::BrokenOff => return Body::new(Broken::after(format!(r#"{open},"x":"#))),
            Self::CalledHtml | Self::Status(_) => body.to_vec(),
            Self::ObjectMember => rendered(&mut members, "access_token", json!({"t": 1})),
            Self::IdTokenAsObject => rendered(&mut members, "id_token", json!({"jwt": "x"})),
            Self::LongIdToken | Self::ExpAsText | Self::ExpAsFloat => {
                let token = members
                    .get("id_token")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let token = self.id_token(dex, token);
                rendered(&mut members, "id_token", json!(token))
            }
        };
        Body::from(bytes)
    }

    fn id_token(self, dex: &Dex, token: &str) -> String {
        let Some(mut jws) = Jws::read(token) else {
            return String::new();
        };
        let exp = jws.exp_seconds().unwrap_or_default();
        match self {
            Self::LongIdToken => {
                let groups: Vec<_> = (0..3_000).map(|at| format!("team-{at:05}-of-many")).collect();
                jws.claims.insert("groups".to_owned(), json!(groups));
            }
            Self::ExpAsText => {
                jws.claims.insert("exp".to_owned(), json!(exp.to_string()));
            }
            _ => {
                // Below 2^53, so exact.
                let exp: f64 = exp.to_string().parse().unwrap_or_default();
                jws.claims.insert("exp".to_owned(), json!(exp));
            }
        }
        let key = dex.signing_key();
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!("RS256"));
        header.insert("kid".to_owned(), json!(key.kid));
        let input = jose::signing_input(&header, &jws.claims).unwrap_or_default();
        let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
        let token = format!("{input}.{signature}");
        secrets::note(&token);
        token
    }
}

fn rendered(members: &mut Map<String, Value>, name: &str, value: Value) -> Vec<u8> {
    members.insert(name.to_owned(), value);
    serde_json::to_vec(&members).unwrap_or_default()
}

fn form(members: &Map<String, Value>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in members {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        form.append_pair(name, &value);
    }
    form.finish()
}

/// A body that never comes to its end. What has come is sent before the connection breaks.
struct Broken {
    begun: Option<Bytes>,
    rest: Pin<Box<Sleep>>,
}

impl Broken {
    fn after(begun: String) -> Self {
        Self {
            begun: Some(begun.into()),
            rest: Box::pin(sleep(Duration::from_millis(50))),
        }
    }
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(bytes) = self.begun.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.rest
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(std::io::ErrorKind::ConnectionAborted.into())))
    }
}
