//! Admission control before every handler: checks the host, reserves memory for the request, and checks whether
//! its caller presents a credential.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use tokenward_protocol::refusal::Refusal;

use super::caller::{AGGREGATOR, FILTER};
use super::relay::client::in_header;
use super::relay::target::RelayedTo;
use super::{caller, exchange_client, host, response};
use crate::app::{Current, Service};
use crate::observe::metrics::Metrics;
use crate::serve::{Admission, Budget, Caller, NoRoom, RequestTracker, UNKNOWN_SHARE};

/// The paths that an orchestrator and Prometheus poll. They are served also while every other request gets 503.
pub(super) const LIVEZ: &str = "/livez";
pub(super) const READYZ: &str = "/readyz";
pub(super) const METRICS: &str = "/metrics";

/// Memory for all probes and their responses together, in bytes; not part of `intake.bytes`.
const PROBES_BYTES: usize = 4 * 1024 * 1024;
/// Memory for a header beside its name and value.
const HEADER_BYTES: usize = 96;

/// The memory budgets of one listener.
#[derive(Clone)]
pub(super) struct AdmissionControl {
    current: Current,
    requests: Arc<Budget>,
    probes: Arc<Budget>,
    /// Whether the listener is that of the API, with probes and relayed token endpoints.
    is_api: bool,
}

impl AdmissionControl {
    pub(super) fn new(current: Current) -> Self {
        let metrics = current.service().metrics().clone();
        Self {
            current,
            requests: Arc::new(Budget::new(&metrics)),
            probes: Arc::new(Budget::new(&Metrics::default())),
            is_api: true,
        }
    }

    /// For the console's listener. Its bytes are not those of `tokenward_request_bytes`.
    pub(super) fn for_console(current: Current) -> Self {
        let uncounted = || Arc::new(Budget::new(&Metrics::default()));
        Self {
            current,
            requests: uncounted(),
            probes: uncounted(),
            is_api: false,
        }
    }
}

/// The memory reservation and the connection of a request: an extension of every request that is not a probe.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) admission: Admission,
    /// Whether the headers present the filter's credential.
    pub(super) is_filter: bool,
    tracker: Option<RequestTracker>,
}

impl Admitted {
    /// Reports that the body is complete.
    pub(super) fn body_complete(&self) {
        self.admission.set_waiting(None);
        if let Some(tracker) = &self.tracker {
            tracker.body_received();
        }
    }

    /// Reports that the body contains a valid credential.
    pub(super) fn authenticated(&self) {
        self.admission.set_known();
        if let Some(tracker) = &self.tracker {
            tracker.identified(Caller::Known);
        }
    }
}

/// A request that was admitted.
pub(super) struct AdmittedRequest {
    pub(super) request: Request,
    /// The service that was current when it arrived.
    pub(super) service: Arc<Service>,
    /// Its way to an issuer, if it is for a relayed token endpoint.
    pub(super) relayed: Option<RelayedTo>,
    /// The memory reservation for the response to a probe.
    pub(super) probe: Option<Admission>,
}

impl AdmissionControl {
    /// Admits `request` if it names one host and the budget covers it. Never waits: a waiting request occupies memory
    /// too.
    pub(super) fn admit(&self, request: Request) -> Result<AdmittedRequest, Box<Response>> {
        if let Err(bad) = host::check(&request) {
            return Err(Box::new(rejected(StatusCode::BAD_REQUEST, &bad.to_string())));
        }
        let service = self.current.service();
        if !self.is_api {
            self.request(request, service)
        } else if let Some(relayed) = relayed(&service, &request) {
            self.relayed_request(request, relayed)
        } else if matches!(request.uri().path(), LIVEZ | READYZ | METRICS) {
            self.probe(request, service)
        } else {
            self.request(request, service)
        }
    }

    /// Admits a probe and drops its headers and body: neither affects the response.
    fn probe(&self, mut request: Request, service: Arc<Service>) -> Result<AdmittedRequest, Box<Response>> {
        *request.headers_mut() = HeaderMap::new();
        *request.body_mut() = Body::empty();
        if request.uri().path() == LIVEZ {
            return Ok(AdmittedRequest {
                request,
                service,
                relayed: None,
                probe: None,
            });
        }
        let limit_bytes = PROBES_BYTES * UNKNOWN_SHARE;
        let Some(admission) = self.probes.admit(Caller::Unknown, 0, limit_bytes) else {
            service.metrics().request_unread("no_room");
            return Err(Box::new(over_budget()));
        };
        if let Some(tracker) = request.extensions().get::<RequestTracker>() {
            tracker.hold(&admission);
        }
        Ok(AdmittedRequest {
            request,
            service,
            relayed: None,
            probe: Some(admission),
        })
    }

    /// Admits a request for any other path.
    fn request(&self, mut request: Request, service: Arc<Service>) -> Result<AdmittedRequest, Box<Response>> {
        let (headers, credentials) = (request.headers(), &service.config.credentials);
        let is_filter = caller::check(headers, FILTER, &credentials.filter).is_ok();
        let caller = if is_filter || caller::check(headers, AGGREGATOR, &credentials.aggregator).is_ok() {
            Caller::Known
        } else {
            exchange_client::caller_of(&service, request.uri().path(), headers)
        };
        self.reserve(&service, (caller, is_filter), &mut request)?;
        if takes_no_body(request.method()) {
            *request.body_mut() = Body::empty();
        }
        Ok(AdmittedRequest {
            request,
            service,
            relayed: None,
            probe: None,
        })
    }

    /// Admits a request for an issuer. Its body is passed whatever its method is.
    fn relayed_request(
        &self,
        mut request: Request,
        relayed: RelayedTo,
    ) -> Result<AdmittedRequest, Box<Response>> {
        let caller = match relayed.client {
            Some(_) => Caller::Known,
            None => Caller::Unknown,
        };
        self.reserve(&relayed.service, (caller, false), &mut request)?;
        Ok(AdmittedRequest {
            request,
            service: Arc::clone(&relayed.service),
            relayed: Some(relayed),
            probe: None,
        })
    }

    /// Reserves memory for `request`, made by `caller`.
    fn reserve(
        &self,
        service: &Service,
        (caller, is_filter): (Caller, bool),
        request: &mut Request,
    ) -> Result<(), Box<Response>> {
        let tracker = request.extensions().get::<RequestTracker>().cloned();
        if let Some(tracker) = &tracker {
            tracker.identified(caller);
        }
        let limit_bytes = service.config.intake.bytes;
        let Some(admission) = self.requests.admit(caller, head_bytes(request), limit_bytes) else {
            service.metrics().request_unread("no_room");
            return Err(Box::new(over_budget()));
        };
        if let Some(tracker) = &tracker {
            tracker.hold(&admission);
        }
        request.extensions_mut().insert(Admitted {
            admission,
            is_filter,
            tracker,
        });
        Ok(())
    }
}

/// The way of a request for an issuer's public token endpoint. Its host and path take precedence over control's own paths: they
/// are the issuer's.
fn relayed(service: &Arc<Service>, request: &Request) -> Option<RelayedTo> {
    if service.relay_edge.is_empty() {
        return None;
    }
    let authority = host::of(request)?;
    let endpoint = Arc::clone(service.relay_edge.at(authority, request.uri().path())?);
    Some(RelayedTo {
        client: in_header(&endpoint, request.headers()),
        service: Arc::clone(service),
        endpoint,
    })
}

/// Reserves memory for the response to a probe until the client has received it.
pub(super) fn reserve_probe_response(admission: &Admission, response: Response) -> Response {
    let size = response.body().size_hint().exact().unwrap_or(u64::MAX);
    match admission.grow(usize::try_from(size).unwrap_or(usize::MAX)) {
        Ok(()) => response,
        Err(NoRoom) => over_budget(),
    }
}

/// Size of path, query and headers, in bytes.
fn head_bytes(request: &Request) -> usize {
    let headers = request.headers();
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let target = request.uri().path_and_query();
    bytes + headers.len() * HEADER_BYTES + target.map_or(0, |target| target.as_str().len())
}

fn takes_no_body(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE | Method::CONNECT
    )
}

/// 503: the memory budget is used up.
pub(super) fn over_budget() -> Response {
    busy("requests in progress use all of intake.bytes")
}

/// 503 for everything but probes: no connection slot is free.
pub(super) async fn out_of_connections() -> Response {
    busy("active connections use all of intake.connections")
}

fn busy(cause: &str) -> Response {
    let mut response = closing(
        StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Busy.control_error(),
        Refusal::Busy,
        &format!("{cause}; retry shortly"),
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The response to a request whose body is not read to its end.
pub(super) fn rejected(status: StatusCode, description: &str) -> Response {
    closing(status, "invalid_request", Refusal::BadRequest, description)
}

/// An error that closes the connection: the rest of the body is not read. Without `Connection: close` a client might
/// send its next request on it, and lose that request.
fn closing(status: StatusCode, error: &str, refusal: Refusal, description: &str) -> Response {
    let mut response = response::error(status, error, refusal, description);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
