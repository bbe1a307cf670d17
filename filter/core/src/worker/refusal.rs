//! Refusing: the pair's memory is told, one line at the right level is written, and the answer is made.

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use super::call_permit::give_back;
use super::logging::note_in;
use super::{Presented, Worker};
use crate::config::{BadConfig, FilterConfig, Server};
use crate::flight::Flight;
use crate::host::Host;
use crate::identity::{PairKey, SessionSource, TokenKey};
use crate::log::RefusalLine;
use crate::log::refusal_line;
use crate::metric::{Event, Metric, NO_SERVER, Outcome};
use crate::pair::gate;
use crate::pair::gate::Admission;
use crate::pair::memory::PairMemory;
use crate::reply::{Reply, listener_reply, refusal_reply};

use super::Verdict;

/// Seconds between two WARN lines about an unusable configuration, and their `Retry-After`.
pub(super) const MISCONFIGURED_MS: u64 = 60_000;

/// Why a worker has no configuration, and the pair under which that is remembered.
#[derive(Debug)]
pub(super) struct Misconfigured {
    pair: PairKey,
    /// For log lines.
    fault: String,
}

impl Misconfigured {
    pub(super) fn new(pair: PairKey, error: &BadConfig) -> Self {
        Self {
            pair,
            fault: escaped(&error.to_string()),
        }
    }

    pub(super) fn unconfigured() -> Self {
        Self {
            pair: PairKey::new("-", SessionSource::Anonymous),
            fault: "there is no configuration yet".to_owned(),
        }
    }
}

/// A configuration's own text may hold line breaks, which the host would print raw.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// The gate of a request that would ask control.
pub(super) struct Gated<'a> {
    pub(super) token_key: &'a TokenKey,
    pub(super) now_ms: u64,
    pub(super) config: &'a FilterConfig,
    pub(super) memory: &'a PairMemory,
}

impl Gated<'_> {
    /// Judges the gate, and in the same breath counts the refusal when it is closed: one look into shared data and one
    /// write for a refused request, which under a storm is every request.
    pub(super) fn admit_and_note(
        &self,
        host: &impl Host,
        pair: &PairKey,
    ) -> (Admission, Option<RefusalLine>) {
        let longest_ms = gate::longest_held_ms(&self.config.gate, self.config.control.pause_ms);
        let (key, every_ms) = (self.token_key.gate_bytes(), self.config.warn_every_ms);
        let noted = self.memory.update(host, pair, self.now_ms, |record| {
            let admission = gate::admit(record.gate(&key).as_ref(), self.now_ms, longest_ms);
            let Admission::Closed { refusal, .. } = admission else {
                return (false, (admission, None));
            };
            let line = note_in(record, refusal, 1, false, every_ms, self.now_ms);
            (true, (admission, Some(line)))
        });
        // What cannot be counted is still refused.
        noted.unwrap_or_else(|_| {
            let record = self.memory.read(host, pair);
            (
                gate::admit(record.gate(&key).as_ref(), self.now_ms, longest_ms),
                Some(RefusalLine::QUIET),
            )
        })
    }
}

/// The answers to requests that were refused together.
pub(super) struct Replies {
    to_listeners: Option<Reply>,
    to_others: Reply,
}

impl Replies {
    /// The answer to one of them.
    pub(super) fn for_waiter(&self, is_listener: bool) -> Reply {
        match &self.to_listeners {
            Some(reply) if is_listener => reply.clone(),
            _ => self.to_others.clone(),
        }
    }
}

impl<H: Host> Worker<H> {
    /// Says what is wrong with the configuration: one WARN for all of Envoy's VMs that read it.
    pub(super) fn say_misconfigured(&mut self) {
        if let Err(Misconfigured { pair, fault }) = &self.config {
            let text = format!("filter misconfigured, every request is refused with 503: {fault}");
            let pair = *pair;
            let line = self.note_refusals(&pair, Refusal::FilterMisconfigured, 1, true);
            self.write(line.level, text);
        }
    }

    /// The answer of a filter whose configuration cannot be used.
    pub(super) fn refuse_misconfigured(&mut self) -> Reply {
        let refusal = Refusal::FilterMisconfigured;
        self.host.count(&Metric {
            server: NO_SERVER,
            event: Event::Request(Outcome::Refused(refusal)),
        });
        if let Err(Misconfigured { pair, fault }) = &self.config {
            let (pair, fault) = (*pair, fault.clone());
            let line = self.note_refusals(&pair, refusal, 1, true);
            let text = refusal_line(refusal, "-", &pair, 1, line);
            self.write(line.level, format!("{text}: {fault}"));
        }
        refusal_reply(refusal, None, MISCONFIGURED_MS)
    }

    /// Refuses because of the presented token itself; nobody is asked, so there is no gate to close.
    pub(super) fn refuse_presented(
        &mut self,
        server_index: usize,
        pair: &PairKey,
        refusal: Refusal,
        is_listener: bool,
    ) -> Reply {
        self.count_request(server_index, Outcome::Refused(refusal));
        // Probes and closing requests of aggregators come without a token as a matter of course.
        let line = if refusal == Refusal::MissingBearer {
            self.log_refusal(server_index, pair, refusal, 1, RefusalLine::QUIET);
            RefusalLine::QUIET
        } else {
            self.note_and_log(server_index, pair, refusal, 1, true)
        };
        self.replies(server_index, refusal, self.misconfigured_ms(), line)
            .for_waiter(is_listener)
    }

    /// Refuses from the gate's memory. `noted` is the line when the refusal has been counted already.
    pub(super) fn refuse_from_gate(
        &mut self,
        presented: &Presented<'_>,
        (refusal, retry_after_ms): (Refusal, u64),
        noted: Option<RefusalLine>,
    ) -> Reply {
        let (server_index, pair) = (presented.server_index, presented.token_use.pair);
        self.count_request(server_index, Outcome::Gated(refusal));
        let line = match noted {
            Some(line) => {
                self.log_refusal(server_index, &pair, refusal, 1, line);
                line
            }
            None => self.note_and_log(server_index, &pair, refusal, 1, false),
        };
        self.replies(server_index, refusal, retry_after_ms, line)
            .for_waiter(presented.is_listener())
    }

    pub(super) fn replies(
        &self,
        server_index: usize,
        refusal: Refusal,
        retry_after_ms: u64,
        line: RefusalLine,
    ) -> Replies {
        let server = self.server(server_index);
        let too_often = |server: &&Server| server.listener_405_after.is_some_and(|most| line.in_a_row > most);
        Replies {
            to_listeners: server
                .filter(too_often)
                .map(|server| listener_reply(refusal, server)),
            to_others: refusal_reply(refusal, server, retry_after_ms),
        }
    }

    /// Refuses a request whose headers cannot be read, or not in one way only.
    pub fn refuse_unreadable(&mut self) -> Verdict {
        self.refuse_without_server(Refusal::UnreadableRequest)
    }

    /// Refuses a request that is for none of the configured servers, or for one that cannot be told.
    pub(super) fn refuse_without_server(&mut self, refusal: Refusal) -> Verdict {
        self.host.count(&Metric {
            server: NO_SERVER,
            event: Event::Request(Outcome::Refused(refusal)),
        });
        let pair = PairKey::new("-", SessionSource::Anonymous);
        let line = self.note_refusals(&pair, refusal, 1, true);
        self.write(line.level, refusal_line(refusal, "-", &pair, 1, line));
        let retry_after_ms = match refusal.class() {
            RefusalClass::Transient => 1_000,
            RefusalClass::LoginNeeded | RefusalClass::Misconfigured => self.misconfigured_ms(),
        };
        Verdict::Reply(refusal_reply(refusal, None, retry_after_ms).into())
    }

    /// Control gave no token: closes the gate, logs once for all who waited, and makes their answer.
    pub(super) fn refuse_flight(
        &mut self,
        token_key: &TokenKey,
        flight: &Flight,
        refusal: Refusal,
        retry_after_seconds: Option<u32>,
    ) -> Replies {
        let (now_ms, every_ms) = (self.host.now_ms(), self.warn_every_ms());
        let requests = u32::try_from(flight.waiters.len()).unwrap_or(u32::MAX).max(1);
        let asked_ms = u64::from(retry_after_seconds.unwrap_or(0)).saturating_mul(1000);
        let (pair, times) = (flight.pair, self.config.as_ref().ok().map(|config| config.gate));
        // Where Envoy has no way to control, a gate spares nobody anything, and would outlast what is wrong.
        let asked = flight.call.is_some() || refusal != Refusal::FilterMisconfigured;
        let times = times.filter(|_| asked);
        let misconfigured_ms = self.misconfigured_ms();
        let noted = self.memory.update(&self.host, &pair, now_ms, |record| {
            let mut closed_ms = misconfigured_ms;
            if let Some(times) = &times {
                let key = token_key.gate_bytes();
                let jitter =
                    now_ms.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from_le_bytes(first_eight(&key));
                let closed = gate::close(
                    record.gate(&key).as_ref(),
                    key,
                    refusal,
                    asked_ms,
                    times,
                    now_ms,
                    jitter,
                );
                closed_ms = closed.closed_until_ms.saturating_sub(now_ms);
                record.put_gate(closed);
            }
            give_back(record, flight.charge, Some(refusal), now_ms);
            let line = note_in(record, refusal, requests, true, every_ms, now_ms);
            (true, (line, closed_ms))
        });
        let quiet = (RefusalLine::QUIET, asked_ms);
        let (line, closed_ms) = noted.unwrap_or(quiet);
        for _ in &flight.waiters {
            self.count_request(flight.server, Outcome::Refused(refusal));
        }
        self.log_refusal(flight.server, &pair, refusal, requests, line);
        self.replies(flight.server, refusal, closed_ms, line)
    }

    /// `Retry-After` of a refusal that closes no gate: as long as an operator's mistake is given.
    fn misconfigured_ms(&self) -> u64 {
        self.config
            .as_ref()
            .map_or(MISCONFIGURED_MS, |config| config.gate.misconfigured_ms)
    }
}

/// Whether a failed background question is worth asking again soon.
pub(super) fn prefetch_pause_ms(refusal: Refusal, retry_after_seconds: Option<u32>) -> u64 {
    let asked_ms = u64::from(retry_after_seconds.unwrap_or(0)).saturating_mul(1000);
    let own_ms = match refusal.class() {
        RefusalClass::Transient => 5_000,
        RefusalClass::LoginNeeded | RefusalClass::Misconfigured => 60_000,
    };
    asked_ms.max(own_ms).min(300_000)
}

fn first_eight(key: &[u8; 16]) -> [u8; 8] {
    key.first_chunk::<8>().copied().unwrap_or_default()
}
