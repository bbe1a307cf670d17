//! The proxy around the filter: clock, shared data, log lines and calls of one Envoy.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokenward_filter_core::config::AnnotationPath;
use tokenward_filter_core::host::{
    CallFailure, CallId, ControlCall, Host, HostFailure, SetFailure, SharedValue, StreamId, WriteCondition,
};
use tokenward_filter_core::log::Level;
use tokenward_filter_core::metric::{Event, Metric, RequestOutcome};
use tokenward_filter_core::reply::Reply;
use tokenward_protocol::filter_state::STATE_PATH;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use crate::count::{Count, Tally};
use crate::message::Ask;
use crate::random::Random;
use crate::token::Stamp;

/// No pair may write two WARN lines within this time.
const WARN_EVERY_MS: u64 = 60_000;
/// Pairs whose last WARN is remembered before those of earlier minutes are dropped.
const MOST_WARNED: usize = 8_192;

/// How a paused request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It went on with this token.
    Resumed(Option<Stamp>),
    /// The filter answered.
    Replied {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, seconds.
        retry_after: Option<u32>,
    },
}

/// A call to control that a worker has started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    pub(crate) worker: u8,
    pub(crate) call: CallId,
    pub(crate) at_ms: u64,
    /// The host's deadline, milliseconds.
    pub(crate) timeout_ms: u64,
    pub(crate) ask: Ask,
}

/// What the workers of one Envoy share.
#[derive(Debug)]
pub(crate) struct EnvoyHost {
    now_ms: Cell<u64>,
    random: RefCell<Random>,
    shared: RefCell<HashMap<String, SharedValue>>,
    shared_bytes: Cell<usize>,
    cas: Cell<u32>,
    calls: Cell<u32>,
    started: RefCell<Vec<Started>>,
    ended: RefCell<Vec<(StreamId, Ending)>>,
    warned: RefCell<HashMap<String, u64>>,
    tally: Rc<Tally>,
}

impl EnvoyHost {
    /// The host of an Envoy that starts at `now_ms`.
    pub(crate) fn new(random: Random, tally: Rc<Tally>, now_ms: u64) -> Self {
        Self {
            now_ms: Cell::new(now_ms),
            random: RefCell::new(random),
            shared: RefCell::default(),
            shared_bytes: Cell::new(0),
            cas: Cell::new(0),
            calls: Cell::new(0),
            started: RefCell::default(),
            ended: RefCell::default(),
            warned: RefCell::default(),
            tally,
        }
    }

    /// Sets the clock.
    pub(crate) fn set_now(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
    }

    /// Bytes of keys and values in shared data.
    pub(crate) fn shared_bytes(&self) -> usize {
        self.shared_bytes.get()
    }

    /// Takes the calls that workers have started since the last time.
    pub(crate) fn take_started(&self) -> Vec<Started> {
        std::mem::take(&mut self.started.borrow_mut())
    }

    /// Takes the paused requests that have ended since the last time.
    pub(crate) fn take_ended(&self) -> Vec<(StreamId, Ending)> {
        std::mem::take(&mut self.ended.borrow_mut())
    }

    /// Whether a paused request has ended since they were last taken.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.borrow().is_empty()
    }

    fn on_warning(&self, line: &str) {
        self.tally.one(Count::WarnFilter);
        if line.starts_with("withheld") {
            self.tally.one(Count::WarnWithheld);
            return;
        }
        let (Some(from), Some(to)) = (line.find("server="), line.find(" mcp_method=")) else {
            return;
        };
        let (now_ms, mut warned) = (self.now_ms.get(), self.warned.borrow_mut());
        let pair = line.get(from..to).unwrap_or_default();
        let before = warned.insert(pair.to_owned(), now_ms);
        if before.is_some_and(|before_ms| now_ms - before_ms < WARN_EVERY_MS) {
            self.tally.one(Count::BrokenWarnedTwice);
        }
        if warned.len() > MOST_WARNED {
            warned.retain(|_, at_ms| now_ms - *at_ms < WARN_EVERY_MS);
        }
    }
}

/// The host as one worker sees it.
#[derive(Debug)]
pub(crate) struct WorkerHost {
    pub(crate) envoy: Rc<EnvoyHost>,
    pub(crate) worker: u8,
}

impl Host for WorkerHost {
    fn now_ms(&self) -> u64 {
        self.envoy.now_ms.get()
    }

    fn random(&self) -> [u8; 16] {
        let mut random = self.envoy.random.borrow_mut();
        let (low, high) = (random.next(), random.next());
        (u128::from(low) | (u128::from(high) << 64)).to_le_bytes()
    }

    fn log_enabled(&self, level: Level) -> bool {
        level > Level::Debug
    }

    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Debug => {}
            Level::Info => self.envoy.tally.one(Count::InfoFilter),
            Level::Warn => self.envoy.on_warning(line),
        }
    }

    fn route_annotation(&self, _path: &AnnotationPath) -> Option<Vec<u8>> {
        None
    }

    fn route_name(&self) -> Option<Vec<u8>> {
        None
    }

    fn stream_exists(&self, _stream: StreamId) -> bool {
        true
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostFailure> {
        Ok(self.envoy.shared.borrow().get(key).cloned())
    }

    fn set_shared(&self, key: &str, bytes: &[u8], condition: WriteCondition) -> Result<(), SetFailure> {
        let mut shared = self.envoy.shared.borrow_mut();
        let before = shared.get_mut(key);
        match (condition, &before) {
            (WriteCondition::Absent, Some(_)) => return Err(SetFailure::Mismatch),
            (WriteCondition::Unchanged(cas), Some(before)) if cas != before.cas => {
                return Err(SetFailure::Mismatch);
            }
            _ => {}
        }
        let cas = self.envoy.cas.get() + 1;
        self.envoy.cas.set(cas);
        let held = self.envoy.shared_bytes.get();
        match before {
            Some(before) => {
                self.envoy
                    .shared_bytes
                    .set(held - before.bytes.len() + bytes.len());
                (before.cas, before.bytes) = (cas, bytes.to_vec());
            }
            None => {
                self.envoy.shared_bytes.set(held + key.len() + bytes.len());
                let value = SharedValue {
                    bytes: bytes.to_vec(),
                    cas,
                };
                shared.insert(key.to_owned(), value);
            }
        }
        Ok(())
    }

    fn call_control(&self, call: &ControlCall<'_>) -> Result<CallId, CallFailure> {
        let header = |name: &str| call.headers.iter().find(|(other, _)| *other == name);
        let path = header(":path").map_or("", |(_, path)| path);
        let ask = if path.starts_with(STATE_PATH) {
            poll_of(path)
        } else {
            request_of(call.body)
        };
        let ask = ask.ok_or(CallFailure::UnknownCluster)?;
        let number = self.envoy.calls.get() + 1;
        self.envoy.calls.set(number);
        self.envoy.started.borrow_mut().push(Started {
            worker: self.worker,
            call: CallId(number),
            at_ms: self.envoy.now_ms.get(),
            timeout_ms: u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX),
            ask,
        });
        Ok(CallId(number))
    }

    fn resume_with(&self, stream: StreamId, authorization: &str) -> Result<(), HostFailure> {
        let ending = Ending::Resumed(Stamp::of(authorization));
        self.envoy.ended.borrow_mut().push((stream, ending));
        Ok(())
    }

    fn reply(&self, stream: StreamId, reply: &Reply) -> Result<(), HostFailure> {
        self.envoy.ended.borrow_mut().push((stream, ending_of(reply)));
        Ok(())
    }

    fn count(&self, metric: &Metric<'_>) {
        let count = match metric.event {
            Event::Request(RequestOutcome::Forwarded, _) => Count::Forwarded,
            Event::Request(RequestOutcome::ReplacedFromCache, _) => Count::ReplacedFromCache,
            Event::Request(RequestOutcome::Replaced, _) => Count::Replaced,
            Event::Request(RequestOutcome::Gated(refusal), _) => {
                self.envoy.tally.one(Count::Gated);
                refused(refusal)
            }
            Event::Request(RequestOutcome::Refused(refusal), _) => refused(refusal),
            Event::ControlCall(Reason::Stale) => Count::CallsStale,
            Event::ControlCall(Reason::NearExpiry) => Count::CallsNearExpiry,
            Event::ControlCall(Reason::Rejected) => Count::CallsRejected,
            Event::StatePoll(_) => Count::Polls,
            Event::Request(RequestOutcome::Passed, _)
            | Event::ServerRejection(_)
            | Event::ControlAnswer(_) => return,
        };
        self.envoy.tally.one(count);
    }
}

fn refused(refusal: Refusal) -> Count {
    match refusal.client_status() {
        401 => Count::Refused401,
        _ => Count::Refused503,
    }
}

/// What a client learns from the filter's own answer.
pub(crate) fn ending_of(reply: &Reply) -> Ending {
    let mut headers = reply.headers.iter();
    let retry_after = headers.find(|(name, _)| *name == "retry-after");
    Ending::Replied {
        status: reply.status,
        retry_after: retry_after.and_then(|(_, seconds)| seconds.parse().ok()),
    }
}

/// `/filter/state?after=V&servers=W`.
fn poll_of(path: &str) -> Option<Ask> {
    let (_, query) = path.split_once("?after=")?;
    let (after, servers) = query.split_once("&servers=")?;
    Some(Ask::State {
        after: after.parse().ok()?,
        servers: servers.parse().ok()?,
    })
}

/// The form of a token request, by the parser that control has.
fn request_of(body: &[u8]) -> Option<Ask> {
    use secrecy::ExposeSecret as _;
    let request = TokenRequest::from_form(body).ok()?;
    Some(Ask::Token {
        presented: Stamp::of(request.subject_token.expose_secret())?,
        server: request.server.strip_prefix('s')?.parse().ok()?,
        reason: request.reason,
    })
}
