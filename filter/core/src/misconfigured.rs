//! The filter without a usable configuration: it refuses every request and logs why.

use tokenward_protocol::refusal::Refusal;

use crate::config::BadConfig;
use crate::context::{Context, MISCONFIGURED_MS};
use crate::host::Host;
use crate::identity::{PairKey, SessionSource};
use crate::log::Refusals;
use crate::mcp_method::McpMethod;
use crate::metric::RequestOutcome;
use crate::reply::{Reply, refusal_reply};

/// A filter that has no configuration, or one that cannot be used.
#[derive(Debug)]
pub struct Misconfigured<H> {
    pub(crate) context: Context<H>,
    /// Its record limits the log lines. Every VM of Envoy reads the same configuration, so all of them share this pair and
    /// one of them logs.
    pair: PairKey,
    /// For log lines.
    fault: String,
}

impl<H: Host> Misconfigured<H> {
    /// A filter before its configuration. Makes no host call.
    pub(crate) fn unconfigured(host: H) -> Self {
        Self {
            context: Context::unconfigured(host),
            pair: PairKey::new("-", SessionSource::Anonymous),
            fault: "there is no configuration yet".to_owned(),
        }
    }

    /// A filter under the configuration `text`, which has this fault. Logs the fault, once for all of Envoy's VMs.
    pub(crate) fn new(host: H, error: &BadConfig, text: &[u8]) -> Self {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let mut filter = Self {
            context: Context::unconfigured(host),
            pair: PairKey::new("-", SessionSource::Handle(text)),
            fault: escaped(&error.to_string()),
        };
        let refusals = Refusals::one(Refusal::FilterMisconfigured, McpMethod::NONE);
        let line = filter.context.note(&filter.pair, refusals);
        let text = format!(
            "filter misconfigured, every request is refused with 503: {}",
            filter.fault
        );
        filter.context.write(line.level, text);
        filter
    }

    /// Refuses a request.
    pub(crate) fn refuse(&mut self) -> Reply {
        let refusal = Refusal::FilterMisconfigured;
        self.context
            .count_without_server(RequestOutcome::Refused(refusal));
        let refusals = Refusals::one(refusal, McpMethod::NONE);
        let line = self.context.note(&self.pair, refusals);
        let text = line.text("-", &self.pair, refusals);
        self.context.write(line.level, format!("{text}: {}", self.fault));
        refusal_reply(refusal, None, MISCONFIGURED_MS)
    }
}

/// A configuration's own text may hold line breaks, which the host would print raw.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}
