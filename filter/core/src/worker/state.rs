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
use crate::state::Learned;
use crate::token_memo::TokenMemo;

use super::call_history::CallHistory;
use super::gate_cache::GateCache;
use super::presented::Presented;
use super::token_state::TokenStates;
use super::watch::Watch;

/// Period of the worker's tick, in milliseconds: how late a pause may end after its deadline.
pub const TICK_MS: u64 = 100;
/// `user-agent` of calls to control.
pub(super) const USER_AGENT: &str = concat!("tokenward-filter/", env!("CARGO_PKG_VERSION"));

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
    /// What is learned of control's state; `None` where the configuration has no `state`.
    pub(super) learned: Option<Box<Learned>>,
    /// Whether the state must be known and is not: every protected request is refused.
    pub(super) state_missing: bool,
    /// Number of the servers and sign-outs in force, for [`crate::token_memo::TokenUse::checked_at`]; never 0.
    pub(super) checks_edition: u32,
    /// The tick at which a request last looked for the state.
    pub(super) looked_at: u64,
}

impl<H: Host> Worker<H> {
    /// A worker under `config`.
    pub(crate) fn new(host: H, config: FilterConfig) -> Self {
        // Before any map is made.
        set_seed(host.random());
        let learned = config.state.map(|settings| {
            let numbers = config.numbers();
            Box::new(Learned::new(settings, host.random(), numbers))
        });
        Self {
            state_missing: learned.is_some(),
            learned,
            checks_edition: 1,
            looked_at: u64::MAX,
            context: Context::new(host, &config),
            routes: RouteMemo::default(),
            memo: TokenMemo::new(
                config.table.required_audiences.clone(),
                config.table.authorization_server.clone(),
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

    /// Every use of a token is checked again: the servers or the sign-outs have changed.
    pub(super) fn renew_checks(&mut self) {
        self.checks_edition = self.checks_edition.wrapping_add(1).max(1);
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
