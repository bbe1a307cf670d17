//! Log lines: a pair's record says at which level, the whole Envoy's minute whether one more WARN may be written.

use tokenward_protocol::refusal::Refusal;

use super::Worker;
use super::refusal::MISCONFIGURED_MS;
use crate::config::WARN_LIMIT;
use crate::host::Host;
use crate::identity::PairKey;
use crate::log::Level;
use crate::log::RefusalLine;
use crate::log::refusal_line;
use crate::pair::record::Record;
use crate::pair::throttle::note_refusals;
use crate::pair::warn_limit::{self, WarnPermit};

impl<H: Host> Worker<H> {
    /// Notes refusals in a pair's record. What has no place there says nothing above DEBUG.
    pub(super) fn note_refusals(
        &self,
        pair: &PairKey,
        refusal: Refusal,
        count: u32,
        may_warn: bool,
    ) -> RefusalLine {
        let (now_ms, every_ms) = (self.host.now_ms(), self.warn_every_ms());
        let noted = self.memory.update(&self.host, pair, now_ms, |record| {
            let line = note_in(record, refusal, count, may_warn, every_ms, now_ms);
            (true, line)
        });
        noted.unwrap_or(RefusalLine::QUIET)
    }

    pub(super) fn note_and_log(
        &mut self,
        server_index: usize,
        pair: &PairKey,
        refusal: Refusal,
        count: u32,
        may_warn: bool,
    ) -> RefusalLine {
        let line = self.note_refusals(pair, refusal, count, may_warn);
        self.log_refusal(server_index, pair, refusal, count, line);
        line
    }

    pub(super) fn log_refusal(
        &mut self,
        server_index: usize,
        pair: &PairKey,
        refusal: Refusal,
        count: u32,
        line: RefusalLine,
    ) {
        // Under a storm nothing is written, and then nothing should be made either.
        if line.level == Level::Warn || self.host.log_enabled(line.level) {
            let text = refusal_line(refusal, self.server_name(server_index), pair, count, line);
            self.write(line.level, text);
        }
    }

    /// Writes a line; a WARN only as long as the whole Envoy has not written its lines of the minute.
    pub(super) fn write(&mut self, level: Level, text: String) {
        if level == Level::Warn {
            let (most, now_ms) = (self.warn_limit(), self.host.now_ms());
            match warn_limit::one_more(&self.host, most, now_ms) {
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

    /// At a tick: lines that were withheld in a minute that is over are counted in a line, by one worker of the whole
    /// Envoy.
    pub(super) fn say_withheld(&mut self) {
        let Some(until_ms) = self.withheld_until_ms else {
            return;
        };
        let now_ms = self.host.now_ms();
        // A moment further away than a minute means that the clock stepped back.
        if (1..=60_000).contains(&until_ms.saturating_sub(now_ms)) {
            return;
        }
        self.withheld_until_ms = None;
        if let Some(withheld) = warn_limit::say_withheld(&self.host, now_ms) {
            self.log_withheld(withheld);
        }
    }

    fn log_withheld(&self, withheld: u32) {
        let most = self.warn_limit();
        let text = format!(
            "withheld warnings={withheld}: more than {most} a minute (warn_limit); DEBUG shows each of them"
        );
        self.host.log(Level::Warn, &text);
    }

    pub(super) fn warn_every_ms(&self) -> u64 {
        self.config
            .as_ref()
            .map_or(MISCONFIGURED_MS, |config| config.warn_every_ms)
    }

    fn warn_limit(&self) -> u32 {
        self.config
            .as_ref()
            .map_or(WARN_LIMIT, |config| config.warn_limit)
    }
}

/// Notes refusals in a record that is being changed.
pub(super) fn note_in(
    record: &mut Record,
    refusal: Refusal,
    count: u32,
    may_warn: bool,
    every_ms: u64,
    now_ms: u64,
) -> RefusalLine {
    let (after, line) = note_refusals(&record.throttle, refusal, count, may_warn, every_ms, now_ms);
    record.throttle = after;
    line
}
