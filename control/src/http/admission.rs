//! What every request passes before its handler: its host, the room for its bytes, and whether its caller is known.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use tokenward_protocol::refusal::Refusal;

use super::response;
use super::{caller, host};
use crate::app::Current;
use crate::observe::metrics::Metrics;
use crate::serve::{Admission, Arrival, Budget, Caller, NoRoom, UNKNOWN_SHARE};

/// What an orchestrator and Prometheus ask. They are answered also where everything else gets 503.
pub(super) const LIVEZ: &str = "/livez";
pub(super) const READYZ: &str = "/readyz";
pub(super) const METRICS: &str = "/metrics";

/// What all probes and their answers may hold together, in bytes; it is not part of `intake.bytes`.
const PROBES_BYTES: usize = 4 * 1024 * 1024;
/// What a header takes beside its bytes.
const HEADER_BYTES: usize = 96;

/// The room for requests, of one listener.
#[derive(Clone)]
pub(super) struct Gate {
    current: Current,
    requests: Arc<Budget>,
    probes: Arc<Budget>,
}

impl Gate {
    pub(super) fn new(current: Current) -> Self {
        let metrics = current.service().metrics().clone();
        Self {
            current,
            requests: Arc::new(Budget::new(&metrics)),
            probes: Arc::new(Budget::new(&Metrics::default())),
        }
    }
}

/// A request's room, and its connection: an extension of every request that is no probe.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) admission: Admission,
    arrival: Option<Arrival>,
}

impl Admitted {
    /// The body has come whole.
    pub(super) fn body_complete(&self) {
        self.admission.waits_for_client(None);
        if let Some(arrival) = &self.arrival {
            arrival.is_whole();
        }
    }

    /// The caller has shown a credential in its body.
    pub(super) fn authenticated(&self) {
        self.admission.is_known();
        if let Some(arrival) = &self.arrival {
            arrival.is_of(Caller::Known);
        }
    }
}

/// A request that is let through.
pub(super) struct Passed {
    pub(super) request: Request,
    /// The room for the answer to a probe.
    pub(super) probe: Option<Admission>,
}

impl Gate {
    /// Lets `request` through when it names one host and there is room for it. Without waiting: what waits is held too.
    pub(super) fn admit(&self, request: Request) -> Result<Passed, Box<Response>> {
        if let Err(bad) = host::check(&request) {
            return Err(Box::new(unread(StatusCode::BAD_REQUEST, &bad.to_string())));
        }
        if matches!(request.uri().path(), LIVEZ | READYZ | METRICS) {
            self.probe(request)
        } else {
            self.other(request)
        }
    }

    /// A probe keeps nothing of its request: neither headers nor body decide its answer.
    fn probe(&self, mut request: Request) -> Result<Passed, Box<Response>> {
        *request.headers_mut() = HeaderMap::new();
        *request.body_mut() = Body::empty();
        if request.uri().path() == LIVEZ {
            return Ok(Passed { request, probe: None });
        }
        let limit_bytes = PROBES_BYTES * UNKNOWN_SHARE;
        let Some(admission) = self.probes.admit(Caller::Unknown, 0, limit_bytes) else {
            self.current.service().metrics().request_unread("no_room");
            return Err(Box::new(no_room()));
        };
        if let Some(arrival) = request.extensions().get::<Arrival>() {
            arrival.admitted(&admission);
        }
        Ok(Passed {
            request,
            probe: Some(admission),
        })
    }

    fn other(&self, mut request: Request) -> Result<Passed, Box<Response>> {
        let service = self.current.service();
        let caller = caller::of(request.headers(), &service.config.credentials);
        let arrival = request.extensions().get::<Arrival>().cloned();
        if let Some(arrival) = &arrival {
            arrival.is_of(caller);
        }
        let limit_bytes = service.config.intake.bytes;
        let Some(admission) = self.requests.admit(caller, head_bytes(&request), limit_bytes) else {
            service.metrics().request_unread("no_room");
            return Err(Box::new(no_room()));
        };
        if let Some(arrival) = &arrival {
            arrival.admitted(&admission);
        }
        if takes_no_body(request.method()) {
            *request.body_mut() = Body::empty();
        }
        request.extensions_mut().insert(Admitted { admission, arrival });
        Ok(Passed { request, probe: None })
    }
}

/// `answer` to a probe, which holds its room until the client has taken it.
pub(super) fn probed(admission: &Admission, answer: Response) -> Response {
    let size = answer.body().size_hint().exact().unwrap_or(u64::MAX);
    match admission.grow(usize::try_from(size).unwrap_or(usize::MAX)) {
        Ok(()) => answer,
        Err(NoRoom) => no_room(),
    }
}

/// The path and the headers, in bytes.
fn head_bytes(request: &Request) -> usize {
    let headers = request.headers();
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    bytes + headers.len() * HEADER_BYTES + request.uri().path().len()
}

fn takes_no_body(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE | Method::CONNECT
    )
}

/// As many bytes are held as may be.
pub(super) fn no_room() -> Response {
    busy("as much is being read as intake.bytes allows")
}

/// Everything but probes, where every place is taken by a connection at work.
pub(super) async fn full() -> Response {
    busy("as many connections are at work as intake.connections allows")
}

fn busy(cause: &str) -> Response {
    let mut answer = closing(
        StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Busy.control_error(),
        Refusal::Busy,
        &format!("{cause}; retry shortly"),
    );
    answer
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// An answer to a request that is not read to its end.
pub(super) fn unread(status: StatusCode, description: &str) -> Response {
    closing(status, "invalid_request", Refusal::BadRequest, description)
}

/// What is left of the body is not read, so the connection ends with the answer. A client that is not told may send its next
/// request on it, and loses that.
fn closing(status: StatusCode, error: &str, refusal: Refusal, description: &str) -> Response {
    let mut answer = response::error(status, error, refusal, description);
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
