//! HTTP: routes, callers' credentials, body caps, and the marker header on every answer.

mod admission;
mod answer;
mod caller;
mod explain;
mod filter_module;
mod health;
mod intake;
mod logout;
mod openapi;
mod protected_resource;
mod sessions;
mod target;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TOKEN_PATH};

use self::admission::{Gate, LIVEZ, METRICS, READYZ};
use self::answer::failure;
use crate::service::{Current, Service};

impl FromRef<Current> for Arc<Service> {
    fn from_ref(current: &Current) -> Self {
        current.service()
    }
}

pub use explain::SESSION_HEADER;

/// The version in the marker header.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All routes of `service`.
pub fn router(service: Arc<Service>) -> Router {
    router_of(Current::new(service))
}

/// All routes of the service that is current when a request comes. Clones of the router share the room for requests.
pub fn router_of(current: Current) -> Router {
    let routes = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(not_found);
    served(routes, current)
}

/// The probes alone; everything else hears that all places are taken. Each answer ends its connection.
pub(crate) fn probes_of(current: Current) -> Router {
    let routes = probes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(admission::full);
    served(routes, current).layer(map_response(last))
}

fn served(routes: Router<Current>, current: Current) -> Router {
    let gate = Gate::new(current.clone());
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(current)
        .layer(from_fn_with_state(gate, admission::admit))
        .layer(map_response(mark))
}

/// Every path that is answered, in axum's notation.
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

/// The one list of all routes.
fn routes() -> Vec<(&'static str, MethodRouter<Current>)> {
    vec![
        (TOKEN_PATH, post(token::token)),
        (
            "/v1/sessions/{id}",
            put(sessions::put).get(sessions::get).delete(sessions::delete),
        ),
        ("/v1/sign-out", post(sessions::sign_out)),
        ("/v1/backchannel-logout", post(logout::backchannel_logout)),
        ("/v1/explain", get(explain::explain)),
        (
            protected_resource::WELL_KNOWN,
            get(protected_resource::metadata).options(protected_resource::preflight),
        ),
        (
            "/.well-known/oauth-protected-resource/{*path}",
            get(protected_resource::metadata).options(protected_resource::preflight),
        ),
        ("/filter/tokenward.wasm", get(filter_module::module)),
        ("/filter/tokenward.wasm.sha256", get(filter_module::sha256)),
        ("/openapi.json", get(openapi::openapi)),
    ]
    .into_iter()
    .chain(probes())
    .collect()
}

fn probes() -> [(&'static str, MethodRouter<Current>); 3] {
    [
        (LIVEZ, get(health::livez)),
        (READYZ, get(health::readyz)),
        (METRICS, get(health::metrics)),
    ]
}

async fn last(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
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
