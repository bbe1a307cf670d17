//! What every kind of filter works with: the host, the pairs' memory, and the bounds of its log lines.

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::config::{FilterConfig, WARN_LIMIT};
use crate::host::Host;
use crate::identity::{PairKey, SessionSource};
use crate::log::{Level, RefusalLine, Refusals};
use crate::mcp_method::McpMethod;
use crate::metric::{Event, Metric, NO_SERVER, RequestOutcome};
use crate::pair::gate;
use crate::pair::memory::PairMemory;
use crate::pair::record::Spans;
use crate::pair::warn_limit::{self, WarnPermit};
use crate::reply::{Reply, refusal_reply};

/// Without a configuration: the time between two WARN lines of a pair, and the `Retry-After` of refusals that an operator
/// has to fix.
pub(crate) const MISCONFIGURED_MS: u64 = 60_000;

/// The host and the shared state of one filter.
#[derive(Debug)]
pub(crate) struct Context<H> {
    pub(crate) host: H,
    pub(crate) memory: PairMemory,
    pub(crate) spans: Spans,
    /// WARN lines of the whole Envoy in a minute.
    warn_limit: u32,
    /// `Retry-After` of refusals that close no gate: the time after which an operator's fix is looked for.
    pub(crate) misconfigured_ms: u64,
    /// End of the minute in which this worker withheld a WARN, Unix ms.
    withheld_until_ms: Option<u64>,
}

impl<H: Host> Context<H> {
    /// The context of a filter under `config`. Makes no host call.
    pub(crate) fn new(host: H, config: &FilterConfig) -> Self {
        let spans = Spans {
            longest_held_ms: gate::longest_held_ms(&config.gate, config.control.pause_ms),
            warn_every_ms: config.warn_every_ms,
        };
        Self {
            warn_limit: config.warn_limit,
            misconfigured_ms: config.gate.misconfigured_ms,
            ..Self::with_spans(host, spans)
        }
    }

    /// The context of a filter that has no configuration of servers. Makes no host call.
    pub(crate) fn unconfigured(host: H) -> Self {
        let spans = Spans {
            longest_held_ms: 0,
            warn_every_ms: MISCONFIGURED_MS,
        };
        Self::with_spans(host, spans)
    }

    fn with_spans(host: H, spans: Spans) -> Self {
        Self {
            host,
            memory: PairMemory::new(spans),
            spans,
            warn_limit: WARN_LIMIT,
            misconfigured_ms: MISCONFIGURED_MS,
            withheld_until_ms: None,
        }
    }

    /// Counts refusals in a pair's record. A pair without a record logs nothing above DEBUG.
    pub(crate) fn note(&self, pair: &PairKey, refusals: Refusals) -> RefusalLine {
        let (now_ms, every_ms) = (self.host.now_ms(), self.spans.warn_every_ms);
        let noted = self.memory.update(&self.host, pair, now_ms, |record| {
            (true, record.note_refusals(refusals, every_ms, now_ms))
        });
        noted.unwrap_or(RefusalLine::QUIET)
    }

    /// Counts refusals in a pair's record and logs them.
    pub(crate) fn note_and_log(&mut self, server: &str, pair: &PairKey, refusals: Refusals) -> RefusalLine {
        let line = self.note(pair, refusals);
        self.log_refusals(server, pair, refusals, line);
        line
    }

    /// Logs refusals that are counted already.
    pub(crate) fn log_refusals(
        &mut self,
        server: &str,
        pair: &PairKey,
        refusals: Refusals,
        line: RefusalLine,
    ) {
        // In a storm most lines are below the log level: they are not formatted either.
        if line.level == Level::Warn || self.host.log_enabled(line.level) {
            self.write(line.level, line.text(server, pair, refusals));
        }
    }

    /// Writes a line. A WARN becomes a DEBUG once the whole Envoy has written its lines of the minute.
    pub(crate) fn write(&mut self, level: Level, text: String) {
        if level == Level::Warn {
            let now_ms = self.host.now_ms();
            match warn_limit::take(&self.host, self.warn_limit, now_ms) {
                Ok(WarnPermit::Write { withheld: 0 }) | Err(_) => {}
                Ok(WarnPermit::Write { withheld }) => self.log_withheld(withheld),
                Ok(WarnPermit::Withhold { until_ms }) => {
                    self.withheld_until_ms = Some(until_ms);
                    return self.write(Level::Debug, text);
                }
            }
            self.host.log(level, &text);
        } else if self.host.log_enabled(level) {
            self.host.log(level, &text);
        }
    }

    /// At a tick: once a minute is over, one worker of the whole Envoy logs how many lines were withheld in it.
    pub(crate) fn report_withheld(&mut self) {
        let Some(until_ms) = self.withheld_until_ms else {
            return;
        };
        let now_ms = self.host.now_ms();
        // A moment further away than a minute means that the clock stepped back.
        if (1..=60_000).contains(&until_ms.saturating_sub(now_ms)) {
            return;
        }
        self.withheld_until_ms = None;
        if let Some(withheld) = warn_limit::take_withheld(&self.host, now_ms) {
            self.log_withheld(withheld);
        }
    }

    fn log_withheld(&self, withheld: u32) {
        let most = self.warn_limit;
        let text = format!(
            "withheld warnings={withheld}: more than {most} a minute (warn_limit); DEBUG shows each of them"
        );
        self.host.log(Level::Warn, &text);
    }

    /// Counts a request that is for none of the configured servers.
    pub(crate) fn count_without_server(&self, outcome: RequestOutcome) {
        self.host.count(&Metric {
            server: NO_SERVER,
            event: Event::Request(outcome, McpMethod::NONE),
        });
    }

    /// Refuses a request that is for none of the configured servers, or for one that cannot be determined.
    pub(crate) fn refuse_without_server(&mut self, refusal: Refusal) -> Reply {
        self.count_without_server(RequestOutcome::Refused(refusal));
        let pair = PairKey::new("-", SessionSource::Anonymous);
        let refusals = Refusals::one(refusal, McpMethod::NONE);
        let line = self.note(&pair, refusals);
        self.write(line.level, line.text("-", &pair, refusals));
        let retry_after_ms = match refusal.class() {
            RefusalClass::Transient => 1_000,
            RefusalClass::LoginNeeded | RefusalClass::Misconfigured => self.misconfigured_ms,
        };
        refusal_reply(refusal, None, retry_after_ms)
    }
}
