//! Reads which component answered a request at the gateway: the filter, control, Envoy Gateway's own refusal, or a server.

use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde_json::Value;
use tokenward_protocol::refusal::Refusal;

use crate::doctor::probe::ProbeAnswer;

/// Set by Envoy where a server answered, unless it is switched off.
const FROM_A_SERVER: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// The component that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// The filter, for this server; `None`: for none.
    Filter {
        refusal: Refusal,
        server: Option<String>,
    },
    /// Control: the request was routed to it.
    Control,
    /// Envoy Gateway answers 500 in place of a route whose policy it could not apply.
    PolicyNotApplied,
    /// Envoy has no route for the request, or a server without that path answered: both are an empty 404.
    NotFound,
    /// Envoy could not reach a server.
    NoServer,
    /// A server, or a filter that is not this one.
    Other { status: u16 },
}

impl Answered {
    pub(super) fn read(answer: &ProbeAnswer) -> Self {
        if answer.is_marked {
            return Self::Control;
        }
        if let Some((refusal, server)) = refusal_of(answer) {
            return Self::Filter { refusal, server };
        }
        let is_from_a_server = answer.headers.contains_key(FROM_A_SERVER);
        let is_text = (answer.header(CONTENT_TYPE)).is_some_and(|form| form.starts_with("text/plain"));
        match answer.status {
            500 if answer.body.is_empty() && !is_from_a_server => Self::PolicyNotApplied,
            404 if answer.body.is_empty() && !is_from_a_server => Self::NotFound,
            502..=504 if (is_text || answer.body.is_empty()) && !is_from_a_server => Self::NoServer,
            status => Self::Other { status },
        }
    }
}

/// The filter's body (`refusal`, `server`), where the answer is one with that refusal's status.
fn refusal_of(answer: &ProbeAnswer) -> Option<(Refusal, Option<String>)> {
    let body = answer.json()?;
    let refusal = Refusal::from_name(body["refusal"].as_str()?)?;
    let server = match &body["server"] {
        Value::String(name) => Some(name.clone()),
        Value::Null => None,
        _ => return None,
    };
    // 405 is the answer to a listener that was refused too often.
    (answer.status == refusal.client_status() || answer.status == 405).then_some((refusal, server))
}

/// The URL in `resource_metadata="…"` of a challenge (RFC 9728 §5.1).
pub(super) fn metadata_of(challenge: &str) -> Option<&str> {
    let (_, rest) = challenge.split_once("resource_metadata=\"")?;
    Some(rest.split_once('"')?.0)
}
