//! As much of MCP's Streamable HTTP (2025-11-25, and 2026-07-28 without sessions) as a client needs to call one tool and to
//! listen.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::lasting::LastingBody;

const LONGEST_BODY_BYTES: usize = 4 * 1024 * 1024;
const PROTOCOL_VERSION: &str = "2025-11-25";
const EVENTS_PER_STREAM: usize = 3;

/// Answers a request with a good token. A listener's stream stays open for `streams_last` after its events.
pub(crate) async fn answer(request: Request, streams_last: Duration) -> Response {
    match *request.method() {
        Method::POST => call(request, streams_last).await,
        Method::GET => lasting_event_stream((1..=EVENTS_PER_STREAM).map(notification), streams_last),
        Method::DELETE => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn call(request: Request, streams_last: Duration) -> Response {
    let (parts, body) = request.into_parts();
    let wants_json = parts
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_none_or(|accept| accept.contains("application/json") || accept.contains("*/*"));
    let message = match to_bytes(body, LONGEST_BODY_BYTES).await {
        Ok(body) => serde_json::from_slice::<Value>(&body).unwrap_or_default(),
        Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    };
    let Some(method) = message["method"].as_str() else {
        return failure(
            StatusCode::BAD_REQUEST,
            &message["id"],
            -32600,
            "not a JSON-RPC request",
        );
    };
    let Some(id) = message.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    // The listener of 2026-07-28: a request whose answer is the stream.
    if method == "subscriptions/listen" {
        let accepted = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"});
        return lasting_event_stream([accepted], streams_last);
    }
    let result = match method {
        "initialize" => json!({
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "echo", "version": "1"},
        }),
        "ping" => json!({}),
        "tools/list" => json!({"tools": [{
            "name": "echo",
            "description": "Says the text again.",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        }]}),
        "tools/call" if message["params"]["name"] == "echo" => {
            json!({"content": [{"type": "text", "text": message["params"]["arguments"]["text"]}], "isError": false})
        }
        "tools/call" => return failure(StatusCode::OK, id, -32602, "no such tool"),
        _ => return failure(StatusCode::OK, id, -32601, "no such method"),
    };
    let reply = json!({"jsonrpc": "2.0", "id": id, "result": result});
    let mut response = if wants_json {
        json_answer(StatusCode::OK, &reply)
    } else {
        event_stream([reply])
    };
    if method == "initialize" {
        let session = HeaderValue::from_static("session-1");
        response
            .headers_mut()
            .insert(HeaderName::from_static("mcp-session-id"), session);
    }
    response
}

fn notification(number: usize) -> Value {
    let params = json!({"level": "info", "data": format!("event {number}")});
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
}

fn failure(status: StatusCode, id: &Value, code: i64, message: &str) -> Response {
    let error = json!({"code": code, "message": message});
    json_answer(status, &json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A stream of server-sent events that ends after the last message.
fn event_stream(messages: impl IntoIterator<Item = Value>) -> Response {
    ([(CONTENT_TYPE, "text/event-stream")], events(messages)).into_response()
}

/// A stream of server-sent events that ends so long after the last message.
fn lasting_event_stream(messages: impl IntoIterator<Item = Value>, lasts: Duration) -> Response {
    if lasts.is_zero() {
        return event_stream(messages);
    }
    let body = LastingBody::silent_after(events(messages).into(), lasts);
    ([(CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response()
}

fn events(messages: impl IntoIterator<Item = Value>) -> String {
    let event = |message| format!("event: message\ndata: {message}\n\n");
    messages.into_iter().map(event).collect()
}
