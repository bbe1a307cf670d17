//! Calls to control under way, and the requests that wait for them.
//!
//! All requests of one worker with the same token key (session, server, presented token) share one call. Every wait has
//! a deadline of the filter's own, because a call may never be answered: the host may drop it, and the host's timer, not
//! the filter's, limits a call.
//!
//! A flight holds its token only until its call starts, and the bytes held so are bounded in sum: clients choose how long
//! their tokens are.

use std::rc::Rc;

use secrecy::SecretString;
use tokenward_protocol::token_endpoint::Reason;

use crate::config::Server;
use crate::digest_map::DigestMap;
use crate::host::{CallId, StreamId};
use crate::identity::{PairKey, SubjectDigest, TokenKey};
use crate::mcp_method::McpMethod;
use crate::token_memo::KnownToken;

/// Requests that may wait at once in one worker, and calls that may be under way. Past that a request is refused as busy:
/// each holds a downstream connection and its buffers, or a token.
pub const MOST_WAITERS: usize = 10_000;

/// Bytes that the calls not yet started may hold in sum, per worker. Past that no token is prefetched.
pub(crate) const MOST_REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of the calls that one tick starts: encoding more would delay the worker's requests.
const MOST_STARTED_BYTES: usize = 1024 * 1024;

/// A stream that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// The stream.
    pub(crate) stream: StreamId,
    /// What its request is for.
    pub(crate) mcp_method: McpMethod,
}

/// What a call has taken of the allowances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CallCharge {
    /// One of [`crate::pair::record::PAIR_CALLS`].
    pub(crate) of_pair: bool,
    /// One of [`crate::pair::call_limit::ENVOY_CALLS`].
    pub(crate) of_envoy: bool,
}

/// One call to control, shared by all requests that need its response.
#[derive(Debug)]
pub(crate) struct Flight {
    /// The server.
    pub(crate) server: Rc<Server>,
    /// Session × server.
    pub(crate) pair: PairKey,
    /// Digest of the presented token's `sub`, where the new token must have the same: both are of the server's issuer.
    pub(crate) subject: Option<SubjectDigest>,
    /// Why the filter calls.
    pub(crate) reason: Reason,
    /// What to send, until the call has started.
    pub(crate) request: Option<CallRequest>,
    /// The call, once started.
    pub(crate) call: Option<CallId>,
    /// Streams that wait.
    pub(crate) waiters: Vec<Waiter>,
    /// Whether this is a prefetch, for which no request needs to wait.
    pub(crate) background: bool,
    /// What the call has taken of the allowances for tokens that control has never accepted.
    pub(crate) charge: CallCharge,
    /// Number of the worker's tick at which the wait ends, answered or not. Ticks, not the wall clock: a clock that
    /// steps back must not lengthen a pause.
    pub(crate) deadline_tick: u64,
}

/// What a call sends to control.
#[derive(Debug)]
pub(crate) struct CallRequest {
    /// The presented token.
    pub(crate) token: Rc<KnownToken>,
    /// The session handle, where there is one.
    pub(crate) session: Option<SecretString>,
    /// Copied to the call.
    pub(crate) traceparent: Option<String>,
}

/// The flights of one worker.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// Bytes that the calls not yet started hold.
    request_bytes: usize,
    flights: DigestMap<TokenKey, Flight>,
    /// In the order of the calls, which the host counts up: found without another kind of map, which would cost the module 3 KB.
    keys_by_call: Vec<(CallId, TokenKey)>,
    waiting: usize,
}

impl Flight {
    /// What the first request that waits is for.
    pub(crate) fn first_method(&self) -> McpMethod {
        let first = self.waiters.first();
        first.map_or(McpMethod::NONE, |waiter| waiter.mcp_method)
    }

    fn request_bytes(&self) -> usize {
        let request = self.request.as_ref();
        request.map_or(0, |request| request.token.cost_bytes())
    }
}

impl Flights {
    /// Whether a call for this token is under way or queued.
    #[must_use]
    pub(crate) fn is_under_way(&self, key: &TokenKey) -> bool {
        self.flights.contains_key(key)
    }

    fn place_of(&self, call: CallId) -> usize {
        self.keys_by_call.partition_point(|(other, _)| *other < call)
    }

    /// Lets `waiter` wait for the flight of this token. False when there is none or too many requests wait already.
    pub(crate) fn join(&mut self, key: &TokenKey, waiter: Waiter) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(flight) = self.flights.get_mut(key) else {
            return false;
        };
        flight.waiters.push(waiter);
        self.waiting = self.waiting.saturating_add(1);
        true
    }

    /// Adds a flight, started or not.
    pub(crate) fn add(&mut self, key: TokenKey, flight: Flight) {
        self.waiting = self.waiting.saturating_add(flight.waiters.len());
        self.request_bytes = self.request_bytes.saturating_add(flight.request_bytes());
        if let Some(call) = flight.call {
            let place = self.place_of(call);
            self.keys_by_call.insert(place, (call, key));
        }
        self.flights.insert(key, flight);
    }

    /// Whether a call with `token` may be queued.
    #[must_use]
    pub(crate) fn has_room_for(&self, token: &KnownToken) -> bool {
        let bytes = self.request_bytes.saturating_add(token.cost_bytes());
        !self.is_full() && bytes <= MOST_REQUEST_BYTES
    }

    /// Takes the flight that this call belongs to.
    pub(crate) fn take_by_call(&mut self, call: CallId) -> Option<(TokenKey, Flight)> {
        let (_, key) = *self
            .keys_by_call
            .get(self.place_of(call))
            .filter(|(found, _)| *found == call)?;
        self.take(&key).map(|flight| (key, flight))
    }

    /// Takes a flight: it is over, or its call starts now.
    pub(crate) fn take(&mut self, key: &TokenKey) -> Option<Flight> {
        let flight = self.flights.remove(key)?;
        if let Some(call) = flight.call {
            let place = self.place_of(call);
            if self
                .keys_by_call
                .get(place)
                .is_some_and(|(found, _)| *found == call)
            {
                self.keys_by_call.remove(place);
            }
        }
        self.waiting = self.waiting.saturating_sub(flight.waiters.len());
        self.request_bytes = self.request_bytes.saturating_sub(flight.request_bytes());
        Some(flight)
    }

    /// Whether so many requests wait, or so many calls are under way, that no more may.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.max(self.flights.len()) >= MOST_WAITERS
    }

    /// Drops the waiters of closed streams. The calls go on, and their tokens are cached for the next request.
    pub(crate) fn drop_closed(&mut self, stream_exists: impl Fn(StreamId) -> bool) {
        for flight in self.flights.values_mut() {
            flight.waiters.retain(|waiter| stream_exists(waiter.stream));
        }
        self.waiting = self.flights.values().map(|flight| flight.waiters.len()).sum();
    }

    /// Keys of flights past their deadline.
    #[must_use]
    pub(crate) fn overdue(&self, tick: u64) -> Vec<TokenKey> {
        self.flights
            .iter()
            .filter(|(_, flight)| flight.deadline_tick <= tick)
            .map(|(key, _)| *key)
            .collect()
    }

    /// Keys of flights with a call that has not started: as many as one tick may start.
    #[must_use]
    pub(crate) fn queued(&self) -> Vec<TokenKey> {
        let mut bytes: usize = 0;
        self.flights
            .iter()
            .filter(|(_, flight)| flight.call.is_none())
            .take_while(|(_, flight)| {
                let before = bytes;
                bytes = bytes.saturating_add(flight.request_bytes());
                before < MOST_STARTED_BYTES
            })
            .map(|(key, _)| *key)
            .collect()
    }

    /// Keys of flights for these servers (numbers in ascending order).
    #[must_use]
    pub(crate) fn of_servers(&self, numbers: &[usize]) -> Vec<TokenKey> {
        let is_one = |flight: &Flight| numbers.binary_search(&flight.server.number).is_ok();
        let found = self.flights.iter().filter(|(_, flight)| is_one(flight));
        found.map(|(key, _)| *key).collect()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }
}
