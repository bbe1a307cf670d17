//! What one worker remembers under one configuration.

use std::rc::Rc;

use crate::config::{FilterConfig, Server};
use crate::context::Context;
use crate::digest_map::set_seed;
use crate::flight::Flights;
use crate::host::Host;
use crate::log::{RefusalLine, Refusals};
use crate::mcp_method::McpMethod;
use crate::metric::{Event, Metric, RequestOutcome};
use crate::replacement::Replacements;
use crate::route_memo::RouteMemo;
use crate::token_memo::TokenMemo;

use super::call_history::CallHistory;
use super::gate_cache::GateCache;
use super::presented::Presented;
use super::token_state::TokenStates;
use super::watch::Watch;

/// Period of the worker's tick, in milliseconds: how late a pause may end after its deadline.
pub const TICK_MS: u64 = 100;

/// One worker's filter under one configuration.
#[derive(Debug)]
pub struct Worker<H> {
    pub(super) context: Context<H>,
    pub(super) config: FilterConfig,
    pub(super) routes: RouteMemo,
    pub(super) memo: TokenMemo,
    pub(super) replacements: Replacements,
    pub(super) flights: Flights,
    pub(super) token_states: TokenStates,
    pub(super) gate_cache: GateCache,
    pub(super) call_history: CallHistory,
    /// What the last request may send to a server, until the host takes it.
    pub(super) watch: Option<Watch>,
    pub(super) ticks: u64,
    /// The tick at which closed streams were last looked for.
    pub(super) checked_streams_at: u64,
}

impl<H: Host> Worker<H> {
    /// A worker under `config`.
    pub(crate) fn new(host: H, config: FilterConfig) -> Self {
        // Before any map is made.
        set_seed(host.random());
        Self {
            context: Context::new(host, &config),
            routes: RouteMemo::default(),
            memo: TokenMemo::new(
                config.required_audiences.clone(),
                config.authorization_server.clone(),
            ),
            replacements: Replacements::new(config.replacements),
            config,
            flights: Flights::default(),
            token_states: TokenStates::default(),
            gate_cache: GateCache::default(),
            call_history: CallHistory::default(),
            watch: None,
            ticks: 0,
            checked_streams_at: u64::MAX,
        }
    }

    pub(crate) fn context(&self) -> &Context<H> {
        &self.context
    }

    pub(crate) fn context_mut(&mut self) -> &mut Context<H> {
        &mut self.context
    }

    pub(crate) fn session_headers(&self) -> &[String] {
        &self.config.session_headers
    }

    /// What to watch the server's response for, of the last request.
    pub(crate) fn take_watch(&mut self) -> Option<Watch> {
        self.watch.take()
    }

    /// Whether no request waits, no call is under way and nothing is left to report.
    pub(crate) fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.gate_cache.is_empty()
    }

    pub(super) fn watch_of(&self, presented: &Presented<'_>) -> Watch {
        let key = presented.token_use.token_key;
        Watch {
            server: Rc::clone(presented.server),
            pair: presented.token_use.pair,
            token_key: key,
            token: presented.token.handle(),
            rejections_counted: self.token_states.rejections_counted(&key),
            mcp_method: presented.mcp_method(),
        }
    }

    pub(super) fn count_request(&self, server: &Server, outcome: RequestOutcome, mcp_method: McpMethod) {
        self.count(server, Event::Request(outcome, mcp_method));
    }

    pub(super) fn count(&self, server: &Server, event: Event) {
        self.context.host.count(&Metric {
            server: server.label(),
            event,
        });
    }

    /// Counts refused requests in the pair's record and logs them.
    pub(super) fn note_and_log(&mut self, presented: &Presented<'_>, refusals: Refusals) -> RefusalLine {
        let (server, pair) = (&presented.server.name, &presented.token_use.pair);
        self.context.note_and_log(server, pair, refusals)
    }
}
