//! Calls to control: a request joins the one that is under way for its token, or starts one; prefetches start in the
//! background.

use std::rc::Rc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TOKEN_PATH, TokenRequest};

use super::presented::Presented;
use super::refusal::{FailedCall, Replies};
use super::state::{TICK_MS, USER_AGENT, Worker};
use crate::config::{AuthKind, Server};
use crate::flight::{CallCharge, CallRequest, Flight, Waiter};
use crate::host::{CallFailure, CallId, ControlCall, Host, StreamId};
use crate::identity::{PairKey, TokenKey};
use crate::metric::Event;
use crate::pair::gate::Admission;
use crate::token_memo::KnownToken;
use crate::verdict::Verdict;

impl<H: Host> Worker<H> {
    /// Pauses `stream` until control has answered a call for its token. `probe`: the request is the one that tries a gate
    /// after its closing time.
    pub(super) fn call(&mut self, stream: StreamId, presented: &Presented<'_>, probe: bool) -> Verdict {
        let key = presented.token_use.token_key;
        let waiter = Waiter {
            stream,
            mcp_method: presented.mcp_method(),
        };
        self.drop_closed_waiters();
        if self.flights.join(&key, waiter) {
            self.watch = Some(self.watch_of(presented));
            return Verdict::Pause;
        }
        if self.flights.is_full() {
            let method = presented.mcp_method();
            let reply = self.refuse_overload(presented.server, Refusal::Busy, method, 1_000);
            return Verdict::Reply(reply.into());
        }
        if probe && let Admission::Closed(closed) = self.claim_probe(presented) {
            return Verdict::Reply(self.refuse_from_gate(presented, closed, None).into());
        }
        // A probe needs no permission: its gate limits how often it is made.
        let charge = match probe {
            true => CallCharge::default(),
            false => match self.permit_call(&key, &presented.token_use.pair) {
                Ok(charge) => charge,
                Err(denied) => return Verdict::Reply(self.refuse_call(presented, denied).into()),
            },
        };
        let reason = match self.token_states.is_rejected(&key, presented.now_ms) {
            true => Reason::Rejected,
            false => Reason::Stale,
        };
        let mut flight = self.flight(presented, reason);
        flight.waiters.push(waiter);
        flight.charge = charge;
        if let Some(replies) = self.start(key, flight) {
            return Verdict::Reply(replies.for_waiter(waiter.mcp_method).into());
        }
        self.watch = Some(self.watch_of(presented));
        Verdict::Pause
    }

    /// Drops the waiters of closed streams. Only when no more may wait, and once between two ticks: it costs a host call
    /// for each waiter.
    fn drop_closed_waiters(&mut self) {
        if self.flights.is_full() && self.checked_streams_at != self.ticks {
            self.checked_streams_at = self.ticks;
            let host = &self.context.host;
            self.flights.drop_closed(|stream| host.stream_exists(stream));
        }
    }

    /// Fetches the next token in the background, once, unless that failed a moment ago. The call starts at the next
    /// tick: this request need not pay for it.
    pub(super) fn prefetch(&mut self, presented: &Presented<'_>) {
        let key = presented.token_use.token_key;
        if !self.flights.has_room_for(presented.token)
            || self.flights.is_under_way(&key)
            || self.token_states.is_prefetch_paused(&key, presented.now_ms)
        {
            return;
        }
        let mut flight = self.flight(presented, Reason::NearExpiry);
        flight.background = true;
        self.flights.add(key, flight);
    }

    /// Starts no prefetch for this token for a while: the last one brought nothing.
    pub(super) fn pause_prefetch(&mut self, key: TokenKey, pause_ms: u64) {
        let after_ms = self.context.host.now_ms().saturating_add(pause_ms);
        self.token_states.pause_prefetch(key, after_ms);
    }

    fn flight(&self, presented: &Presented<'_>, reason: Reason) -> Flight {
        let request = CallRequest {
            token: Rc::clone(presented.token),
            session: presented.session().map(SecretString::from),
            traceparent: presented.head.traceparent.map(str::to_owned),
        };
        self.new_flight(presented.server, presented.token_use.pair, request, reason)
    }

    /// A flight that has not started and for which no request waits yet.
    pub(super) fn new_flight(
        &self,
        server: &Rc<Server>,
        pair: PairKey,
        request: CallRequest,
        reason: Reason,
    ) -> Flight {
        let pause_ticks = self.config.control.pause_ms.div_ceil(TICK_MS).saturating_add(1);
        Flight {
            server: Rc::clone(server),
            pair,
            subject: keeps_subject(server, &request.token).then_some(request.token.subject),
            request: Some(request),
            reason,
            call: None,
            waiters: Vec::new(),
            background: false,
            charge: CallCharge::default(),
            deadline_tick: self.ticks.saturating_add(pause_ticks),
        }
    }

    /// Starts the call of a flight; the replies to its waiters when it could not be started.
    fn start(&mut self, key: TokenKey, mut flight: Flight) -> Option<Replies> {
        match self.start_call(&mut flight) {
            Ok(()) => {
                self.flights.add(key, flight);
                None
            }
            Err(refusal) => {
                self.settle(&key, &flight, Some(refusal));
                Some(self.refuse_failed(&FailedCall::new(&key, &flight, refusal, None)))
            }
        }
    }

    /// Starts a queued call. Without permission it is dropped, and requests that have joined it since are refused.
    pub(super) fn start_in_background(&mut self, key: TokenKey) {
        let Some(mut flight) = self.flights.take(&key) else {
            return;
        };
        match self.permit_call(&key, &flight.pair) {
            Ok(charge) => flight.charge = charge,
            Err(denied) => return self.drop_call(key, &flight, denied),
        }
        match self.start_call(&mut flight) {
            Ok(()) => self.flights.add(key, flight),
            Err(refusal) => {
                self.settle(&key, &flight, Some(refusal));
                self.end_without_token(&key, &flight, refusal, None);
            }
        }
    }

    /// Hands a flight's request to the host.
    fn start_call(&self, flight: &mut Flight) -> Result<(), Refusal> {
        let Some(request) = flight.request.take() else {
            return Ok(());
        };
        let (host, control) = (&self.context.host, &self.config.control);
        let form = TokenRequest {
            subject_token: request.token.text().into(),
            subject_token_type: match request.token.is_own {
                true => SubjectTokenType::AccessToken,
                false => SubjectTokenType::IdToken,
            },
            server: flight.server.name.clone(),
            session: request.session,
            reason: flight.reason,
        }
        .to_form();
        let mut headers = vec![
            (":method", "POST"),
            (":path", TOKEN_PATH),
            (":authority", control.authority.as_str()),
            ("authorization", control.authorization.expose_secret()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("user-agent", USER_AGENT),
        ];
        if let Some(traceparent) = &request.traceparent {
            headers.push(("traceparent", traceparent));
        }
        let call = ControlCall {
            cluster: &control.cluster,
            headers,
            body: form.as_bytes(),
            timeout: control.timeout,
        };
        self.count(&flight.server, Event::ControlCall(flight.reason));
        let call: CallId = host.call_control(&call).map_err(|failure| {
            let refusal = match failure {
                CallFailure::UnknownCluster => Refusal::FilterMisconfigured,
                CallFailure::Unavailable => Refusal::ControlUnreachable,
            };
            self.count(&flight.server, Event::ControlAnswer(Some(refusal)));
            refusal
        })?;
        flight.call = Some(call);
        Ok(())
    }
}

/// Whether the token that reaches `server` must have the subject of `token`: its issuer is the same, or it is the user's own
/// token that an access token of ours stands for.
fn keeps_subject(server: &Server, token: &KnownToken) -> bool {
    (token.is_own && server.kind == AuthKind::Forward) || server.takes(&token.claims.issuer)
}
