//! The HTTP API: routes, admission, credentials, body limits, and the marker header on every response.

mod admission;
mod authorization;
mod body;
mod caller;
mod console;
mod exchange_client;
mod exchange_endpoint;
pub(crate) mod explain;
mod filter_module;
mod filter_state;
mod health;
mod host;
mod logout;
mod openapi;
mod protected_resource;
mod relay;
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
use tokenward_protocol::filter_state::STATE_PATH;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TOKEN_PATH};
use tower::ServiceExt as _;

use self::admission::{AdmissionControl, LIVEZ, METRICS, READYZ};
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

/// The marker header's value in answers to an issuer's clients: the version is not theirs to know.
const RELAYED: &str = "relay";

/// The HTTP service of one listener. Cheap to clone; clones share the memory budgets.
#[derive(Clone)]
pub(crate) struct HttpService {
    router: Router,
    admission: AdmissionControl,
    access: Access,
    /// Whether requests for tokens are answered without a look at the routes: nearly all requests are for tokens.
    has_token_endpoint: bool,
}

/// What a connection may request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Everything.
    All,
    /// The client has no certificate that `tls.client_ca` signed: the probes and the filter module.
    Uncertified,
    /// All connection slots are in use: the probes, and every response closes its connection.
    Probes,
}

/// A response in progress.
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

impl HttpService {
    /// All routes. Each request is served by the [`Service`] that is current when it arrives.
    pub(crate) fn new(current: Current) -> Self {
        Self {
            admission: AdmissionControl::new(current.clone()),
            router: with_state(router(routes()).fallback(not_found), current),
            access: Access::All,
            has_token_endpoint: true,
        }
    }

    /// For connections without the client certificate that the listener demands, with the same budgets: the probes and the
    /// filter module, which an orchestrator, Prometheus and Envoy Gateway request without one; every other request is refused.
    pub(crate) fn uncertified(&self, current: Current) -> Self {
        let routes = probes().into_iter().chain(filter_modules()).collect();
        Self {
            admission: self.admission.clone(),
            router: with_state(router(routes).fallback(caller::no_certificate), current),
            access: Access::Uncertified,
            has_token_endpoint: false,
        }
    }

    /// The operators' console, with budgets of its own: an operator must get in while control's own listener is overloaded.
    pub(crate) fn console(current: Current) -> Self {
        Self {
            admission: AdmissionControl::for_console(current.clone()),
            router: with_state(console::router(), current),
            access: Access::All,
            has_token_endpoint: false,
        }
    }

    /// The probes alone, with the same budgets; every other request gets 503 because all connection slots are in use.
    pub(crate) fn probes_only(&self, current: Current) -> Self {
        Self {
            admission: self.admission.clone(),
            router: with_state(
                router(probes().into()).fallback(admission::out_of_connections),
                current,
            ),
            access: Access::Probes,
            has_token_endpoint: false,
        }
    }

    /// Serves `request`. Admission is decided before this returns: hyper calls it for each stream of a connection
    /// before it polls any of the responses.
    pub(crate) fn call(&self, request: Request<Body>) -> ResponseFuture {
        let admitted = match self.admission.admit(request) {
            Ok(admitted) => admitted,
            Err(response) => return Box::pin(ready(self.access.with_marker(*response, VERSION))),
        };
        let access = self.access;
        if let Some(relayed) = admitted.relayed.filter(|_| self.access == Access::All) {
            return Box::pin(async move {
                let response = relay::answer(relayed, admitted.request).await;
                access.with_marker(response, RELAYED)
            });
        }
        if self.has_token_endpoint && token::is_requested(&admitted.request) {
            return Box::pin(async move {
                let response = token::answer(&admitted.service, admitted.request).await;
                access.with_marker(response, VERSION)
            });
        }
        let router = self.router.clone();
        Box::pin(async move {
            let Ok(mut response) = router.oneshot(admitted.request).await;
            if let Some(probe) = &admitted.probe {
                response = admission::reserve_probe_response(probe, response);
            }
            access.with_marker(response, VERSION)
        })
    }
}

impl Access {
    /// Adds the marker header by which clients distinguish control's responses from a proxy's.
    fn with_marker(self, mut response: Response, value: &'static str) -> Response {
        let headers = response.headers_mut();
        headers.insert(MARKER_HEADER, HeaderValue::from_static(value));
        if self == Self::Probes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn with_state(routes: Router<Current>, current: Current) -> Router {
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(current)
}

fn router(routes: Vec<(&'static str, MethodRouter<Current>)>) -> Router<Current> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        router.route(path, methods)
    })
}

/// Every path of the API, in axum's notation.
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

/// All routes.
fn routes() -> Vec<(&'static str, MethodRouter<Current>)> {
    vec![
        (TOKEN_PATH, post(token::token)),
        (STATE_PATH, get(filter_state::state)),
        (exchange_endpoint::PATH, post(exchange_endpoint::exchange)),
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
        ("/openapi.json", get(openapi::openapi)),
    ]
    .into_iter()
    .chain(filter_modules())
    .chain(authorization::routes())
    .chain(probes())
    .collect()
}

fn filter_modules() -> [(&'static str, MethodRouter<Current>); 2] {
    [
        ("/filter/tokenward.wasm", get(filter_module::module)),
        ("/filter/tokenward.wasm.sha256", get(filter_module::sha256)),
    ]
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
        "this path does not accept that method",
    )
}
