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
use crate::identity::{PairKey, SubjectDigest, TokenKey};
use crate::token_memo::KnownToken;

/// Requests that may wait at once in one worker, and questions that may be under way. Past that a request is refused as
/// busy: each holds a downstream connection and its buffers, or a token.
pub const MOST_WAITERS: usize = 10_000;

/// Bytes that the questions not yet asked may hold in sum, per worker. Past that no token is fetched ahead of time.
pub const MOST_REQUEST_BYTES: usize = 8 * 1024 * 1024;

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
pub struct CallCharge {
    /// One of [`crate::pair::record::PAIR_CALLS`].
    pub of_pair: bool,
    /// One of [`crate::pair::call_limit::ENVOY_CALLS`].
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
    pub request: Option<CallRequest>,
    /// The call, once started.
    pub call: Option<CallId>,
    /// Streams that wait.
    pub waiters: Vec<Waiter>,
    /// Nobody needs to wait for it: a token is fetched ahead of time.
    pub background: bool,
    /// What its call has taken of the allowances for tokens that control has never accepted.
    pub charge: CallCharge,
    /// Number of the worker's tick at which the wait ends, answered or not. Ticks, not the wall clock: a clock that
    /// steps back must not lengthen a pause.
    pub deadline_tick: u64,
}

/// What a call to control is made of.
#[derive(Debug)]
pub struct CallRequest {
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
    request_bytes: usize,
    flights: DigestMap<TokenKey, Flight>,
    keys_by_call: DigestMap<CallId, TokenKey>,
    waiting: usize,
}

impl Flight {
    fn request_bytes(&self) -> usize {
        let request = self.request.as_ref();
        request.map_or(0, |request| request.token.cost_bytes())
    }
}

impl Flights {
    /// Whether a question with this ticket is under way.
    #[must_use]
    pub fn is_under_way(&self, token_key: &TokenKey) -> bool {
        self.flights.contains_key(token_key)
    }

    /// Lets `waiter` wait for the flight with this ticket. False when there is none or too many wait already.
    pub fn join(&mut self, token_key: &TokenKey, waiter: Waiter) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(flight) = self.flights.get_mut(token_key) else {
            return false;
        };
        flight.waiters.push(waiter);
        self.waiting = self.waiting.saturating_add(1);
        true
    }

    /// Adds a flight that has not been started yet.
    pub fn add(&mut self, token_key: TokenKey, flight: Flight) {
        self.waiting = self.waiting.saturating_add(flight.waiters.len());
        self.request_bytes = self.request_bytes.saturating_add(flight.request_bytes());
        self.flights.insert(token_key, flight);
    }

    /// Whether a question about `token` may be added that is not asked at once.
    #[must_use]
    pub fn has_room_for(&self, token: &KnownToken) -> bool {
        let bytes = self.request_bytes.saturating_add(token.cost_bytes());
        !self.is_full() && bytes <= MOST_REQUEST_BYTES
    }

    /// Takes what control is to be asked: the call starts now.
    pub fn take_request(&mut self, token_key: &TokenKey) -> Option<CallRequest> {
        let flight = self.flights.get_mut(token_key)?;
        self.request_bytes = self.request_bytes.saturating_sub(flight.request_bytes());
        flight.request.take()
    }

    /// Notes that the call of a flight was started.
    pub fn started(&mut self, token_key: &TokenKey, call: CallId) {
        if let Some(flight) = self.flights.get_mut(token_key) {
            if let Some(before) = flight.call.replace(call) {
                self.keys_by_call.remove(&before);
            }
            self.keys_by_call.insert(call, *token_key);
        }
    }

    /// Takes the flight that this call belongs to.
    pub fn take_by_call(&mut self, call: CallId) -> Option<(TokenKey, Flight)> {
        let token_key = self.keys_by_call.get(&call).copied()?;
        self.take(&token_key).map(|flight| (token_key, flight))
    }

    /// Takes a flight: it is over.
    pub fn take(&mut self, token_key: &TokenKey) -> Option<Flight> {
        let flight = self.flights.remove(token_key)?;
        if let Some(call) = flight.call {
            self.keys_by_call.remove(&call);
        }
        self.waiting = self.waiting.saturating_sub(flight.waiters.len());
        self.request_bytes = self.request_bytes.saturating_sub(flight.request_bytes());
        Some(flight)
    }

    /// Whether so many wait, or so much is asked, that nothing more may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.max(self.flights.len()) >= MOST_WAITERS
    }

    /// Forgets those who wait no longer because their client has left. The calls go on, and their answers are kept for
    /// whoever comes next.
    pub fn forget_gone(&mut self, stream_exists: impl Fn(StreamId) -> bool) {
        for flight in self.flights.values_mut() {
            flight.waiters.retain(|waiter| stream_exists(waiter.stream));
        }
        self.waiting = self.flights.values().map(|flight| flight.waiters.len()).sum();
    }

    /// Tickets of flights whose deadline is over.
    #[must_use]
    pub fn overdue(&self, tick: u64) -> Vec<TokenKey> {
        self.flights
            .iter()
            .filter(|(_, flight)| flight.deadline_tick <= tick)
            .map(|(token_key, _)| *token_key)
            .collect()
    }

    /// Tickets of flights without a call, new background ones: as many as one tick may start.
    #[must_use]
    pub fn not_started(&self) -> Vec<TokenKey> {
        let mut bytes: usize = 0;
        self.flights
            .iter()
            .filter(|(_, flight)| flight.call.is_none())
            .take_while(|(_, flight)| {
                let before = bytes;
                bytes = bytes.saturating_add(flight.request_bytes());
                before < MOST_STARTED_BYTES
            })
            .map(|(token_key, _)| *token_key)
            .collect()
    }

    /// Notes what the call of a flight has taken.
    pub fn takes(&mut self, token_key: &TokenKey, charge: CallCharge) {
        if let Some(flight) = self.flights.get_mut(token_key) {
            flight.charge = charge;
        }
    }

    /// The flight with this ticket.
    #[must_use]
    pub fn get(&self, token_key: &TokenKey) -> Option<&Flight> {
        self.flights.get(token_key)
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }
}
