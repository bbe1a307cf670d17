//! A request needs a token that only control can give: its gate admits the call or refuses the request from memory.

use std::rc::Rc;

use super::presented::Presented;
use super::state::Worker;
use crate::host::{Host, StreamId};
use crate::log::{Level, RefusalLine, Refusals};
use crate::metric::RequestOutcome;
use crate::pair::gate::{self, Admission, ClosedGate};
use crate::reply::Reply;
use crate::verdict::Verdict;

impl<H: Host> Worker<H> {
    /// Calls control, or refuses the request while its gate is closed.
    pub(super) fn pass_gate(&mut self, stream: StreamId, presented: &Presented<'_>) -> Verdict {
        let key = &presented.token_use.token_key;
        if let Some((refusal, reply)) = self.gate_cache.refuse(key, presented.server, presented.now_ms) {
            self.count_request(
                presented.server,
                RequestOutcome::Gated(refusal),
                presented.mcp_method(),
            );
            return Verdict::Reply(reply);
        }
        let (admission, line) = self.admit_and_note(presented);
        match admission {
            Admission::Open => self.call(stream, presented, false),
            Admission::Probe => self.call(stream, presented, true),
            Admission::Closed(closed) => {
                let reply = Rc::new(self.refuse_from_gate(presented, closed, line));
                self.cache_gate(presented, closed, &reply);
                Verdict::Reply(reply)
            }
        }
    }

    /// Judges the gate, and counts the refusal in the same write when it is closed: one read of shared data and one write
    /// for a refused request, which in a storm is every request.
    fn admit_and_note(&self, presented: &Presented<'_>) -> (Admission, Option<RefusalLine>) {
        let (host, memory, spans) = (&self.context.host, &self.context.memory, self.context.spans);
        let (pair, now_ms) = (&presented.token_use.pair, presented.now_ms);
        let key = presented.token_use.token_key.gate_bytes();
        let noted = memory.update(host, pair, now_ms, |record| {
            let admission = gate::admit(record.gate(&key).as_ref(), now_ms, spans.longest_held_ms);
            let Admission::Closed(ClosedGate { refusal, .. }) = admission else {
                return (false, (admission, None));
            };
            let refusals = Refusals::from_memory(refusal, presented.mcp_method(), 1);
            let line = record.note_refusals(refusals, spans.warn_every_ms, now_ms);
            (true, (admission, Some(line)))
        });
        // A refusal that cannot be counted is still one.
        noted.unwrap_or_else(|_| {
            let gate = memory.read(host, pair).gate(&key);
            let admission = gate::admit(gate.as_ref(), now_ms, spans.longest_held_ms);
            (admission, Some(RefusalLine::QUIET))
        })
    }

    /// Refuses from the gate's memory. `noted` is the line when the refusal has been counted already.
    pub(super) fn refuse_from_gate(
        &mut self,
        presented: &Presented<'_>,
        closed: ClosedGate,
        noted: Option<RefusalLine>,
    ) -> Reply {
        let (server, method) = (presented.server, presented.mcp_method());
        self.count_request(server, RequestOutcome::Gated(closed.refusal), method);
        let refusals = Refusals::from_memory(closed.refusal, method, 1);
        let line = match noted {
            Some(line) => {
                let pair = &presented.token_use.pair;
                self.context.log_refusals(&server.name, pair, refusals, line);
                line
            }
            None => self.note_and_log(presented, refusals),
        };
        self.replies(server, closed.refusal, closed.retry_after_ms, line)
            .for_waiter(method)
    }

    /// Caches a gate that shared data holds closed, with the reply. Not while every refusal is logged, and not where
    /// listeners' refusals are counted: both need the pair's record each time.
    fn cache_gate(&mut self, presented: &Presented<'_>, closed: ClosedGate, reply: &Rc<Reply>) {
        if presented.server.listener_405_after.is_some() || self.context.host.log_enabled(Level::Debug) {
            return;
        }
        let (pair, key) = (presented.token_use.pair, presented.token_use.token_key);
        self.gate_cache.insert(pair, key, closed, presented.now_ms, reply);
    }

    /// Claims the right to try a gate after its closing time. [`Admission::Closed`] when another worker was faster.
    pub(super) fn claim_probe(&self, presented: &Presented<'_>) -> Admission {
        let (host, now_ms) = (&self.context.host, self.context.host.now_ms());
        let key = presented.token_use.token_key.gate_bytes();
        let (longest_ms, pause_ms) = (self.context.spans.longest_held_ms, self.config.control.pause_ms);
        let pair = &presented.token_use.pair;
        let claimed = self.context.memory.update(host, pair, now_ms, |record| {
            let before = record.gate(&key);
            let admission = gate::admit(before.as_ref(), now_ms, longest_ms);
            match before.filter(|_| admission == Admission::Probe) {
                Some(before) => {
                    record.put_gate(gate::claim_probe(before, now_ms, pause_ms));
                    (true, admission)
                }
                None => (false, admission),
            }
        });
        // Without a claim the quiet way is to let others try.
        claimed.unwrap_or(Admission::Closed(ClosedGate::BUSY))
    }

    /// At a tick: the pairs' records get what was refused from the cache, and the next request of each pair reads them
    /// again.
    pub(super) fn flush_gate_cache(&mut self) {
        let (host, memory) = (&self.context.host, &self.context.memory);
        let (every_ms, now_ms) = (self.context.spans.warn_every_ms, host.now_ms());
        for (pair, refusals) in self.gate_cache.drain() {
            // A count that cannot be written is missing in a log line, by design.
            let _ = memory.update(host, &pair, now_ms, |record| {
                record.note_refusals(refusals, every_ms, now_ms);
                (true, ())
            });
        }
    }
}
