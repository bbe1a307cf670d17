//! What follows from a decision, in one place: the answer to the client, the metric, the log line.

use tokenward_protocol::json::quote;
use tokenward_protocol::refusal::{Refusal, RefusalClass};
use tokenward_protocol::token_endpoint::Reason;

use crate::config::Server;
use crate::identity::PairKey;
use crate::pair::throttle::{RecoveryLine, RefusalLine};

/// How a request ended, as a metric label. Refusals go by [`Refusal::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No server matched: passed untouched, unwatched.
    Passed,
    /// The presented token was fresh.
    Forwarded,
    /// A replacement from this worker's cache.
    ReplacedFromCache,
    /// A replacement that the request waited for.
    Replaced,
    /// Refused, for the first time or after asking control.
    Refused(Refusal),
    /// Refused from the gate's memory, without a call.
    Gated(Refusal),
}

impl Outcome {
    /// The label's value. Gated refusals are told from asked ones by the prefix `gated_`.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Passed => "passed".to_owned(),
            Self::Forwarded => "forwarded".to_owned(),
            Self::ReplacedFromCache => "replaced_from_cache".to_owned(),
            Self::Replaced => "replaced".to_owned(),
            Self::Refused(refusal) => refusal.name().to_owned(),
            Self::Gated(refusal) => format!("gated_{}", refusal.name()),
        }
    }
}

/// The server of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLabel<'a> {
    /// Its number in the configuration, if it has one: with the event it is the counter's identity.
    pub number: Option<usize>,
    /// Its name; `-` where no server is known.
    pub name: &'a str,
}

/// The label of requests to no known server.
pub const NO_SERVER: ServerLabel<'static> = ServerLabel {
    number: None,
    name: "-",
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// `tokenward_requests_total{mcp_server,outcome}`: how a request ended.
    Request(Outcome),
    /// `tokenward_control_calls_total{mcp_server,outcome}`: a call, by its reason.
    ControlCall(Reason),
    /// `tokenward_server_rejections_total{mcp_server,outcome}`: the server's status to a token that looked fresh.
    ServerRejection(u16),
    /// `tokenward_control_answers_total{mcp_server,outcome}`: `token`, or the refusal.
    ControlAnswer(Option<Refusal>),
}

/// Something to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<'a> {
    /// Where it happened.
    pub server: ServerLabel<'a>,
    /// What happened.
    pub event: Event,
}

impl Metric<'_> {
    /// The name under which Envoy keeps the counter. The labels are inside the name: Envoy's `stats_tags` take them
    /// out by regular expression, for which a server's name may hold neither `.` nor `;`.
    #[must_use]
    pub fn stat_name(&self) -> String {
        let (outcome, what) = match self.event {
            Event::Request(outcome) => (outcome.label(), "requests_total"),
            Event::ControlCall(reason) => (reason.name().to_owned(), "control_calls_total"),
            Event::ServerRejection(status) => (status.to_string(), "server_rejections_total"),
            Event::ControlAnswer(refusal) => (
                refusal.map_or("token", Refusal::name).to_owned(),
                "control_answers_total",
            ),
        };
        let clean = |c| if matches!(c, '.' | ';' | '=') { '_' } else { c };
        let server: String = self.server.name.chars().map(clean).collect();
        format!("tokenward.server={server};outcome={outcome}.{what}")
    }
}

/// An answer made by the filter itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers besides `:status`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON: `error, error_description, refusal, server`.
    pub body: String,
    /// For Envoy's access log (`RESPONSE_CODE_DETAILS`): `tokenward_<refusal>`.
    pub details: String,
}

impl Reply {
    /// Adds to the answer how long the token was.
    pub fn name_token_bytes(&mut self, bytes: usize) {
        if self.body.ends_with('}') {
            self.body.pop();
            self.body.push_str(",\"token_bytes\":");
            self.body.push_str(&bytes.to_string());
            self.body.push('}');
        }
    }
}

/// The answer to a refused request. `server` is `None` when no server is known (filter misconfigured).
#[must_use]
pub fn refusal_reply(refusal: Refusal, server: Option<&Server>, retry_after_ms: u64) -> Reply {
    let header = match refusal.class() {
        RefusalClass::LoginNeeded => {
            let metadata = server.and_then(|server| server.resource_metadata.as_deref());
            ("www-authenticate", challenge(refusal, metadata))
        }
        RefusalClass::Transient | RefusalClass::Misconfigured => {
            ("retry-after", retry_after_seconds(retry_after_ms))
        }
    };
    reply(refusal.client_status(), refusal, server, header)
}

/// The answer to a listener that was refused too often: the only status at which listeners of the Go MCP library stop
/// retrying every second. It turns the server's push messages off until the client connects anew, so it is opt-in.
#[must_use]
pub fn listener_reply(refusal: Refusal, server: &Server) -> Reply {
    reply(405, refusal, Some(server), ("allow", "POST, DELETE".to_owned()))
}

/// `Retry-After` in whole seconds, at least 1 (RFC 9110 §10.2.3).
#[must_use]
pub fn retry_after_seconds(retry_after_ms: u64) -> String {
    retry_after_ms.div_ceil(1000).max(1).to_string()
}

fn reply(status: u16, refusal: Refusal, server: Option<&Server>, header: (&'static str, String)) -> Reply {
    let server_name = server.map_or_else(|| "null".to_owned(), |server| quote(&server.name));
    let body = format!(
        "{{\"error\":{},\"error_description\":{},\"refusal\":{},\"server\":{server_name}}}",
        quote(refusal.client_error()),
        quote(refusal.description()),
        quote(refusal.name()),
    );
    let own = [
        ("content-type", "application/json".to_owned()),
        ("cache-control", "no-store".to_owned()),
        header,
    ];
    Reply {
        status,
        headers: own.to_vec(),
        body,
        details: format!("tokenward_{}", refusal.name()),
    }
}

/// RFC 6750 §3: a request without any token gets a challenge without an error code. RFC 9728 §5.1: where to log in.
fn challenge(refusal: Refusal, resource_metadata: Option<&str>) -> String {
    let mut parts = Vec::with_capacity(3);
    if refusal != Refusal::MissingBearer {
        parts.push(format!("error=\"{}\"", refusal.client_error()));
        parts.push(format!("error_description=\"{}\"", refusal.description()));
    }
    if let Some(url) = resource_metadata {
        parts.push(format!("resource_metadata=\"{url}\""));
    }
    if parts.is_empty() {
        "Bearer".to_owned()
    } else {
        format!("Bearer {}", parts.join(", "))
    }
}

/// The log line of one or more refusals that were decided together.
#[must_use]
pub fn refusal_line(
    refusal: Refusal,
    server: &str,
    pair: &PairKey,
    requests: u32,
    line: RefusalLine,
) -> String {
    format!(
        "refused server={server} pair={} refusal={} status={} requests={requests} suppressed={}: {}",
        pair.short(),
        refusal.name(),
        refusal.client_status(),
        line.suppressed,
        refusal.description(),
    )
}

/// The log line of a recovery.
#[must_use]
pub fn recovery_line(server: &str, pair: &PairKey, line: RecoveryLine) -> String {
    let after = line.refusal.map_or("unknown", Refusal::name);
    format!(
        "recovered server={server} pair={} after={after} suppressed={}",
        pair.short(),
        line.suppressed
    )
}
