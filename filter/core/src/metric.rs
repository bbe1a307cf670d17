//! What the filter counts, and the names under which Envoy stores the counters.

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use crate::mcp_method::McpMethod;
use crate::state::PollOutcome;

/// How a request ended, as a metric label. Refusals go by [`Refusal::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// No server matched: passed untouched and unwatched.
    Passed,
    /// The presented token was fresh.
    Forwarded,
    /// A replacement from this worker's cache.
    ReplacedFromCache,
    /// A replacement that the request waited for.
    Replaced,
    /// Refused because of the presented token, or after a call to control.
    Refused(Refusal),
    /// Refused from the gate's memory, without a call.
    Gated(Refusal),
}

impl RequestOutcome {
    /// The label's value. Refusals from the gate's memory have the prefix `gated_`.
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
    /// Its position in the configuration, if it has one: with the event it identifies the counter.
    pub number: Option<usize>,
    /// Its name; `-` where no server matched.
    pub name: &'a str,
}

/// The label of requests for which no server matched.
pub const NO_SERVER: ServerLabel<'static> = ServerLabel {
    number: None,
    name: "-",
};

/// An event that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// `tokenward_requests_total{server,outcome,mcp_method}`: how a request ended, and what it was for.
    Request(RequestOutcome, McpMethod),
    /// `tokenward_control_calls_total{server,reason}`: a call, by its reason.
    ControlCall(Reason),
    /// `tokenward_server_rejections_total{server,status}`: the server's status to a token that looked fresh.
    ServerRejection(u16),
    /// `tokenward_control_answers_total{server,outcome}`: `token`, or the refusal.
    ControlAnswer(Option<Refusal>),
    /// `tokenward_state_polls_total{server="-",outcome}`: a poll of control's state, by its end.
    StatePoll(PollOutcome),
}

impl Event {
    /// A number below [`McpMethod::COUNT`]: the counters of a server are looked for among those of this number only.
    #[must_use]
    pub fn group(self) -> usize {
        match self {
            Self::Request(_, method) => method.number(),
            Self::ControlCall(_) | Self::ServerRejection(_) | Self::ControlAnswer(_) | Self::StatePoll(_) => {
                0
            }
        }
    }
}

/// An event at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<'a> {
    /// Where it happened.
    pub server: ServerLabel<'a>,
    /// What happened.
    pub event: Event,
}

impl Metric<'_> {
    /// The name of Envoy's counter. The labels are inside the name: Envoy's `stats_tags` extract them by regular expression,
    /// for which a server's name may contain neither `.` nor `;`.
    #[must_use]
    pub fn stat_name(&self) -> String {
        let (labels, what) = match self.event {
            Event::Request(outcome, method) => {
                let (outcome, method) = (outcome.label(), method.name());
                (format!("outcome={outcome};mcp_method={method}"), "requests_total")
            }
            Event::ControlCall(reason) => (format!("reason={}", reason.name()), "control_calls_total"),
            Event::ServerRejection(status) => (format!("status={status}"), "server_rejections_total"),
            Event::ControlAnswer(refusal) => {
                let outcome = refusal.map_or("token", Refusal::name);
                (format!("outcome={outcome}"), "control_answers_total")
            }
            Event::StatePoll(outcome) => (format!("outcome={}", outcome.label()), "state_polls_total"),
        };
        let clean = |c| if matches!(c, '.' | ';' | '=') { '_' } else { c };
        let server: String = self.server.name.chars().map(clean).collect();
        format!("tokenward.server={server};{labels}.{what}")
    }
}
