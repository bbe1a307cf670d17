//! Control as the filter sees it: scripted answers at the end of its callouts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use secrecy::ExposeSecret as _;
use serde_json::json;
use tokenward_protocol::refusal::{Refusal, RefusalClass};
use tokenward_protocol::token_endpoint::{MARKER_HEADER, Reason, TOKEN_TYPE_ID_TOKEN, TokenRequest};

use super::token::TokenBuilder;
use crate::callout::{Callout, CalloutAnswer, CalloutReply};

/// `Retry-After` of control's refusals, where a story names none.
const RETRY_AFTER_SECONDS: u32 = 5;

/// One token request that the filter sent.
#[derive(Debug, Clone)]
pub struct ControlCall {
    /// `audience`.
    pub server: String,
    /// `subject_token`.
    pub subject_token: String,
    /// `session`.
    pub session: Option<String>,
    /// `reason`.
    pub reason: Reason,
    /// The callout itself: headers, timeout, worker, moment.
    pub callout: Callout,
}

#[derive(Clone)]
enum Script {
    Token(TokenBuilder),
    Refusal(Refusal, Option<u32>),
    Reply(CalloutReply),
}

struct State {
    always: Script,
    next: VecDeque<Script>,
    latency_ms: u64,
}

/// Control, as the story wants it. Clones are the same control.
#[derive(Clone)]
pub struct ScriptedControl(Rc<RefCell<State>>);

impl Default for ScriptedControl {
    /// Unreachable (connection refused) unless the story sets something else, and prompt.
    fn default() -> Self {
        Self(Rc::new(RefCell::new(State {
            always: Script::Reply(CalloutReply::ConnectionRefused),
            next: VecDeque::new(),
            latency_ms: 0,
        })))
    }
}

impl ScriptedControl {
    /// From now on every call gets a token of this kind, made at the moment of the call.
    pub fn answers(&self, token: TokenBuilder) -> &Self {
        self.always(Script::Token(token))
    }

    /// The next call gets this token; the one after that goes on as before.
    pub fn answers_once(&self, token: TokenBuilder) -> &Self {
        self.once(Script::Token(token))
    }

    /// From now on every call is refused.
    pub fn refuses(&self, refusal: Refusal) -> &Self {
        self.always(Script::Refusal(refusal, None))
    }

    /// From now on every call is refused, with this `Retry-After`.
    pub fn refuses_for(&self, refusal: Refusal, retry_after_seconds: u32) -> &Self {
        self.always(Script::Refusal(refusal, Some(retry_after_seconds)))
    }

    /// The next call is refused.
    pub fn refuses_once(&self, refusal: Refusal) -> &Self {
        self.once(Script::Refusal(refusal, None))
    }

    /// From now on this happens to every call, byte for byte.
    pub fn replies(&self, reply: impl Into<CalloutReply>) -> &Self {
        self.always(Script::Reply(reply.into()))
    }

    /// This happens to the next call.
    pub fn replies_once(&self, reply: impl Into<CalloutReply>) -> &Self {
        self.once(Script::Reply(reply.into()))
    }

    /// From now on connections to control are refused.
    pub fn is_down(&self) -> &Self {
        self.replies(CalloutReply::ConnectionRefused)
    }

    /// From now on control accepts calls and never answers: each ends with Envoy's 504.
    pub fn is_silent(&self) -> &Self {
        self.replies(CalloutReply::Silent)
    }

    /// Tokens and refusals take this long from now on.
    pub fn takes_ms(&self, latency_ms: u64) -> &Self {
        self.0.borrow_mut().latency_ms = latency_ms;
        self
    }

    pub(super) fn reply(&self, callout: &Callout) -> CalloutReply {
        let mut state = self.0.borrow_mut();
        let script = state.next.pop_front().unwrap_or_else(|| state.always.clone());
        match script {
            Script::Reply(reply) => reply,
            Script::Token(token) => token_answer(&token, callout.at_ms)
                .after_ms(state.latency_ms)
                .into(),
            Script::Refusal(refusal, retry_after) => refusal_answer(refusal, retry_after)
                .after_ms(state.latency_ms)
                .into(),
        }
    }

    fn always(&self, script: Script) -> &Self {
        self.0.borrow_mut().always = script;
        self
    }

    fn once(&self, script: Script) -> &Self {
        self.0.borrow_mut().next.push_back(script);
        self
    }
}

impl ControlCall {
    /// Reads a callout to the token endpoint.
    ///
    /// # Panics
    /// When it is not a token request: control would refuse it.
    pub(super) fn read(callout: Callout) -> Self {
        let request = TokenRequest::from_form(&callout.body).expect("the filter sends a token request");
        Self {
            server: request.server,
            subject_token: request.subject_token.expose_secret().to_owned(),
            session: request.session.map(|session| session.expose_secret().to_owned()),
            reason: request.reason,
            callout,
        }
    }
}

/// Control's 200 with a token made at `now_ms`.
fn token_answer(token: &TokenBuilder, now_ms: u64) -> CalloutAnswer {
    let now_seconds = now_ms / 1000;
    let expires_at = token.exp_seconds(now_seconds).unwrap_or_default();
    let body = json!({
        "access_token": token.make(now_seconds),
        "issued_token_type": TOKEN_TYPE_ID_TOKEN,
        "token_type": "Bearer",
        "expires_in": expires_at.saturating_sub(now_seconds),
        "expires_at": expires_at,
    });
    controls_own(200).body(body.to_string())
}

fn refusal_answer(refusal: Refusal, retry_after_seconds: Option<u32>) -> CalloutAnswer {
    let status = refusal.control_status();
    let body = json!({
        "error": refusal.control_error(),
        "error_description": refusal.description(),
        "refusal": refusal.name(),
    });
    let mut answer = controls_own(status).body(body.to_string());
    let waits = status == 503 || refusal.class() == RefusalClass::Misconfigured;
    if let Some(seconds) = retry_after_seconds.or(waits.then_some(RETRY_AFTER_SECONDS)) {
        answer = answer.header("retry-after", seconds.to_string());
    }
    if status == 401 {
        answer = answer.header("www-authenticate", "Basic realm=\"tokenward\"");
    }
    answer
}

fn controls_own(status: u16) -> CalloutAnswer {
    CalloutReply::answer(status)
        .header("content-type", "application/json")
        .header("cache-control", "no-store")
        .header(MARKER_HEADER, "0.1.0")
}
