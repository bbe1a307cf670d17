//! `/livez`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::response;
use crate::app::Service;
use crate::observe::throttle::Emit;

/// Log key: probes come every few seconds, and an outage may last hours.
const STORE: &str = "store";

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    version: &'static str,
    store: &'static str,
}

/// `GET /livez`: the process runs.
pub(super) async fn livez(State(service): State<Arc<Service>>) -> Response {
    response::json(StatusCode::OK, &health(&service, "ok", None))
}

/// `GET /readyz`: the store answers and accepts writes. Issuers do not count: fresh tokens are served without them.
pub(super) async fn readyz(State(service): State<Arc<Service>>) -> Response {
    let Err(not_ready) = service.readiness.check().await else {
        if let Some(suppressed) = service.throttle.recovered(STORE) {
            tracing::info!(suppressed, "ready again: the store answers");
        }
        return response::json(StatusCode::OK, &health(&service, "ok", None));
    };
    let (cause, error) = (format!("the store: {}", not_ready.cause), &not_ready.message);
    match service.throttle.failed(STORE, service.context.clock.now_ms()) {
        Emit::Warn { suppressed } => tracing::warn!(%error, cause, suppressed, "not ready"),
        Emit::Debug => tracing::debug!(%error, cause, "not ready"),
    }
    let mut response = response::json(
        StatusCode::SERVICE_UNAVAILABLE,
        &health(&service, "unavailable", Some(cause)),
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

fn health(service: &Service, status: &'static str, cause: Option<String>) -> Health {
    Health {
        status,
        cause,
        version: super::VERSION,
        store: service.context.store.engine(),
    }
}

/// `GET /metrics`, as OpenMetrics text.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS))],
        service.metrics().exposition(),
    )
        .into_response()
}
