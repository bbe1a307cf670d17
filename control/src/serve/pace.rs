//! How far a connection is with its current request, as its bytes and its requests tell, and when it has taken too
//! long. hyper's own timer for the head also runs while a connection rests between two requests; a proxy that keeps
//! connections for reuse must not lose them after seconds, so the two are told apart here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::config::IntakeConfig;

/// How an HTTP/2 connection begins (RFC 9113 §3.4); no HTTP/1 method does.
const HTTP2_BEGINS: [u8; 3] = *b"PRI";

/// Shared by a connection's bytes, its requests and its watch.
#[derive(Debug)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    /// A head that is not complete, since when. A new connection owes one at once.
    head_since: Option<Instant>,
    resting_since: Instant,
    under_way: usize,
    /// Streams of one connection overlap, so its bytes do not tell where a head begins.
    multiplexed: bool,
    first_bytes: [u8; HTTP2_BEGINS.len()],
    first_bytes_len: usize,
}

/// When a connection is to be ended, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// A request is being answered: its own deadlines hold.
    None,
    /// The head of a request must be complete.
    Late(Instant),
    /// Nothing has been asked for so long.
    Idle(Instant),
}

impl Pace {
    /// A connection that was accepted at `now`.
    pub(super) fn begin(now: Instant) -> Self {
        Self(Mutex::new(State {
            head_since: Some(now),
            resting_since: now,
            under_way: 0,
            multiplexed: false,
            first_bytes: [0; HTTP2_BEGINS.len()],
            first_bytes_len: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client sent `bytes`.
    pub(super) fn bytes_came(&self, bytes: &[u8], now: Instant) {
        let mut state = self.state();
        let State {
            first_bytes,
            first_bytes_len,
            ..
        } = &mut *state;
        for (slot, byte) in first_bytes.iter_mut().skip(*first_bytes_len).zip(bytes) {
            *slot = *byte;
            *first_bytes_len += 1;
        }
        state.multiplexed = state.first_bytes == HTTP2_BEGINS;
        if state.under_way == 0 && !state.multiplexed && state.head_since.is_none() {
            state.head_since = Some(now);
        }
    }

    /// A request's head is complete: answers when it began.
    pub(super) fn request_begins(&self, now: Instant) -> Instant {
        let mut state = self.state();
        state.under_way += 1;
        state.head_since.take().unwrap_or(now)
    }

    /// A request has been answered, or its client has gone.
    pub(super) fn request_ends(&self, now: Instant) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
        state.resting_since = now;
    }

    /// What holds now.
    pub(super) fn limit(&self, intake: &IntakeConfig) -> Limit {
        let state = self.state();
        match state.head_since {
            _ if state.under_way > 0 => Limit::None,
            Some(since) => Limit::Late(since + intake.deadline),
            None => Limit::Idle(state.resting_since + intake.keep_alive),
        }
    }
}
