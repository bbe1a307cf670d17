//! Watching the servers' answers: a 401 to a token that looked fresh.
//!
//! The usual cause is an issuer's key rotation that the server has not noticed yet (Dex signs with a new key at once),
//! so the login is not at fault: the client gets 503 instead of a 401 at which it would throw its tokens away, and
//! control is asked for a newly made token, once. If the server rejects that as well, the gate closes with backoff.
//! A plain 403 is an answer about what the user may do, and passes.
//!
//! A server may take hours to answer, so what is kept for a watch is of a fixed size. Where the token itself is forgotten
//! by then, the next request that presents it asks control.

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::{Presented, TokenState, Worker};
use crate::flight::{CallCharge, CallRequest};
use crate::host::Host;
use crate::identity::{PairKey, TokenKey};
use crate::metric::Event;
use crate::reply::retry_after_seconds;
use crate::token_memo::TokenHandle;

/// How long a token that a server rejected is not forwarded there again, in milliseconds.
const REJECTED_MS: u64 = 300_000;

/// Notes kept; past that all are forgotten, which costs one early question or one more rejection each.
const MOST_NOTES: usize = 4096;

/// What was sent to a server and is worth watching: the host keeps it with the stream.
#[derive(Debug)]
pub struct Watch {
    server: usize,
    pair: PairKey,
    token_key: TokenKey,
    token: TokenHandle,
    /// [`super::TokenState::counted`] when it was sent.
    counted: u32,
}

/// What the host must do with a server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseVerdict {
    /// Let it go on, untouched.
    PassOn,
    /// Make it a 503 with this `Retry-After`, without its `www-authenticate`.
    AsUnavailable {
        /// Whole seconds.
        retry_after: String,
    },
}

impl<H: Host> Worker<H> {
    /// What the request that was just shown to the worker may send to a server; `None` when it was refused or is not
    /// ours. An answer that the filter itself makes to a paused request is not the server's and must not be shown to
    /// [`Self::on_response`].
    pub fn take_watch(&mut self) -> Option<Watch> {
        self.watch.take()
    }

    pub(super) fn watch_of(&self, presented: &Presented<'_>) -> Watch {
        let token_key = presented.token_use.token_key;
        Watch {
            server: presented.server_index,
            pair: presented.token_use.pair,
            token_key,
            token: presented.known.handle(),
            counted: self.notes.get(&token_key).map_or(0, |note| note.counted),
        }
    }

    /// What is remembered of a ticket.
    pub(super) fn note(&mut self, token_key: TokenKey) -> &mut TokenState {
        if self.notes.len() >= MOST_NOTES {
            self.notes.clear();
        }
        self.notes.entry(token_key).or_default()
    }

    /// Whether the server has rejected this token although it looked fresh, a while ago at the most.
    pub(super) fn is_rejected(&self, token_key: &TokenKey, now_ms: u64) -> bool {
        // A moment further away than the span means that the clock stepped back.
        let until_ms = self.notes.get(token_key).map_or(0, |note| note.rejected_until_ms);
        (1..=REJECTED_MS).contains(&until_ms.saturating_sub(now_ms))
    }

    /// The server has answered a request that was let through. `says_invalid_token` is asked for a 403 only: whether
    /// its challenge names the token as the fault (RFC 6750 §3.1).
    pub fn on_response(
        &mut self,
        watch: &Watch,
        status: u16,
        says_invalid_token: impl FnOnce() -> bool,
    ) -> ResponseVerdict {
        if status == 401 || (status == 403 && says_invalid_token()) {
            return self.rejected(watch, status);
        }
        // Some answers are made before anybody looks at the token.
        if status < 500
            && !matches!(status, 408 | 429)
            && let Some(note) = self.notes.get_mut(&watch.token_key)
            && note.rejections > 1
        {
            // The newly made token works; the presented one stays known as bad.
            note.rejections = 1;
            self.recover(watch.server, &watch.pair, &watch.token_key, CallCharge::default());
        }
        ResponseVerdict::PassOn
    }

    fn rejected(&mut self, watch: &Watch, status: u16) -> ResponseVerdict {
        self.count(watch.server, Event::ServerRejection(status));
        let counted = self.notes.get(&watch.token_key).map_or(0, |note| note.counted);
        if watch.counted < counted {
            // Under way together with one whose rejection is known: it says nothing about what is made since.
            return ResponseVerdict::AsUnavailable {
                retry_after: retry_after_seconds(0),
            };
        }
        self.replacements.remove(&watch.token_key);
        let now_ms = self.host.now_ms();
        let until_ms = now_ms.saturating_add(REJECTED_MS);
        // Its time was over, so it was the presented token that was sent and rejected, not a newly made one.
        let sent_anew = !self.is_rejected(&watch.token_key, now_ms);
        let note = self.note(watch.token_key);
        if sent_anew {
            note.rejections = 0;
        }
        note.rejected_until_ms = until_ms;
        note.rejections = note.rejections.saturating_add(1);
        note.counted = note.counted.saturating_add(1);
        let first = note.rejections == 1;
        if first {
            self.ask_after_rejection(watch);
            return ResponseVerdict::AsUnavailable {
                retry_after: retry_after_seconds(0),
            };
        }
        let flight = self.new_flight(watch.server, watch.pair, None, Reason::Rejected);
        let refused = self.refuse_flight(&watch.token_key, &flight, Refusal::TokenRejected, None);
        let headers = refused.for_waiter(false).headers;
        let retry_after = headers.into_iter().find(|(name, _)| *name == "retry-after");
        ResponseVerdict::AsUnavailable {
            retry_after: retry_after.map_or_else(|| retry_after_seconds(0), |(_, value)| value),
        }
    }

    /// Asks control for a newly made token, in the background, if the rejected one is still known.
    fn ask_after_rejection(&mut self, watch: &Watch) {
        let Some((token, session)) = self.memo.named(watch.token, &watch.token_key) else {
            return;
        };
        if !self.flights.has_room_for(&token) || self.flights.is_under_way(&watch.token_key) {
            return;
        }
        let request = CallRequest {
            token,
            session: session.map(SecretString::from),
            traceparent: None,
        };
        let mut flight = self.new_flight(watch.server, watch.pair, Some(request), Reason::Rejected);
        flight.background = true;
        self.flights.add(watch.token_key, flight);
    }
}
