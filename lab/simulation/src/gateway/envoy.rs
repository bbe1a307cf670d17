//! One Envoy: the product's workers, the requests that they have paused, and the calls that they wait for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::host::{CallId, StreamId};
use tokenward_filter_core::request::RequestHead;
use tokenward_filter_core::verdict::{ResponseVerdict, Verdict};
use tokenward_filter_core::worker::{ControlResponse, Watch};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ID_TOKEN, TokenAnswer, TokenError};

use super::host::{Ending, EnvoyHost, Started, WorkerHost, ending_of};
use crate::count::{Count, Tally};
use crate::message::Said;
use crate::random::Random;
use crate::servers::Servers;
use crate::token::Stamp;

/// The filter's configuration: all servers come from control.
const CONFIG: &str = r#"{
    "control": {"cluster": "control", "credential": {"value": "a-credential-of-enough-bytes"}},
    "session_headers": ["x-session"], "server_annotation": "", "servers": [], "state": {}
}"#;

/// A request of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The session's number within the shard.
    pub(crate) session: u32,
    /// The user.
    pub(crate) user: u32,
    /// Which of the session's servers.
    pub(crate) place: u8,
    /// That server.
    pub(crate) server: u16,
    /// Whether it opens a listener's stream.
    pub(crate) is_listener: bool,
    /// The presented token.
    pub(crate) token: &'a str,
    /// The session handle, if the client sends one.
    pub(crate) handle: Option<&'a str>,
}

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) session: u32,
    pub(crate) place: u8,
    pub(crate) is_listener: bool,
    /// HTTP status.
    pub(crate) status: u16,
    /// `Retry-After`, seconds.
    pub(crate) retry_after: Option<u32>,
}

/// A request that the filter has paused.
#[derive(Debug)]
struct Paused {
    worker: u8,
    session: u32,
    user: u32,
    place: u8,
    server: u16,
    is_listener: bool,
    watch: Option<Watch>,
}

/// What an Envoy holds in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    /// Bytes of the worker that holds most, by the filter's own estimates.
    pub(crate) most_of_a_worker: usize,
    /// The same of all its workers.
    pub(crate) of_all_workers: usize,
    /// Bytes in shared data.
    pub(crate) shared: usize,
}

/// One Envoy.
pub(crate) struct Envoy {
    host: Rc<EnvoyHost>,
    workers: Vec<Filter<WorkerHost>>,
    paused: HashMap<StreamId, Paused>,
    streams: u32,
    /// Calls without an answer, with the worker; and their deadlines in the order of the start.
    open: BTreeMap<CallId, u8>,
    deadlines: VecDeque<(u64, CallId)>,
    tally: Rc<Tally>,
    servers: Rc<Servers>,
}

impl Envoy {
    /// An Envoy that starts at `now_ms` and knows nothing.
    pub(crate) fn start(
        workers: u32,
        random: Random,
        tally: &Rc<Tally>,
        servers: &Rc<Servers>,
        now_ms: u64,
    ) -> Self {
        let host = Rc::new(EnvoyHost::new(random, Rc::clone(tally), now_ms));
        let worker = |number: u32| {
            let host = WorkerHost {
                envoy: Rc::clone(&host),
                worker: u8::try_from(number).unwrap_or(u8::MAX),
            };
            let config = FilterConfig::parse(CONFIG.as_bytes(), |_| None);
            Filter::new(host, config, CONFIG.as_bytes())
        };
        Self {
            workers: (0..workers).map(worker).collect(),
            host,
            paused: HashMap::new(),
            streams: 0,
            open: BTreeMap::new(),
            deadlines: VecDeque::new(),
            tally: Rc::clone(tally),
            servers: Rc::clone(servers),
        }
    }

    /// A request arrives at a worker; what the client gets, unless the filter has paused it.
    pub(crate) fn request(&mut self, worker: u8, request: &Request<'_>, now_ms: u64) -> Option<Outcome> {
        self.tally.one(Count::Requests);
        self.host.set_now(now_ms);
        self.streams += 1;
        let stream = StreamId(self.streams);
        let authorization = format!("Bearer {}", request.token);
        let path = self.servers.path(request.server);
        let method: &[u8] = if request.is_listener { b"GET" } else { b"POST" };
        let headers: [(&[u8], &[u8]); 4] = [
            (b":method", method),
            (b":authority", b"g"),
            (b":path", path.as_bytes()),
            (b"authorization", authorization.as_bytes()),
        ];
        let session = request
            .handle
            .map(|handle| (&b"x-session"[..], handle.as_bytes()));
        let mcp = (!request.is_listener).then_some((&b"mcp-method"[..], &b"tools/call"[..]));
        let filter = &mut self.workers[usize::from(worker)];
        let headers = headers.into_iter().chain(session).chain(mcp);
        let head = RequestHead::read(headers, filter.session_headers());
        let verdict = filter.on_request(stream, &head);
        let paused = Paused {
            worker,
            session: request.session,
            user: request.user,
            place: request.place,
            server: request.server,
            is_listener: request.is_listener,
            watch: filter.take_watch(),
        };
        match verdict {
            Verdict::Pause => {
                self.paused.insert(stream, paused);
                None
            }
            Verdict::Continue => Some(self.serve(&paused, Stamp::of(request.token), now_ms)),
            Verdict::ContinueWith(replaced) => Some(self.serve(&paused, Stamp::of(&replaced), now_ms)),
            Verdict::Reply(reply) => Some(outcome(&paused, ending_of(&reply))),
        }
    }

    /// The server answers a request that reaches it with this token, and the filter judges the answer.
    fn serve(&mut self, request: &Paused, stamp: Option<Stamp>, now_ms: u64) -> Outcome {
        let status = match &stamp {
            Some(stamp) => self
                .servers
                .judge(request.server, request.user, stamp, now_ms, &self.tally),
            None => {
                self.tally.one(Count::BrokenOtherToken);
                401
            }
        };
        let filter = &mut self.workers[usize::from(request.worker)];
        let judged = request
            .watch
            .as_ref()
            .map(|watch| filter.on_response(watch, status, || false));
        let ending = match judged {
            Some(ResponseVerdict::AsUnavailable { retry_after }) => Ending::Replied {
                status: 503,
                retry_after: retry_after.parse().ok(),
            },
            Some(ResponseVerdict::PassOn) | None => Ending::Replied {
                status,
                retry_after: None,
            },
        };
        outcome(request, ending)
    }

    /// Control answers a call; what clients get because of it.
    pub(crate) fn answer(&mut self, call: CallId, said: &Said, now_ms: u64) -> Vec<Outcome> {
        let Some(worker) = self.open.remove(&call) else {
            return Vec::new();
        };
        self.respond(worker, call, &response_of(said, now_ms), now_ms)
    }

    fn respond(&mut self, worker: u8, call: CallId, response: &ControlResponse, now_ms: u64) -> Vec<Outcome> {
        self.host.set_now(now_ms);
        self.workers[usize::from(worker)].on_control_response(call, response);
        self.endings(now_ms)
    }

    fn endings(&mut self, now_ms: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if !self.host.has_ended() {
            return outcomes;
        }
        for (stream, ending) in self.host.take_ended() {
            let Some(request) = self.paused.remove(&stream) else {
                continue;
            };
            outcomes.push(match ending {
                Ending::Resumed(stamp) => self.serve(&request, stamp, now_ms),
                Ending::Replied { .. } => outcome(&request, ending),
            });
        }
        outcomes
    }

    /// A tenth of a second has passed: calls past the host's deadline end, and every worker gets its tick.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some((_, call)) = self
            .deadlines
            .front()
            .copied()
            .filter(|(at_ms, _)| *at_ms <= now_ms)
        {
            self.deadlines.pop_front();
            if let Some(worker) = self.open.remove(&call) {
                self.tally.one(Count::CallsTimedOut);
                let late = ControlResponse {
                    status: 504,
                    ..ControlResponse::default()
                };
                outcomes.extend(self.respond(worker, call, &late, now_ms));
            }
        }
        self.host.set_now(now_ms);
        for worker in &mut self.workers {
            worker.on_tick();
        }
        outcomes.extend(self.endings(now_ms));
        outcomes
    }

    /// Takes the calls that workers have started.
    pub(crate) fn take_started(&mut self) -> Vec<Started> {
        let started = self.host.take_started();
        for started in &started {
            self.open.insert(started.call, started.worker);
            self.deadlines
                .push_back((started.at_ms + started.timeout_ms, started.call));
        }
        started
    }

    /// What its memories hold.
    pub(crate) fn held(&self) -> Held {
        let bytes = self.workers.iter().map(|worker| worker.memory_use().bytes());
        Held {
            most_of_a_worker: bytes.clone().max().unwrap_or(0),
            of_all_workers: bytes.sum(),
            shared: self.host.shared_bytes(),
        }
    }

    /// The sessions whose requests are paused here: they lose their connection when the Envoy stops.
    pub(crate) fn paused(&self) -> Vec<Outcome> {
        let lost = Ending::Replied {
            status: 0,
            retry_after: None,
        };
        let mut all: Vec<_> = self.paused.iter().collect();
        all.sort_by_key(|(stream, _)| **stream);
        all.into_iter().map(|(_, paused)| outcome(paused, lost)).collect()
    }
}

fn outcome(request: &Paused, ending: Ending) -> Outcome {
    let (status, retry_after) = match ending {
        Ending::Replied { status, retry_after } => (status, retry_after),
        Ending::Resumed(_) => (200, None),
    };
    Outcome {
        session: request.session,
        place: request.place,
        is_listener: request.is_listener,
        status,
        retry_after,
    }
}

/// Control's words as HTTP.
fn response_of(said: &Said, now_ms: u64) -> ControlResponse {
    match said {
        Said::Token { stamp, life_seconds } => {
            let expires_at = u64::from(stamp.exp_seconds);
            let answer = TokenAnswer {
                access_token: stamp.text(*life_seconds),
                issued_token_type: TOKEN_TYPE_ID_TOKEN.to_owned(),
                token_type: "Bearer".to_owned(),
                expires_in: expires_at.saturating_sub(now_ms / 1000),
                expires_at,
            };
            marked(200, serde_json::to_vec(&answer).unwrap_or_default())
        }
        Said::Refused {
            refusal,
            retry_after_seconds,
        } => {
            let mut response = marked(refusal.control_status(), error_of(*refusal));
            response.retry_after = retry_after_seconds.map(|seconds| seconds.to_string().into_bytes());
            response
        }
        Said::State(bytes) => marked(200, bytes.to_vec()),
        Said::Unreached | Said::LoggedIn(_) => ControlResponse {
            status: 503,
            ..ControlResponse::default()
        },
    }
}

fn marked(status: u16, body: Vec<u8>) -> ControlResponse {
    ControlResponse {
        status,
        marked: true,
        retry_after: None,
        body,
    }
}

fn error_of(refusal: Refusal) -> Vec<u8> {
    let error = TokenError {
        error: refusal.control_error().to_owned(),
        error_description: refusal.description().to_owned(),
        refusal: refusal.name().to_owned(),
    };
    serde_json::to_vec(&error).unwrap_or_default()
}
