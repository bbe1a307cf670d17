//! Progress of a connection and its requests: when a deadline passes, and how readily the connection can be evicted.
//!
//! hyper's own timer for the request head also runs while a connection is idle between two requests. A proxy that holds
//! connections for reuse must not lose them after seconds, so this module distinguishes the two states.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::IntakeConfig;

/// First bytes of the HTTP/2 connection preface (RFC 9113 §3.4); no HTTP/1 method starts with them.
const HTTP2_PREFACE: [u8; 3] = *b"PRI";

/// Shared by a connection's byte stream, its requests and the task that enforces its deadlines.
#[derive(Debug)]
pub(crate) struct ConnectionProgress {
    state: Mutex<State>,
    eviction: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// Since when a request head is incomplete. A new connection owes one from its acceptance on.
    head_pending_since: Option<Instant>,
    idle_since: Instant,
    requests: Vec<(u64, RequestPhase)>,
    next_request: u64,
    /// At least one request was answered.
    has_answered: bool,
    /// At least one request presented a valid credential.
    is_authenticated: bool,
    /// Since when the client accepts no bytes that are written.
    write_blocked_since: Option<Instant>,
    /// HTTP/2: streams of one connection overlap, so its bytes do not show where a head begins.
    multiplexed: bool,
    first_bytes: [u8; HTTP2_PREFACE.len()],
    first_bytes_len: usize,
}

/// The phase of one request after its head is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestPhase {
    /// The client has not sent the whole body and has presented no credential.
    Receiving,
    /// Control handles a request without a credential.
    Handling,
    /// The request has presented a credential and is not answered yet.
    Authenticated,
    /// Since when the response is ready and the client has not accepted all of it.
    Sending(Instant),
}

/// When the connection is closed, and why, unless it makes progress before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    /// By then a request must be complete, or a response accepted.
    Request(Instant),
    /// By then another request must begin.
    KeepAlive(Instant),
}

/// How readily a connection is evicted; the lowest first. Within a rank, the one with the earliest instant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EvictionRank {
    /// No request was answered so far, and none is being handled.
    Unanswered(Instant),
    /// Idle or waiting for its client; never presented a credential.
    Unauthenticated(Instant),
    /// Control handles a request without a credential.
    UnauthenticatedBusy(Instant),
    /// Idle; has presented a credential.
    Authenticated(Instant),
}

impl ConnectionProgress {
    /// The progress of a connection that was accepted at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            eviction: Arc::default(),
            state: Mutex::new(State {
                head_pending_since: Some(now),
                idle_since: now,
                requests: Vec::new(),
                next_request: 0,
                has_answered: false,
                is_authenticated: false,
                write_blocked_since: None,
                multiplexed: false,
                first_bytes: [0; HTTP2_PREFACE.len()],
                first_bytes_len: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records `bytes` from the client.
    pub(super) fn bytes_received(&self, bytes: &[u8], now: Instant) {
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
        state.multiplexed = state.first_bytes == HTTP2_PREFACE;
        if state.requests.is_empty() && !state.multiplexed && state.head_pending_since.is_none() {
            state.head_pending_since = Some(now);
        }
    }

    /// Records whether a write waits for the client to accept bytes.
    pub(super) fn set_write_blocked(&self, blocked: bool, now: Instant) {
        let mut state = self.state();
        if !blocked {
            state.write_blocked_since = None;
        } else if state.write_blocked_since.is_none() {
            state.write_blocked_since = Some(now);
        }
    }

    /// Records a complete request head; returns the request's progress and when the request began. `complete`: no body
    /// follows.
    pub(super) fn begin_request(
        self: &Arc<Self>,
        complete: bool,
        now: Instant,
    ) -> (RequestProgress, Instant) {
        let mut state = self.state();
        let id = state.next_request;
        state.next_request += 1;
        let phase = if complete {
            RequestPhase::Handling
        } else {
            RequestPhase::Receiving
        };
        state.requests.push((id, phase));
        let began = state.head_pending_since.take().unwrap_or(now);
        let connection = Arc::clone(self);
        (RequestProgress { connection, id }, began)
    }

    /// The deadline in the present state; `None` while control handles a request, which has deadlines of its own.
    pub(super) fn deadline(&self, intake: &IntakeConfig) -> Option<Deadline> {
        let state = self.state();
        let sending = state.requests.iter().filter_map(|(_, phase)| match phase {
            RequestPhase::Sending(since) => Some(*since),
            _ => None,
        });
        let sending_since = sending.chain(state.write_blocked_since).min();
        let is_handling = state
            .requests
            .iter()
            .any(|(_, phase)| !matches!(phase, RequestPhase::Sending(_)));
        let authenticated = state
            .requests
            .iter()
            .any(|(_, phase)| *phase == RequestPhase::Authenticated);
        match (sending_since, state.head_pending_since) {
            // A slow client of one stream must not fail a proxy's authenticated streams.
            (Some(since), _) if !authenticated => Some(Deadline::Request(since + intake.deadline)),
            _ if is_handling => None,
            (Some(since), _) => Some(Deadline::Request(since + intake.deadline)),
            (None, Some(since)) => Some(Deadline::Request(since + intake.deadline)),
            (None, None) => Some(Deadline::KeepAlive(state.idle_since + intake.keep_alive)),
        }
    }

    /// How readily the connection is evicted; `None` while it has an authenticated request in progress.
    pub(super) fn eviction_rank(&self) -> Option<EvictionRank> {
        let state = self.state();
        let has = |wanted: RequestPhase| state.requests.iter().any(|(_, phase)| *phase == wanted);
        if has(RequestPhase::Authenticated) {
            None
        } else if state.is_authenticated {
            Some(EvictionRank::Authenticated(state.idle_since))
        } else if has(RequestPhase::Handling) {
            Some(EvictionRank::UnauthenticatedBusy(state.idle_since))
        } else if state.has_answered {
            Some(EvictionRank::Unauthenticated(state.idle_since))
        } else {
            Some(EvictionRank::Unanswered(state.idle_since))
        }
    }

    /// Notified when the connection is evicted.
    pub(super) fn eviction(&self) -> &Arc<Notify> {
        &self.eviction
    }
}

/// The progress of one request. The request ends on drop, which also happens when the client disconnects.
#[derive(Debug)]
pub(crate) struct RequestProgress {
    connection: Arc<ConnectionProgress>,
    id: u64,
}

impl Drop for RequestProgress {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.connection.state();
        let before = state.requests.len();
        let answered = state
            .requests
            .iter()
            .any(|(id, phase)| *id == self.id && matches!(phase, RequestPhase::Sending(_)));
        state.requests.retain(|(id, _)| *id != self.id);
        debug_assert_eq!(state.requests.len() + 1, before, "a request ends once");
        state.has_answered |= answered;
        state.idle_since = now;
    }
}

impl RequestProgress {
    /// Moves the request to `phase`. An authenticated request stays so until its response is sent.
    pub(crate) fn enter(&self, phase: RequestPhase) {
        let mut state = self.connection.state();
        state.is_authenticated |= phase == RequestPhase::Authenticated;
        let Some((_, current)) = state.requests.iter_mut().find(|(id, _)| *id == self.id) else {
            return;
        };
        if *current != RequestPhase::Authenticated || matches!(phase, RequestPhase::Sending(_)) {
            *current = phase;
        }
    }

    /// Evicts the whole connection when notified.
    pub(crate) fn eviction(&self) -> Arc<Notify> {
        Arc::clone(self.connection.eviction())
    }
}
