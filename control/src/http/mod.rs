//! HTTP: routes, callers' credentials, body caps, and the marker header on every answer.

mod admission;
mod body;
mod caller;
mod explain;
mod filter_module;
mod health;
mod host;
mod logout;
mod openapi;
mod protected_resource;
mod response;
mod sessions;
mod timed_body;
mod token;

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TOKEN_PATH};
use tower::ServiceExt as _;

use self::admission::{Gate, LIVEZ, METRICS, READYZ};

use crate::app::{Current, Service};

impl FromRef<Current> for Arc<Service> {
    fn from_ref(current: &Current) -> Self {
        current.service()
    }
}

pub use explain::SESSION_HEADER;
pub(crate) use timed_body::TimedBody;

/// The version in the marker header.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What one listener answers. Cheap to clone; clones share the room for requests.
#[derive(Clone)]
pub(crate) struct Site {
    router: Router,
    gate: Gate,
    /// Each answer ends its connection.
    answers_once: bool,
}

/// An answer under way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

impl Site {
    /// All routes of the service that is current when a request comes.
    pub(crate) fn new(current: Current) -> Self {
        Self {
            gate: Gate::new(current.clone()),
            router: finished(routed(routes()).fallback(not_found), current),
            answers_once: false,
        }
    }

    /// The probes alone, in the same room; everything else is answered that all places are taken.
    pub(crate) fn only_probes(&self, current: Current) -> Self {
        Self {
            gate: self.gate.clone(),
            router: finished(routed(probes().into()).fallback(admission::full), current),
            answers_once: true,
        }
    }

    /// Begins to answer `request`. Whether there is room for it is decided before this returns: hyper calls it for each
    /// stream of a connection before any of the answers is looked at.
    pub(crate) fn answer(&self, request: Request<Body>) -> Answering {
        let passed = match self.gate.admit(request) {
            Ok(passed) => passed,
            Err(refused) => return Box::pin(ready(self.marked(*refused))),
        };
        let site = self.clone();
        Box::pin(async move {
            let Ok(mut answer) = site.router.clone().oneshot(passed.request).await;
            if let Some(probe) = &passed.probe {
                answer = admission::probed(probe, answer);
            }
            site.marked(answer)
        })
    }

    /// Tells control's own answers from those that a proxy makes up.
    fn marked(&self, mut answer: Response) -> Response {
        let headers = answer.headers_mut();
        headers.insert(MARKER_HEADER, HeaderValue::from_static(VERSION));
        if self.answers_once {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

fn finished(routes: Router<Current>, current: Current) -> Router {
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(current)
}

fn routed(routes: Vec<(&'static str, MethodRouter<Current>)>) -> Router<Current> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        router.route(path, methods)
    })
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

async fn not_found() -> Response {
    response::error(
        StatusCode::NOT_FOUND,
        "invalid_request",
        Refusal::BadRequest,
        "there is nothing at this path",
    )
}

async fn method_not_allowed() -> Response {
    response::error(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        Refusal::BadRequest,
        "this path does not take that method",
    )
}
