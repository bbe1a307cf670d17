//! Asking control: joining a question that is under way, or starting one; in the background for tokens near expiry.

use std::rc::Rc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TOKEN_PATH, TokenRequest};

use super::{Presented, TICK_MS, Verdict, Worker};
use crate::flight::{Flight, Question, Taken, Waiter};
use crate::host::{CallFailure, CallId, ControlCall, Host, StreamId};
use crate::identity::{PairKey, TicketKey};
use crate::outcome::{Event, Metric, ServerLabel};
use crate::pair::gate::{self, Admission};

impl<H: Host> Worker<H> {
    /// Pauses `stream` until control has answered.
    pub(super) fn ask(&mut self, stream: StreamId, presented: &Presented<'_>, probe: bool) -> Verdict {
        let ticket = presented.token_use.ticket;
        let waiter = Waiter {
            stream,
            is_listener: presented.is_listener(),
        };
        self.make_room();
        if self.flights.join(&ticket, waiter) {
            self.watch = Some(self.watch_of(presented));
            return Verdict::Pause;
        }
        if self.flights.is_full() {
            let reply = self.refuse_overload(presented.server_index, (Refusal::Busy, 1_000));
            return Verdict::Reply(reply.into());
        }
        if probe
            && let Admission::Closed {
                refusal,
                retry_after_ms,
            } = self.claim_probe(presented)
        {
            return Verdict::Reply(
                self.refuse_from_gate(presented, (refusal, retry_after_ms), None)
                    .into(),
            );
        }
        // A probe needs no leave: its gate says how often it may be made.
        let taken = match probe {
            true => Taken::default(),
            false => match self.leave(&ticket, &presented.token_use.pair) {
                Ok(taken) => taken,
                Err(no_leave) => return Verdict::Reply(self.turn_away(presented, no_leave).into()),
            },
        };
        let rejected = self.is_rejected(&ticket, presented.now_ms);
        let mut flight = self.flight(presented, if rejected { Reason::Rejected } else { Reason::Stale });
        flight.waiters.push(waiter);
        flight.taken = taken;
        self.flights.add(ticket, flight);
        if let Err(refusal) = self.start(&ticket)
            && let Some(flight) = self.flights.take(&ticket)
        {
            self.settle(&ticket, &flight, Some(refusal));
            return Verdict::Reply(
                self.refuse_flight(&ticket, &flight, refusal, None)
                    .for_waiter(waiter.is_listener)
                    .into(),
            );
        }
        self.watch = Some(self.watch_of(presented));
        Verdict::Pause
    }

    /// Who has left waits no longer. Asked for only when the places are used up, and once between two ticks: it takes
    /// a host call for each of them.
    fn make_room(&mut self) {
        if self.flights.is_full() && self.made_room_at != self.ticks {
            self.made_room_at = self.ticks;
            let host = &self.host;
            self.flights.forget_gone(|stream| host.is_there(stream));
        }
    }

    /// Claims the right to try a gate whose time is over. [`Admission::Closed`] when another worker was faster.
    fn claim_probe(&self, presented: &Presented<'_>) -> Admission {
        let (key, now_ms) = (presented.token_use.ticket.gate_bytes(), self.host.now_ms());
        let Ok(config) = &self.config else {
            return Admission::Open;
        };
        let longest_ms = gate::longest_held_ms(&config.gate, config.control.pause_ms);
        let claimed = self
            .memory
            .update(&self.host, &presented.token_use.pair, now_ms, |record| {
                let before = record.gate(&key);
                let admission = gate::admit(before.as_ref(), now_ms, longest_ms);
                match before.filter(|_| admission == Admission::Probe) {
                    Some(before) => {
                        record.put_gate(gate::claim_probe(before, now_ms, config.control.pause_ms));
                        (true, admission)
                    }
                    None => (false, admission),
                }
            });
        // Nothing could be claimed: the quiet way is to let others try.
        claimed.unwrap_or(Admission::Closed {
            refusal: Refusal::Busy,
            retry_after_ms: 1_000,
        })
    }

    /// Fetches the next token in the background, once, unless that failed a moment ago. The call starts at the next
    /// tick: this request need not pay for it.
    pub(super) fn prefetch(&mut self, presented: &Presented<'_>) {
        let ticket = presented.token_use.ticket;
        if !self.flights.has_room_for(presented.known) || self.flights.is_under_way(&ticket) {
            return;
        }
        if let Some(note) = self.notes.get(&ticket) {
            // A moment further away than any pause can be means that the clock stepped back.
            let left_ms = note.prefetch_after_ms.saturating_sub(presented.now_ms);
            if left_ms > 0 && left_ms <= 600_000 {
                return;
            }
        }
        let mut flight = self.flight(presented, Reason::NearExpiry);
        flight.background = true;
        self.flights.add(ticket, flight);
    }

    /// Remembers that a background question failed.
    pub(super) fn pause_prefetch(&mut self, ticket: TicketKey, pause_ms: u64) {
        let after_ms = self.host.now_ms().saturating_add(pause_ms);
        self.note(ticket).prefetch_after_ms = after_ms;
    }

    fn flight(&self, presented: &Presented<'_>, reason: Reason) -> Flight {
        let question = Question {
            token: Rc::clone(presented.known),
            session: presented.head.session.map(SecretString::from),
            traceparent: presented.head.traceparent.map(str::to_owned),
        };
        let (server, pair) = (presented.server_index, presented.token_use.pair);
        self.new_flight(server, pair, Some(question), reason)
    }

    /// A flight that has not started and for which no request waits yet.
    pub(super) fn new_flight(
        &self,
        server: usize,
        pair: PairKey,
        question: Option<Question>,
        reason: Reason,
    ) -> Flight {
        let pause_ms = self
            .config
            .as_ref()
            .map_or(TICK_MS, |config| config.control.pause_ms);
        let pause_ticks = pause_ms.div_ceil(TICK_MS).saturating_add(1);
        Flight {
            server,
            pair,
            subject: question.as_ref().map(|question| question.token.subject),
            question,
            reason,
            call: None,
            waiters: Vec::new(),
            background: false,
            taken: Taken::default(),
            deadline_tick: self.ticks.saturating_add(pause_ticks),
        }
    }

    /// Starts the call of a flight.
    pub(super) fn start(&mut self, ticket: &TicketKey) -> Result<(), Refusal> {
        let question = self.flights.take_question(ticket);
        let (Ok(config), Some(flight), Some(question)) = (&self.config, self.flights.get(ticket), question)
        else {
            return Err(Refusal::FilterMisconfigured);
        };
        let server = config
            .servers
            .get(flight.server)
            .map_or("-", |server| server.name.as_str());
        let form = TokenRequest {
            subject_token: String::from_utf8_lossy(question.token.bytes())
                .into_owned()
                .into(),
            server: server.to_owned(),
            session: question.session,
            reason: flight.reason,
        }
        .to_form();
        let mut headers = vec![
            (":method", "POST"),
            (":path", TOKEN_PATH),
            (":authority", config.control.authority.as_str()),
            ("authorization", config.control.authorization.expose_secret()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            (
                "user-agent",
                concat!("tokenward-filter/", env!("CARGO_PKG_VERSION")),
            ),
        ];
        if let Some(traceparent) = &question.traceparent {
            headers.push(("traceparent", traceparent));
        }
        let call = ControlCall {
            cluster: &config.control.cluster,
            headers,
            body: form.as_bytes(),
            timeout: config.control.timeout,
        };
        let label = ServerLabel {
            number: Some(flight.server),
            name: server,
        };
        self.host.count(&Metric {
            server: label,
            event: Event::ControlCall(flight.reason),
        });
        let call: CallId = self.host.call_control(&call).map_err(|failure| {
            let refusal = match failure {
                CallFailure::UnknownCluster => Refusal::FilterMisconfigured,
                CallFailure::Unavailable => Refusal::ControlUnreachable,
            };
            self.host.count(&Metric {
                server: label,
                event: Event::ControlAnswer(Some(refusal)),
            });
            refusal
        })?;
        self.flights.started(ticket, call);
        Ok(())
    }
}
