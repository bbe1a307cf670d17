//! Spans of a request for a token: the request itself, its calls to issuers and its operations on the store.
//!
//! The spans are always there and cost next to nothing while nothing collects them. The feature `otlp` exports them (OTLP over
//! HTTP), continues the caller's trace and hands it on to issuers (W3C Trace Context, `traceparent`).

#[cfg(feature = "otlp")]
pub(super) mod otlp;

use http::HeaderMap;
use tracing::Span;
use url::Url;

/// The target of all spans. They are at TRACE, so that log lines do not contain them.
#[cfg(feature = "otlp")]
pub(super) const TARGET: &str = "tokenward::trace";

/// The span of a request for a token. With `headers` that name a trace, it belongs to that trace.
pub(crate) fn token_request(headers: &HeaderMap) -> Span {
    let span = tracing::trace_span!(target: "tokenward::trace", "token request", otel.kind = "server");
    #[cfg(feature = "otlp")]
    otlp::continue_trace(&span, headers);
    #[cfg(not(feature = "otlp"))]
    let _ = headers;
    span
}

/// The span of a call to an issuer: its address without a query.
pub(crate) fn issuer_call(method: &'static str, url: &Url) -> Span {
    tracing::trace_span!(
        target: "tokenward::trace",
        "issuer call",
        otel.kind = "client",
        http.request.method = method,
        server.address = url.host_str().unwrap_or_default(),
        url.path = url.path(),
    )
}

/// The span of an operation on the store.
pub(crate) fn store(operation: &'static str) -> Span {
    tracing::trace_span!(
        target: "tokenward::trace",
        "store",
        otel.kind = "client",
        db.operation.name = operation,
    )
}

/// Adds `traceparent` of the present span, if it is collected.
pub(crate) fn hand_on(headers: &mut HeaderMap) {
    #[cfg(feature = "otlp")]
    otlp::hand_on(headers);
    #[cfg(not(feature = "otlp"))]
    let _ = headers;
}
