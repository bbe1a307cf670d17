//! Calls to control under way, and the requests that wait for them.
//!
//! All requests of one worker with the same ticket (session, server, presented token) share one call. Every wait has
//! a deadline of the filter's own, because a call may never be answered: the host may drop it, and what limits a call
//! is the host's timer, not ours.
//!
//! A flight holds its token only until the call has started, and what is held so is bounded in sum: clients choose how
//! long their tokens are.

use std::rc::Rc;

use secrecy::SecretString;
use tokenward_protocol::token_endpoint::Reason;

use crate::digest_map::DigestMap;
use crate::host::{CallId, StreamId};
use crate::identity::{PairKey, SubjectDigest, TicketKey};
use crate::token_memo::KnownToken;

/// Requests that may wait at once in one worker, and questions that may be under way. Past that a request is refused as
/// busy: each holds a downstream connection and its buffers, or a token.
pub const MOST_WAITERS: usize = 10_000;

/// Bytes that the questions not yet asked may hold in sum, per worker. Past that no token is fetched ahead of time.
pub const MOST_QUESTION_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of questions that one tick asks: encoding more would hold up the worker's requests.
const MOST_STARTED_BYTES: usize = 1024 * 1024;

/// A stream that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The stream.
    pub stream: StreamId,
    /// A `GET` for the server's event stream.
    pub is_listener: bool,
}

/// What a call has taken of the allowances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// One of [`crate::pair::record::PAIR_CALLS`].
    pub of_pair: bool,
    /// One of [`crate::pair::calls::ENVOY_CALLS`].
    pub of_envoy: bool,
}

/// One question to control, shared by all who need its answer.
#[derive(Debug)]
pub struct Flight {
    /// Number of the server.
    pub server: usize,
    /// Session × server.
    pub pair: PairKey,
    /// Digest of the presented token's `sub`: a forwarded replacement must have the same. Not known where there is
    /// nothing left to ask.
    pub subject: Option<SubjectDigest>,
    /// Why control is asked.
    pub reason: Reason,
    /// What control is to be asked, until the call has started.
    pub question: Option<Question>,
    /// The call, once started.
    pub call: Option<CallId>,
    /// Streams that wait.
    pub waiters: Vec<Waiter>,
    /// Nobody needs to wait for it: a token is fetched ahead of time.
    pub background: bool,
    /// What its call has taken of the allowances for tokens that control has never accepted.
    pub taken: Taken,
    /// Number of the worker's tick at which the wait ends, answered or not. Ticks, not the wall clock: a clock that
    /// steps back must not lengthen a pause.
    pub deadline_tick: u64,
}

/// What a call to control is made of.
#[derive(Debug)]
pub struct Question {
    /// The presented token.
    pub token: Rc<KnownToken>,
    /// The session handle, where there is one.
    pub session: Option<SecretString>,
    /// Copied to the call.
    pub traceparent: Option<String>,
}

/// The flights of one worker.
#[derive(Debug, Default)]
pub struct Flights {
    /// What the questions not yet asked hold.
    question_bytes: usize,
    flights: DigestMap<TicketKey, Flight>,
    tickets: DigestMap<CallId, TicketKey>,
    waiting: usize,
}

impl Flight {
    fn question_bytes(&self) -> usize {
        let question = self.question.as_ref();
        question.map_or(0, |question| question.token.cost_bytes())
    }
}

impl Flights {
    /// Whether a question with this ticket is under way.
    #[must_use]
    pub fn is_under_way(&self, ticket: &TicketKey) -> bool {
        self.flights.contains_key(ticket)
    }

    /// Lets `waiter` wait for the flight with this ticket. False when there is none or too many wait already.
    pub fn join(&mut self, ticket: &TicketKey, waiter: Waiter) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(flight) = self.flights.get_mut(ticket) else {
            return false;
        };
        flight.waiters.push(waiter);
        self.waiting = self.waiting.saturating_add(1);
        true
    }

    /// Adds a flight that has not been started yet.
    pub fn add(&mut self, ticket: TicketKey, flight: Flight) {
        self.waiting = self.waiting.saturating_add(flight.waiters.len());
        self.question_bytes = self.question_bytes.saturating_add(flight.question_bytes());
        self.flights.insert(ticket, flight);
    }

    /// Whether a question about `token` may be added that is not asked at once.
    #[must_use]
    pub fn has_room_for(&self, token: &KnownToken) -> bool {
        let bytes = self.question_bytes.saturating_add(token.cost_bytes());
        !self.is_full() && bytes <= MOST_QUESTION_BYTES
    }

    /// Takes what control is to be asked: the call starts now.
    pub fn take_question(&mut self, ticket: &TicketKey) -> Option<Question> {
        let flight = self.flights.get_mut(ticket)?;
        self.question_bytes = self.question_bytes.saturating_sub(flight.question_bytes());
        flight.question.take()
    }

    /// Notes that the call of a flight was started.
    pub fn started(&mut self, ticket: &TicketKey, call: CallId) {
        if let Some(flight) = self.flights.get_mut(ticket) {
            if let Some(before) = flight.call.replace(call) {
                self.tickets.remove(&before);
            }
            self.tickets.insert(call, *ticket);
        }
    }

    /// Takes the flight that this call belongs to.
    pub fn take_by_call(&mut self, call: CallId) -> Option<(TicketKey, Flight)> {
        let ticket = self.tickets.get(&call).copied()?;
        self.take(&ticket).map(|flight| (ticket, flight))
    }

    /// Takes a flight: it is over.
    pub fn take(&mut self, ticket: &TicketKey) -> Option<Flight> {
        let flight = self.flights.remove(ticket)?;
        if let Some(call) = flight.call {
            self.tickets.remove(&call);
        }
        self.waiting = self.waiting.saturating_sub(flight.waiters.len());
        self.question_bytes = self.question_bytes.saturating_sub(flight.question_bytes());
        Some(flight)
    }

    /// Whether so many wait, or so much is asked, that nothing more may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.max(self.flights.len()) >= MOST_WAITERS
    }

    /// Forgets those who wait no longer because their client has left. The calls go on, and their answers are kept for
    /// whoever comes next.
    pub fn forget_gone(&mut self, is_there: impl Fn(StreamId) -> bool) {
        for flight in self.flights.values_mut() {
            flight.waiters.retain(|waiter| is_there(waiter.stream));
        }
        self.waiting = self.flights.values().map(|flight| flight.waiters.len()).sum();
    }

    /// Tickets of flights whose deadline is over.
    #[must_use]
    pub fn overdue(&self, tick: u64) -> Vec<TicketKey> {
        self.flights
            .iter()
            .filter(|(_, flight)| flight.deadline_tick <= tick)
            .map(|(ticket, _)| *ticket)
            .collect()
    }

    /// Tickets of flights without a call, new background ones: as many as one tick may start.
    #[must_use]
    pub fn not_started(&self) -> Vec<TicketKey> {
        let mut bytes: usize = 0;
        self.flights
            .iter()
            .filter(|(_, flight)| flight.call.is_none())
            .take_while(|(_, flight)| {
                let before = bytes;
                bytes = bytes.saturating_add(flight.question_bytes());
                before < MOST_STARTED_BYTES
            })
            .map(|(ticket, _)| *ticket)
            .collect()
    }

    /// Notes what the call of a flight has taken.
    pub fn takes(&mut self, ticket: &TicketKey, taken: Taken) {
        if let Some(flight) = self.flights.get_mut(ticket) {
            flight.taken = taken;
        }
    }

    /// The flight with this ticket.
    #[must_use]
    pub fn get(&self, ticket: &TicketKey) -> Option<&Flight> {
        self.flights.get(ticket)
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }
}
