//! A host of plain data for the filter, and tokens to present to it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_filter_core::config::{AnnotationPath, FilterConfig};
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::{
    CallFailure, CallId, ControlCall, Host, HostFailure, SetFailure, SharedValue, StreamId, WriteCondition,
};
use tokenward_filter_core::log::Level;
use tokenward_filter_core::metric::Metric;
use tokenward_filter_core::reply::Reply;
use tokenward_filter_core::request::RequestHead;
use tokenward_filter_core::verdict::{ResponseVerdict, Verdict};
use tokenward_filter_core::worker::ControlResponse;
use tokenward_filter_core::worker::Watch;
use tokenward_protocol::filter_state::STATE_PATH;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ID_TOKEN, TokenAnswer, TokenError};

/// A moment to start from, Unix ms.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
pub(crate) const ISSUER: &str = "https://dex.example.com";
pub(crate) const REMOTE: &str = "https://remote.example.com";

/// The number of the first poll: other calls are counted from 1.
const FIRST_POLL: u32 = 1_000_000;

/// Called before each write of shared data, with the number of writes so far.
type BeforeWrite = Box<dyn Fn(&FakeHost, usize)>;

/// What several workers share: one Envoy.
#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) now_ms: Cell<u64>,
    pub(crate) lines: RefCell<Vec<(Level, String)>>,
    pub(crate) shared: RefCell<BTreeMap<String, SharedValue>>,
    pub(crate) cas: Cell<u32>,
    pub(crate) calls: RefCell<Vec<(CallId, String)>>,
    /// Polls of the filter's state by their paths, numbered from [`FIRST_POLL`].
    pub(crate) polls: RefCell<Vec<(CallId, String)>>,
    pub(crate) resumed: RefCell<Vec<(StreamId, String)>>,
    pub(crate) replies: RefCell<Vec<(StreamId, Reply)>>,
    pub(crate) counts: RefCell<BTreeMap<String, u64>>,
    pub(crate) annotation: RefCell<Option<Vec<u8>>>,
    pub(crate) annotations_read: Cell<usize>,
    pub(crate) route_name: RefCell<Option<Vec<u8>>>,
    pub(crate) names_read: Cell<usize>,
    pub(crate) gone: RefCell<BTreeSet<StreamId>>,
    pub(crate) existence_checks: Cell<usize>,
    pub(crate) call_failure: Cell<Option<CallFailure>>,
    pub(crate) shared_fails: Cell<bool>,
    pub(crate) before_write: RefCell<Option<BeforeWrite>>,
    pub(crate) writes: Cell<usize>,
    pub(crate) random: Cell<[u8; 16]>,
    pub(crate) random_draws: Cell<usize>,
    pub(crate) hides_debug: Cell<bool>,
}

impl FakeHost {
    pub(crate) fn lines_at(&self, level: Level) -> Vec<String> {
        self.lines
            .borrow()
            .iter()
            .filter(|(at, _)| *at == level)
            .map(|(_, line)| line.clone())
            .collect()
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    pub(crate) fn count_of(&self, name: &str) -> u64 {
        self.counts.borrow().get(name).copied().unwrap_or(0)
    }
}

/// The host as one worker sees it.
#[derive(Clone)]
pub(crate) struct HostOf(pub(crate) Rc<FakeHost>);

impl Host for HostOf {
    fn now_ms(&self) -> u64 {
        self.0.now_ms.get()
    }

    fn random(&self) -> [u8; 16] {
        self.0.random_draws.set(self.0.random_draws.get() + 1);
        self.0.random.get()
    }

    fn log_enabled(&self, level: Level) -> bool {
        level > Level::Debug || !self.0.hides_debug.get()
    }

    fn log(&self, level: Level, line: &str) {
        self.0.lines.borrow_mut().push((level, line.to_owned()));
    }

    fn route_annotation(&self, _path: &AnnotationPath) -> Option<Vec<u8>> {
        self.0.annotations_read.set(self.0.annotations_read.get() + 1);
        self.0.annotation.borrow().clone()
    }

    fn route_name(&self) -> Option<Vec<u8>> {
        self.0.names_read.set(self.0.names_read.get() + 1);
        self.0.route_name.borrow().clone()
    }

    fn stream_exists(&self, stream: StreamId) -> bool {
        self.0.existence_checks.set(self.0.existence_checks.get() + 1);
        !self.0.gone.borrow().contains(&stream)
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostFailure> {
        if self.0.shared_fails.get() {
            Err(HostFailure)
        } else {
            Ok(self.0.shared.borrow().get(key).cloned())
        }
    }

    fn set_shared(&self, key: &str, bytes: &[u8], claim: WriteCondition) -> Result<(), SetFailure> {
        self.0.writes.set(self.0.writes.get() + 1);
        let hook = self.0.before_write.borrow_mut().take();
        if let Some(hook) = hook {
            hook(&self.0, self.0.writes.get());
            self.0.before_write.borrow_mut().get_or_insert(hook);
        }
        let mut shared = self.0.shared.borrow_mut();
        let there = shared.get(key).map(|value| value.cas);
        match (claim, there) {
            (WriteCondition::Absent, Some(_)) => return Err(SetFailure::Mismatch),
            (WriteCondition::Unchanged(cas), Some(other)) if cas != other => {
                return Err(SetFailure::Mismatch);
            }
            _ => {}
        }
        self.0.cas.set(self.0.cas.get() + 1);
        shared.insert(
            key.to_owned(),
            SharedValue {
                bytes: bytes.to_vec(),
                cas: self.0.cas.get(),
            },
        );
        Ok(())
    }

    fn call_control(&self, call: &ControlCall<'_>) -> Result<CallId, CallFailure> {
        if let Some(failure) = self.0.call_failure.get() {
            return Err(failure);
        }
        let header = |name: &str| call.headers.iter().find(|(other, _)| *other == name);
        if let Some((_, path)) = header(":path").filter(|(_, path)| path.starts_with(STATE_PATH)) {
            assert_eq!(header("authorization").unwrap().1, "Bearer s3cret");
            let mut polls = self.0.polls.borrow_mut();
            let id = CallId(FIRST_POLL + u32::try_from(polls.len()).unwrap());
            polls.push((id, (*path).to_owned()));
            return Ok(id);
        }
        let mut calls = self.0.calls.borrow_mut();
        let id = CallId(u32::try_from(calls.len()).unwrap() + 1);
        calls.push((id, String::from_utf8(call.body.to_vec()).unwrap()));
        Ok(id)
    }

    fn resume_with(&self, stream: StreamId, authorization: &str) -> Result<(), HostFailure> {
        if self.0.gone.borrow().contains(&stream) {
            return Err(HostFailure);
        }
        self.0
            .resumed
            .borrow_mut()
            .push((stream, authorization.to_owned()));
        Ok(())
    }

    fn reply(&self, stream: StreamId, reply: &Reply) -> Result<(), HostFailure> {
        if self.0.gone.borrow().contains(&stream) {
            return Err(HostFailure);
        }
        self.0.replies.borrow_mut().push((stream, reply.clone()));
        Ok(())
    }

    fn count(&self, metric: &Metric<'_>) {
        *self.0.counts.borrow_mut().entry(metric.stat_name()).or_default() += 1;
    }
}

pub(crate) const CONFIG: &str = r#"{
    "control": {"cluster": "control", "credential": {"value": "s3cret"}},
    "session_headers": ["x-session"],
    "resource_metadata": "https://gw.example.com/.well-known/oauth-protected-resource",
    "servers": [
        {"name": "kubernetes", "path_prefix": "/kubernetes",
         "auth": {"kind": "forward", "issuer": "https://dex.example.com", "required_audiences": ["kube"]}},
        {"name": "remote", "path_prefix": "/remote",
         "auth": {"kind": "exchange", "issuer": "https://remote.example.com", "required_audiences": ["rkube"],
                  "subject_issuer": "https://dex.example.com"}}
    ]
}"#;

/// One Envoy with several workers.
pub(crate) struct Envoy {
    pub(crate) host: Rc<FakeHost>,
    pub(crate) workers: Vec<Filter<HostOf>>,
    streams: u32,
    watches: BTreeMap<StreamId, Watch>,
}

impl Envoy {
    pub(crate) fn new(workers: usize) -> Self {
        Self::with_config(workers, str::to_owned)
    }

    /// With [`CONFIG`] changed.
    pub(crate) fn with_config(workers: usize, change: impl Fn(&str) -> String) -> Self {
        let host = Rc::new(FakeHost::default());
        host.now_ms.set(START_MS);
        let text = change(CONFIG);
        let workers = (0..workers)
            .map(|_| {
                let config = FilterConfig::parse(text.as_bytes(), |_| None);
                assert!(config.is_ok(), "{config:?}");
                Filter::new(HostOf(Rc::clone(&host)), config, text.as_bytes())
            })
            .collect();
        Self {
            host,
            workers,
            streams: 0,
            watches: BTreeMap::new(),
        }
    }

    /// Sends a listener's request to a worker.
    pub(crate) fn listen(&mut self, worker: usize, path: &str, token: Option<&str>) -> (StreamId, Verdict) {
        self.send_as(b"GET", None, worker, path, token, None)
    }

    /// Sends a request with an `mcp-method` to a worker.
    pub(crate) fn send_mcp(&mut self, mcp_method: &str, worker: usize, path: &str, token: &str) -> Verdict {
        let method = Some(mcp_method.as_bytes());
        self.send_as(b"POST", method, worker, path, Some(token), None).1
    }

    /// Sends a request to a worker; the stream's number and the verdict.
    pub(crate) fn send(
        &mut self,
        worker: usize,
        path: &str,
        token: Option<&str>,
        session: Option<&str>,
    ) -> (StreamId, Verdict) {
        self.send_as(b"POST", None, worker, path, token, session)
    }

    fn send_as(
        &mut self,
        method: &[u8],
        mcp_method: Option<&[u8]>,
        worker: usize,
        path: &str,
        token: Option<&str>,
        session: Option<&str>,
    ) -> (StreamId, Verdict) {
        self.streams += 1;
        let stream = StreamId(self.streams);
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", method),
            (b":authority", b"gw.example.com"),
            (b":path", path.as_bytes()),
        ];
        headers.extend(
            authorization
                .as_ref()
                .map(|value| (&b"authorization"[..], value.as_bytes())),
        );
        headers.extend(mcp_method.map(|value| (&b"mcp-method"[..], value)));
        headers.extend(session.map(|value| (&b"x-session"[..], value.as_bytes())));
        let worker = &mut self.workers[worker];
        let head = RequestHead::read(headers.into_iter(), worker.session_headers());
        let verdict = worker.on_request(stream, &head);
        self.watches
            .extend(worker.take_watch().map(|watch| (stream, watch)));
        (stream, verdict)
    }

    /// Control's call number `call` (from 1) is answered with a token.
    pub(crate) fn answer(&mut self, worker: usize, call: u32, token: &str) {
        let expires_at = Claims::read(token.as_bytes()).map_or(u64::MAX, |claims| claims.exp_seconds);
        let body = TokenAnswer {
            access_token: token.to_owned(),
            issued_token_type: TOKEN_TYPE_ID_TOKEN.to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: 60,
            expires_at,
        };
        let answer = ControlResponse {
            status: 200,
            marked: true,
            retry_after: None,
            body: serde_json::to_vec(&body).unwrap(),
        };
        self.workers[worker].on_control_response(CallId(call), &answer);
    }

    /// Control's call number `call` (from 1) is refused.
    pub(crate) fn refuse(&mut self, worker: usize, call: u32, refusal: Refusal) {
        self.workers[worker].on_control_response(CallId(call), &refused(refusal));
    }

    /// The client of a stream disconnects; the filter gets no callback.
    pub(crate) fn close(&self, stream: StreamId) {
        self.host.gone.borrow_mut().insert(stream);
    }

    /// The server responds to a stream of worker 0; `None` when the filter does not watch that response.
    pub(crate) fn respond(
        &mut self,
        stream: StreamId,
        status: u16,
        names_token: bool,
    ) -> Option<ResponseVerdict> {
        let watch = self.watches.remove(&stream)?;
        Some(self.workers[0].on_response(&watch, status, || names_token))
    }

    pub(crate) fn calls(&self) -> usize {
        self.host.calls.borrow().len()
    }
}

/// Control's response when it refuses.
pub(crate) fn refused(refusal: Refusal) -> ControlResponse {
    let body = TokenError {
        error: refusal.control_error().to_owned(),
        error_description: refusal.description().to_owned(),
        refusal: refusal.name().to_owned(),
    };
    ControlResponse {
        status: refusal.control_status(),
        marked: true,
        retry_after: None,
        body: serde_json::to_vec(&body).unwrap(),
    }
}

/// A token that looks like Dex's; `exp_in` seconds from [`START_MS`].
pub(crate) fn token(issuer: &str, audience: &str, subject: &str, exp_in: i64) -> String {
    let exp = i64::try_from(START_MS / 1000).unwrap() + exp_in;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"k"}"#);
    let payload = format!(r#"{{"iss":"{issuer}","sub":"{subject}","aud":"{audience}","exp":{exp}}}"#);
    let signature = URL_SAFE_NO_PAD.encode(format!("signature of {payload}"));
    format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload))
}

/// A home token for the `kubernetes` server.
pub(crate) fn home(exp_in: i64) -> String {
    token(ISSUER, "kube", "alice", exp_in)
}

/// The status of a reply.
pub(crate) fn status(verdict: &Verdict) -> Option<u16> {
    match verdict {
        Verdict::Reply(reply) => Some(reply.status),
        _ => None,
    }
}
