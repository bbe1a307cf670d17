//! One worker's filter: the configuration, what it remembers, and what it does with each event.
//!
//! Generic over the [`Host`], so that the same code runs in Envoy and in native tests.

mod call;
mod call_permit;
pub mod control_response;
mod each_try;
mod gate_cache;
mod logging;
mod recovery;
mod refusal;
mod response;

use std::rc::Rc;

use tokenward_protocol::bearer::{bearer_token, why_malformed};
use tokenward_protocol::freshness::Freshness;
use tokenward_protocol::refusal::Refusal;

use crate::config::{BadConfig, EachTry, FilterConfig, Server};
use crate::decision::{Decision, decide};
use crate::digest_map::{DigestMap, set_seed};
use crate::flight::{CallCharge, Flights};
use crate::host::{Host, StreamId};
use crate::identity::{PairKey, SessionSource, TokenKey};
use crate::metric::{Event, Metric, NO_SERVER, Outcome, ServerLabel};
use crate::pair::gate;
use crate::pair::memory::PairMemory;
use crate::pair::record::Spans;
use crate::replacement::Replacements;
use crate::reply::{Reply, refusal_reply};
use crate::request::RequestHead;
use crate::route_memo::RouteMemo;
use crate::server_match::ServerMatch;
use call_permit::CallHistory;
use gate_cache::GateCache;
use refusal::{Gated, Misconfigured};

use crate::token_memo::{KnownToken, TokenMemo, TokenUse};

pub use response::{ResponseVerdict, Watch};

/// Period of the worker's tick, in milliseconds: how late a pause may end after its deadline.
pub const TICK_MS: u64 = 100;

/// What the host must do with the request that was just shown to the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Let it go on, untouched.
    Continue,
    /// Set `authorization` to this value and let it go on.
    ContinueWith(Rc<str>),
    /// Hold it; the worker will resume or answer it.
    Pause,
    /// Answer it.
    Reply(Rc<Reply>),
}

/// One worker's filter under one configuration.
#[derive(Debug)]
pub struct Worker<H> {
    host: H,
    config: Result<FilterConfig, Misconfigured>,
    routes: RouteMemo,
    memo: TokenMemo,
    replacements: Replacements,
    flights: Flights,
    notes: DigestMap<TokenKey, TokenState>,
    held: GateCache,
    /// Set where this is an upstream filter.
    each_try: Option<EachTry>,
    memory: PairMemory,
    history: CallHistory,
    /// When the minute is over in which this worker withheld a WARN, Unix ms.
    withheld_until_ms: Option<u64>,
    /// What the last request may send to a server, until the host takes it.
    watch: Option<Watch>,
    ticks: u64,
    /// The tick at which those who have left were last looked for.
    made_room_at: u64,
}

/// What is remembered of one presented token within a pair.
#[derive(Debug, Clone, Copy, Default)]
struct TokenState {
    /// When a background question that brought nothing may be asked again, Unix ms.
    prefetch_after_ms: u64,
    /// Rejections by the server in a row; the second is one of a newly made token.
    rejections: u32,
    /// Every rejection that was counted: what was sent before the last of them is no news about what was made since.
    counted: u32,
    /// Until when the presented token is not forwarded again because the server rejected it, Unix ms.
    rejected_until_ms: u64,
}

/// A request that reached a server with a readable token.
struct Presented<'a> {
    server_index: usize,
    known: &'a Rc<KnownToken>,
    token_use: TokenUse,
    head: &'a RequestHead<'a>,
    now_ms: u64,
}

impl Presented<'_> {
    /// Whether this is a listener: a `GET` for the server's event stream.
    fn is_listener(&self) -> bool {
        self.head.method == b"GET"
    }
}

impl<H: Host> Worker<H> {
    /// A worker under `config`. With an unusable one it refuses every request, and says once what is wrong:
    /// every VM of Envoy reads the same configuration, so the pair memory sees to it that one of them logs.
    pub fn new(host: H, config: Result<FilterConfig, BadConfig>, config_text: &[u8]) -> Self {
        set_seed(host.random());
        let replacements = config.as_ref().map_or(1, |config| config.replacements);
        let config = config.map_err(|error| {
            let text = String::from_utf8_lossy(config_text);
            let pair = PairKey::new("-", SessionSource::Handle(&text));
            Misconfigured::new(pair, &error)
        });
        let required = config.as_ref().map(|config| config.required_audiences.clone());
        let mut worker = Self {
            memo: TokenMemo::new(required.unwrap_or_default()),
            memory: PairMemory::new(spans(config.as_ref().ok())),
            config,
            replacements: Replacements::new(replacements),
            ..Self::unconfigured(host)
        };
        worker.say_misconfigured();
        worker
    }

    /// A worker before its configuration: it refuses every request. Makes no host call.
    pub fn unconfigured(host: H) -> Self {
        Self {
            host,
            config: Err(Misconfigured::unconfigured()),
            routes: RouteMemo::default(),
            memo: TokenMemo::default(),
            replacements: Replacements::new(1),
            flights: Flights::default(),
            notes: DigestMap::default(),
            held: GateCache::default(),
            each_try: None,
            memory: PairMemory::new(spans(None)),
            history: CallHistory::default(),
            withheld_until_ms: None,
            watch: None,
            ticks: 0,
            made_room_at: u64::MAX,
        }
    }

    /// The host.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Names of the headers that may carry a session handle; none when misconfigured.
    #[must_use]
    pub fn session_headers(&self) -> &[String] {
        self.config.as_ref().map_or(&[], |config| &config.session_headers)
    }

    /// A request's headers have arrived.
    pub fn on_request(&mut self, stream: StreamId, head: &RequestHead<'_>) -> Verdict {
        if let Some(each_try) = self.each_try {
            return self.on_try(each_try, head);
        }
        let config = match &self.config {
            Ok(config) => config,
            Err(_) => return Verdict::Reply(self.refuse_misconfigured().into()),
        };
        if head.path.is_empty() || head.authority.is_empty() {
            return self.refuse_unreadable();
        }
        let now_ms = self.host.now_ms();
        match self
            .routes
            .find(config, &self.host, head.authority, head.path, now_ms)
        {
            ServerMatch::Server(index) => self.on_server_request(stream, head, index, now_ms),
            ServerMatch::UnknownAnnotation => self.refuse_without_server(Refusal::UnknownServer),
            ServerMatch::Unmatched => self.refuse_without_server(Refusal::Unmatched),
            ServerMatch::UnreadableHost => self.refuse_unreadable(),
            ServerMatch::None => {
                self.host.count(&Metric {
                    server: NO_SERVER,
                    event: Event::Request(Outcome::Passed),
                });
                Verdict::Continue
            }
        }
    }

    fn on_server_request(
        &mut self,
        stream: StreamId,
        head: &RequestHead<'_>,
        server_index: usize,
        now_ms: u64,
    ) -> Verdict {
        let server = self
            .config
            .as_ref()
            .ok()
            .and_then(|config| config.servers.get(server_index));
        let Some(server) = server else {
            return unconfigured();
        };
        let token = bearer_token(head.authorization.values());
        let known = token.and_then(|token| {
            let memo = self
                .memo
                .look_up(token, (server_index, &server.name), head.session);
            memo.map_err(|fault| why_malformed(token, fault))
        });
        match known {
            Ok((known, token_use)) => self.on_presented(
                stream,
                &Presented {
                    server_index,
                    known: &known,
                    token_use,
                    head,
                    now_ms,
                },
            ),
            Err(refusal) => {
                // They share a pair, whatever handles they make up: none is answered by how often others were refused.
                let pair = PairKey::new(&server.name, SessionSource::Anonymous);
                let mut reply = self.refuse_presented(server_index, &pair, refusal, false);
                if let (Refusal::TokenTooLarge, Ok(token)) = (refusal, token) {
                    reply.name_token_bytes(token.len());
                }
                Verdict::Reply(reply.into())
            }
        }
    }

    fn on_presented(&mut self, stream: StreamId, presented: &Presented<'_>) -> Verdict {
        let TokenUse {
            pair,
            token_key,
            settled_until_ms,
        } = presented.token_use;
        let distrusted = presented.known.was_seen_stale() || self.is_rejected(&token_key, presented.now_ms);
        let Ok(config) = &self.config else {
            return unconfigured();
        };
        let Some(server) = config.servers.get(presented.server_index) else {
            return unconfigured();
        };
        let (warn_every_ms, freshness) = (config.warn_every_ms, config.freshness);
        let unproven = config.session_required && presented.head.session.is_none();
        let (mut cached, mut noted, mut is_held) = (None, None, false);
        let decision = decide(
            presented.now_ms,
            &config.freshness,
            server,
            Ok(&presented.known.claims),
            distrusted,
            || {
                cached = self.replacements.get(&token_key);
                cached.as_ref().map(|replacement| replacement.exp_seconds)
            },
            || {
                let held = self.held.get(&token_key);
                if let Some(closed) = held.and_then(|held| held.admission(presented.now_ms)) {
                    is_held = true;
                    return closed;
                }
                let gate = Gated {
                    token_key: &token_key,
                    now_ms: presented.now_ms,
                    config,
                    memory: &self.memory,
                };
                let (admission, line) = gate.admit_and_note(&self.host, &pair);
                noted = line;
                admission
            },
        );
        let decision = if unproven {
            decision.without_session()
        } else {
            decision
        };
        if let Decision::Ask { .. } | Decision::RefuseFromGate { .. } = decision
            && cached.take().is_some()
        {
            // Judged stale just now; a clock that steps back must not bring it back.
            self.replacements.remove(&token_key);
        }
        if !matches!(decision, Decision::Forward | Decision::ForwardAndPrefetch)
            && freshness.judge(presented.known.claims.exp_seconds, presented.now_ms) == Freshness::Stale
        {
            presented.known.note_stale();
        }
        match (decision, cached) {
            (Decision::Forward | Decision::ForwardAndPrefetch, _) => {
                self.count_request(presented.server_index, Outcome::Forwarded);
                self.watch = Some(self.watch_of(presented));
                // A moment further away than one span means that the clock stepped back.
                let settled_ms = settled_until_ms.saturating_sub(presented.now_ms);
                if settled_ms == 0 || settled_ms > warn_every_ms {
                    self.recover(presented.server_index, &pair, &token_key, CallCharge::default());
                    let until_ms = presented.now_ms.saturating_add(warn_every_ms);
                    self.memo.settle(presented.known, &token_key, until_ms);
                }
                if decision == Decision::ForwardAndPrefetch {
                    self.prefetch(presented);
                }
                Verdict::Continue
            }
            (Decision::Replace | Decision::ReplaceAndPrefetch, Some(replacement)) => {
                self.count_request(presented.server_index, Outcome::ReplacedFromCache);
                self.watch = Some(self.watch_of(presented));
                if decision == Decision::ReplaceAndPrefetch {
                    self.prefetch(presented);
                }
                Verdict::ContinueWith(replacement.authorization)
            }
            // `decide` replaces only what is cached; were it otherwise, asking is the safe way.
            (Decision::Replace | Decision::ReplaceAndPrefetch, None) => self.ask(stream, presented, false),
            (Decision::Ask { probe }, _) => self.ask(stream, presented, probe),
            (Decision::Refuse(refusal), _) => {
                let is_listener = presented.is_listener();
                let reply = self.refuse_presented(presented.server_index, &pair, refusal, is_listener);
                Verdict::Reply(reply.into())
            }
            (
                Decision::RefuseFromGate {
                    refusal,
                    retry_after_ms,
                },
                _,
            ) => {
                let why = (refusal, retry_after_ms);
                let held = is_held.then(|| self.refuse_from_held(presented, why)).flatten();
                Verdict::Reply(held.unwrap_or_else(|| self.refuse_and_hold(presented, why, noted)))
            }
        }
    }

    /// Whether nobody waits, nothing is under way and nothing is left to tell.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.held.is_empty()
    }

    fn server(&self, index: usize) -> Option<&Server> {
        self.config
            .as_ref()
            .ok()
            .and_then(|config| config.servers.get(index))
    }

    fn server_name(&self, index: usize) -> &str {
        self.server(index).map_or("-", |server| server.name.as_str())
    }

    fn count_request(&self, server_index: usize, outcome: Outcome) {
        self.count(server_index, Event::Request(outcome));
    }

    fn count(&self, server_index: usize, event: Event) {
        let server = ServerLabel {
            number: Some(server_index),
            name: self.server_name(server_index),
        };
        self.host.count(&Metric { server, event });
    }
}

/// The spans of time that the pairs' records are judged by.
fn spans(config: Option<&FilterConfig>) -> Spans {
    Spans {
        longest_held_ms: config.map_or(0, |config| {
            gate::longest_held_ms(&config.gate, config.control.pause_ms)
        }),
        warn_every_ms: config.map_or(refusal::MISCONFIGURED_MS, |config| config.warn_every_ms),
    }
}

/// No configuration, or a server that is not in it: nothing may pass.
fn unconfigured() -> Verdict {
    Verdict::Reply(refusal_reply(Refusal::FilterMisconfigured, None, TICK_MS).into())
}
