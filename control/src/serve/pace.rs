//! How far a connection is with its requests, as its bytes and its requests tell: when it has taken too long, and how
//! readily it makes room for another one. hyper's own timer for the head also runs while a connection rests between two
//! requests; a proxy that keeps connections for reuse must not lose them after seconds, so the two are told apart here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::IntakeConfig;

/// How an HTTP/2 connection begins (RFC 9113 §3.4); no HTTP/1 method does.
const HTTP2_BEGINS: [u8; 3] = *b"PRI";

/// Shared by a connection's bytes, its requests and its watch.
#[derive(Debug)]
pub(crate) struct Pace {
    state: Mutex<State>,
    leave: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// A head that is not complete, since when. A new connection owes one at once.
    head_since: Option<Instant>,
    resting_since: Instant,
    requests: Vec<(u64, Phase)>,
    next_request: u64,
    has_finished_one: bool,
    has_shown_credential: bool,
    /// The client takes nothing of what is written, since when.
    write_blocked_since: Option<Instant>,
    /// Streams of one connection overlap, so its bytes do not tell where a head begins.
    multiplexed: bool,
    first_bytes: [u8; HTTP2_BEGINS.len()],
    first_bytes_len: usize,
}

/// Whose turn it is in one request, once its head is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The client's, which has not sent the whole body and has shown no credential.
    Arriving,
    /// Control's, for a caller that has shown no credential.
    Answering,
    /// The caller has shown a credential; the request is not answered yet.
    Known,
    /// The client's, which has not taken the whole answer, since when.
    Sending(Instant),
}

/// How a connection is to be ended by its own fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// A request must have come whole, or an answer must have been taken.
    Late(Instant),
    /// Nothing has been asked for so long.
    Idle(Instant),
}

/// How readily a connection makes room for a new one, the readiest first; among equals the one that is so for longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rest {
    /// No request of it was ever answered, and none is being answered.
    Never(Instant),
    /// It rests, or waits for its client, and never showed a credential.
    Unknown(Instant),
    /// Control is busy for it, without a credential.
    UnknownBusy(Instant),
    /// It rests, and has shown a credential.
    Known(Instant),
}

impl Pace {
    /// A connection that was accepted at `now`.
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            leave: Arc::default(),
            state: Mutex::new(State {
                head_since: Some(now),
                resting_since: now,
                requests: Vec::new(),
                next_request: 0,
                has_finished_one: false,
                has_shown_credential: false,
                write_blocked_since: None,
                multiplexed: false,
                first_bytes: [0; HTTP2_BEGINS.len()],
                first_bytes_len: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        if state.requests.is_empty() && !state.multiplexed && state.head_since.is_none() {
            state.head_since = Some(now);
        }
    }

    /// What was written was taken (`blocked` false), or waits for the client.
    pub(super) fn write_blocked(&self, blocked: bool, now: Instant) {
        let mut state = self.state();
        if !blocked {
            state.write_blocked_since = None;
        } else if state.write_blocked_since.is_none() {
            state.write_blocked_since = Some(now);
        }
    }

    /// A request's head is complete: answers the request, and when it began. `whole` says that no body follows.
    pub(super) fn request_begins(self: &Arc<Self>, whole: bool, now: Instant) -> (RequestPace, Instant) {
        let mut state = self.state();
        let id = state.next_request;
        state.next_request += 1;
        let phase = if whole { Phase::Answering } else { Phase::Arriving };
        state.requests.push((id, phase));
        let began = state.head_since.take().unwrap_or(now);
        let pace = Arc::clone(self);
        (RequestPace { pace, id }, began)
    }

    /// What holds now.
    pub(super) fn limit(&self, intake: &IntakeConfig) -> Option<Limit> {
        let state = self.state();
        let untaken = state.requests.iter().filter_map(|(_, phase)| match phase {
            Phase::Sending(since) => Some(*since),
            _ => None,
        });
        let untaken = untaken.chain(state.write_blocked_since).min();
        let waits_for_control = state
            .requests
            .iter()
            .any(|(_, phase)| !matches!(phase, Phase::Sending(_)));
        let known = state.requests.iter().any(|(_, phase)| *phase == Phase::Known);
        match (untaken, state.head_since) {
            // A proxy's other streams shall not suffer for one whose client is slow.
            (Some(since), _) if !known => Some(Limit::Late(since + intake.deadline)),
            // Its own deadlines hold.
            _ if waits_for_control => None,
            (Some(since), _) => Some(Limit::Late(since + intake.deadline)),
            (None, Some(since)) => Some(Limit::Late(since + intake.deadline)),
            (None, None) => Some(Limit::Idle(state.resting_since + intake.keep_alive)),
        }
    }

    /// How readily the connection makes room; `None`: it is answering a caller that has shown a credential.
    pub(super) fn rest(&self) -> Option<Rest> {
        let state = self.state();
        let has = |wanted: Phase| state.requests.iter().any(|(_, phase)| *phase == wanted);
        if has(Phase::Known) {
            None
        } else if state.has_shown_credential {
            Some(Rest::Known(state.resting_since))
        } else if has(Phase::Answering) {
            Some(Rest::UnknownBusy(state.resting_since))
        } else if state.has_finished_one {
            Some(Rest::Unknown(state.resting_since))
        } else {
            Some(Rest::Never(state.resting_since))
        }
    }

    /// What tells the connection to leave for another one.
    pub(super) fn leave(&self) -> &Arc<Notify> {
        &self.leave
    }
}

/// One request of a connection; its end, also by its client's departure, is the request's end.
#[derive(Debug)]
pub(crate) struct RequestPace {
    pace: Arc<Pace>,
    id: u64,
}

impl Drop for RequestPace {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.pace.state();
        let before = state.requests.len();
        let answered = |phase: &Phase| matches!(phase, Phase::Sending(_));
        let finished = state
            .requests
            .iter()
            .any(|(id, phase)| *id == self.id && answered(phase));
        state.requests.retain(|(id, _)| *id != self.id);
        debug_assert_eq!(state.requests.len() + 1, before, "a request ends once");
        state.has_finished_one |= finished;
        state.resting_since = now;
    }
}

impl RequestPace {
    /// The request is in `phase` now. A caller that has shown its credential stays known until its answer is sent.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut state = self.pace.state();
        state.has_shown_credential |= phase == Phase::Known;
        let Some((_, now)) = state.requests.iter_mut().find(|(id, _)| *id == self.id) else {
            return;
        };
        if *now != Phase::Known || matches!(phase, Phase::Sending(_)) {
            *now = phase;
        }
    }

    /// What tells the whole connection to leave.
    pub(crate) fn leave(&self) -> Arc<Notify> {
        Arc::clone(self.pace.leave())
    }
}
