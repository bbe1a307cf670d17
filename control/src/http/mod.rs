//! HTTP: routes, callers' credentials, body caps, and the marker header on every answer.

mod answer;
mod caller;
mod health;
mod intake;
mod logout;
mod sessions;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post, put};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TOKEN_PATH};

use self::answer::failure;
use crate::service::{Current, Service};

impl FromRef<Current> for Arc<Service> {
    fn from_ref(current: &Current) -> Self {
        current.service()
    }
}

/// The version in the marker header.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All routes of `service`.
pub fn router(service: Arc<Service>) -> Router {
    router_of(Current::new(service))
}

/// All routes of the service that is current when a request comes.
pub fn router_of(current: Current) -> Router {
    Router::new()
        .route(TOKEN_PATH, post(token::token))
        .route(
            "/v1/sessions/{id}",
            put(sessions::put).get(sessions::get).delete(sessions::delete),
        )
        .route("/v1/sign-out", post(sessions::sign_out))
        .route("/v1/backchannel-logout", post(logout::backchannel_logout))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(current)
        .layer(map_response(mark))
}

async fn not_found() -> Response {
    failure(
        StatusCode::NOT_FOUND,
        "invalid_request",
        Refusal::BadRequest,
        "there is nothing at this path",
    )
}

async fn method_not_allowed() -> Response {
    failure(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        Refusal::BadRequest,
        "this path does not take that method",
    )
}

/// Tells control's own answers from those that a proxy makes up.
async fn mark(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(MARKER_HEADER, HeaderValue::from_static(VERSION));
    response
}
