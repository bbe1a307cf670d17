//! The gateway, its control and its MCP servers, as one thing for stories.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokenward_protocol::jwt::Claims;

use super::builder::FilterWorldBuilder;
use super::control::{ControlCall, ScriptedControl};
use super::request::{RequestBuilder, bearer_of};
use super::token::TokenBuilder;
use crate::gateway::{Gateway, StartFailure};
use crate::gateway_builder::GatewayBuilder;
use crate::recording::LogLevel;
use crate::stream::{ForwardedRequest, UpstreamReply};

/// One request that an MCP server got.
#[derive(Debug, Clone)]
pub struct UpstreamRequest {
    /// The first segment of its path.
    pub server: String,
    /// The bearer token.
    pub bearer: Option<String>,
    /// `exp` of the bearer token, Unix seconds; `None` where there is none.
    pub exp_seconds: Option<u64>,
    /// Everything else.
    pub request: ForwardedRequest,
}

impl UpstreamRequest {
    /// Whether its bearer was past its `exp` when it arrived. A server that verifies tokens answers 401 to it.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.exp_seconds
            .is_some_and(|exp| exp.saturating_mul(1000) <= self.request.at_ms)
    }
}

/// The filter in a gateway, with scripted control and MCP servers, in virtual time. Clones are the same world.
#[derive(Clone)]
pub struct FilterWorld {
    gateway: Gateway,
    control: ScriptedControl,
    configuration: Rc<RefCell<Value>>,
    upstream: Rc<RefCell<UpstreamReply>>,
}

impl FilterWorld {
    /// A world to be put together.
    #[must_use]
    pub fn builder() -> FilterWorldBuilder {
        FilterWorldBuilder::default()
    }

    pub(super) fn start(gateway: GatewayBuilder, configuration: Value, upstream: UpstreamReply) -> Self {
        let control = ScriptedControl::default();
        let upstream = Rc::new(RefCell::new(upstream));
        let (asked, answering) = (control.clone(), Rc::clone(&upstream));
        let gateway = gateway
            .callouts(move |callout| asked.reply(callout))
            .upstream(move |_| answering.borrow().clone())
            .start()
            .unwrap_or_else(|failure| panic!("the filter does not start: {failure}"));
        Self {
            gateway,
            control,
            configuration: Rc::new(RefCell::new(configuration)),
            upstream,
        }
    }

    /// A request to a server, by its name.
    #[must_use]
    pub fn request(&self, server: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(self, server)
    }

    /// Control: what it answers.
    #[must_use]
    pub fn control(&self) -> ControlStory<'_> {
        ControlStory { world: self }
    }

    /// From now on MCP servers answer with this.
    pub fn upstream_replies(&self, reply: UpstreamReply) {
        self.upstream.replace(reply);
    }

    /// Time passes: ticks and answers happen on the way.
    ///
    /// # Panics
    /// When `span` is longer than the clock can count.
    pub fn advance(&self, span: Duration) {
        self.gateway
            .advance_ms(u64::try_from(span.as_millis()).expect("a span of a story"));
    }

    /// Makes a token now: the same bytes for several requests.
    #[must_use]
    pub fn mint(&self, token: &TokenBuilder) -> String {
        token.make(self.gateway.now_ms() / 1000)
    }

    /// Every request that reached an MCP server, in order.
    #[must_use]
    pub fn upstream_requests(&self) -> Vec<UpstreamRequest> {
        self.gateway.forwarded().into_iter().map(read).collect()
    }

    /// Requests that reached an MCP server with a bearer past its `exp`. There must be none, ever.
    #[must_use]
    pub fn stale_arrivals(&self) -> Vec<UpstreamRequest> {
        self.upstream_requests()
            .into_iter()
            .filter(UpstreamRequest::is_stale)
            .collect()
    }

    /// Texts of all WARN lines.
    #[must_use]
    pub fn warns(&self) -> Vec<String> {
        self.logged(LogLevel::Warn)
    }

    /// Texts of all INFO lines.
    #[must_use]
    pub fn infos(&self) -> Vec<String> {
        self.logged(LogLevel::Info)
    }

    /// Texts of all DEBUG lines.
    #[must_use]
    pub fn debugs(&self) -> Vec<String> {
        self.logged(LogLevel::Debug)
    }

    /// Texts of all ERROR lines.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.logged(LogLevel::Error)
    }

    /// Texts of all lines of one level.
    #[must_use]
    pub fn logged(&self, level: LogLevel) -> Vec<String> {
        let lines = self.gateway.logs().into_iter();
        lines
            .filter(|line| line.level == level)
            .map(|line| line.message)
            .collect()
    }

    /// The sum of all counters whose name contains every one of `parts`: `["server=kubernetes", "requests_total"]`.
    /// The workers tick before, because the filter publishes some counts at its ticks.
    #[must_use]
    pub fn counted(&self, parts: &[&str]) -> u64 {
        for worker in 0..self.gateway.worker_count() {
            self.gateway.worker(worker).tick();
        }
        let metrics = self.gateway.metrics();
        let counters = metrics.counters().iter();
        counters
            .filter(|(name, _)| parts.iter().all(|part| name.contains(part)))
            .map(|(_, value)| value)
            .sum()
    }

    /// Changes the filter's configuration while it runs.
    ///
    /// # Errors
    /// The filter refused it; the old one stays.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Value)) -> Result<(), StartFailure> {
        change(&mut self.configuration.borrow_mut());
        let text = self.configuration.borrow().to_string();
        self.gateway.update_configuration(text)
    }

    /// Runs `interlude` when that worker makes its `nth` call (1 is the next one) of the import `function`, before
    /// the call takes effect: see [`Gateway::race`]. Inside, only *other* workers may be used.
    pub fn race(
        &self,
        worker: usize,
        function: &'static str,
        nth: usize,
        interlude: impl FnOnce(&Self) + 'static,
    ) {
        let (control, configuration) = (self.control.clone(), Rc::clone(&self.configuration));
        let upstream = Rc::clone(&self.upstream);
        self.gateway.race(worker, function, nth, move |gateway| {
            interlude(&Self {
                gateway: gateway.clone(),
                control,
                configuration,
                upstream,
            });
        });
    }

    /// The gateway underneath: clock, shared data, host calls, races, reloads.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

/// Control as [`FilterWorld::control`] gives it: the script, and the requests.
pub struct ControlStory<'world> {
    world: &'world FilterWorld,
}

impl ControlStory<'_> {
    /// Every token request that the filter sent, in order.
    ///
    /// # Panics
    /// When the filter sent something that is not a token request.
    #[must_use]
    pub fn calls(&self) -> Vec<ControlCall> {
        self.world
            .gateway
            .callouts()
            .into_iter()
            .map(ControlCall::read)
            .collect()
    }
}

impl std::ops::Deref for ControlStory<'_> {
    type Target = ScriptedControl;

    fn deref(&self) -> &ScriptedControl {
        &self.world.control
    }
}

fn read(request: ForwardedRequest) -> UpstreamRequest {
    let bearer = bearer_of(&request.headers);
    let path = request.headers.text(":path").unwrap_or_default();
    let claims = bearer
        .as_deref()
        .and_then(|token| Claims::read(token.as_bytes()).ok());
    UpstreamRequest {
        server: path.split(['/', '?']).nth(1).unwrap_or_default().to_owned(),
        exp_seconds: claims.map(|claims| claims.exp_seconds),
        bearer,
        request,
    }
}
