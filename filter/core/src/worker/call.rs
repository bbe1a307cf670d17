//! Asking control: joining a question that is under way, or starting one; in the background for tokens near expiry.

use std::rc::Rc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TOKEN_PATH, TokenRequest};

use super::{Presented, TICK_MS, Verdict, Worker};
use crate::flight::{CallCharge, CallRequest, Flight, Waiter};
use crate::host::{CallFailure, CallId, ControlCall, Host, StreamId};
use crate::identity::{PairKey, TokenKey};
use crate::metric::{Event, Metric, ServerLabel};
use crate::pair::gate::{self, Admission};

impl<H: Host> Worker<H> {
    /// Pauses `stream` until control has answered.
    pub(super) fn ask(&mut self, stream: StreamId, presented: &Presented<'_>, probe: bool) -> Verdict {
        let token_key = presented.token_use.token_key;
        let waiter = Waiter {
            stream,
            is_listener: presented.is_listener(),
        };
        self.make_room();
        if self.flights.join(&token_key, waiter) {
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
        let charge = match probe {
            true => CallCharge::default(),
            false => match self.leave(&token_key, &presented.token_use.pair) {
                Ok(charge) => charge,
                Err(denied) => return Verdict::Reply(self.turn_away(presented, denied).into()),
            },
        };
        let rejected = self.is_rejected(&token_key, presented.now_ms);
        let mut flight = self.flight(presented, if rejected { Reason::Rejected } else { Reason::Stale });
        flight.waiters.push(waiter);
        flight.charge = charge;
        self.flights.add(token_key, flight);
        if let Err(refusal) = self.start(&token_key)
            && let Some(flight) = self.flights.take(&token_key)
        {
            self.settle(&token_key, &flight, Some(refusal));
            return Verdict::Reply(
                self.refuse_flight(&token_key, &flight, refusal, None)
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
            self.flights.forget_gone(|stream| host.stream_exists(stream));
        }
    }

    /// Claims the right to try a gate whose time is over. [`Admission::Closed`] when another worker was faster.
    fn claim_probe(&self, presented: &Presented<'_>) -> Admission {
        let (key, now_ms) = (presented.token_use.token_key.gate_bytes(), self.host.now_ms());
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
        let token_key = presented.token_use.token_key;
        if !self.flights.has_room_for(presented.known) || self.flights.is_under_way(&token_key) {
            return;
        }
        if let Some(note) = self.notes.get(&token_key) {
            // A moment further away than any pause can be means that the clock stepped back.
            let left_ms = note.prefetch_after_ms.saturating_sub(presented.now_ms);
            if left_ms > 0 && left_ms <= 600_000 {
                return;
            }
        }
        let mut flight = self.flight(presented, Reason::NearExpiry);
        flight.background = true;
        self.flights.add(token_key, flight);
    }

    /// Remembers that a background question failed.
    pub(super) fn pause_prefetch(&mut self, token_key: TokenKey, pause_ms: u64) {
        let after_ms = self.host.now_ms().saturating_add(pause_ms);
        self.note(token_key).prefetch_after_ms = after_ms;
    }

    fn flight(&self, presented: &Presented<'_>, reason: Reason) -> Flight {
        let request = CallRequest {
            token: Rc::clone(presented.known),
            session: presented.head.session.map(SecretString::from),
            traceparent: presented.head.traceparent.map(str::to_owned),
        };
        let (server, pair) = (presented.server_index, presented.token_use.pair);
        self.new_flight(server, pair, Some(request), reason)
    }

    /// A flight that has not started and for which no request waits yet.
    pub(super) fn new_flight(
        &self,
        server: usize,
        pair: PairKey,
        request: Option<CallRequest>,
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
            subject: request.as_ref().map(|request| request.token.subject),
            request,
            reason,
            call: None,
            waiters: Vec::new(),
            background: false,
            charge: CallCharge::default(),
            deadline_tick: self.ticks.saturating_add(pause_ticks),
        }
    }

    /// Starts the call of a flight.
    pub(super) fn start(&mut self, token_key: &TokenKey) -> Result<(), Refusal> {
        let request = self.flights.take_request(token_key);
        let (Ok(config), Some(flight), Some(request)) = (&self.config, self.flights.get(token_key), request)
        else {
            return Err(Refusal::FilterMisconfigured);
        };
        let server = config
            .servers
            .get(flight.server)
            .map_or("-", |server| server.name.as_str());
        let form = TokenRequest {
            subject_token: String::from_utf8_lossy(request.token.bytes()).into_owned().into(),
            server: server.to_owned(),
            session: request.session,
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
        if let Some(traceparent) = &request.traceparent {
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
        self.flights.started(token_key, call);
        Ok(())
    }
}
