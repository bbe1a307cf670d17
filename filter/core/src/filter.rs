//! One worker's filter, by what its configuration makes of it. The host shows every event to [`Filter`].

use tokenward_protocol::refusal::Refusal;

use crate::config::{BadConfig, EachTry, FilterConfig};
use crate::context::Context;
use crate::each_try::EachTryFilter;
use crate::host::{CallId, Host, StreamId};
use crate::misconfigured::Misconfigured;
use crate::request::RequestHead;
use crate::verdict::{ResponseVerdict, Verdict};
use crate::worker::{ControlResponse, MemoryUse, Watch, Worker};

/// The filter of one worker under one configuration.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each configuration; a box would cost every request a load"
)]
pub enum Filter<H> {
    /// No usable configuration: refuses every request.
    Misconfigured(Misconfigured<H>),
    /// An upstream HTTP filter: checks each try that the router makes.
    EachTry(EachTryFilter<H>),
    /// Protects servers.
    Protecting(Worker<H>),
}

impl<H: Host> Filter<H> {
    /// A filter before its configuration: refuses every request. Makes no host call.
    pub fn unconfigured(host: H) -> Self {
        Self::Misconfigured(Misconfigured::unconfigured(host))
    }

    /// A filter that protects the servers of `config`, which was parsed from `text`. Under an unusable configuration it
    /// refuses every request and logs the fault.
    pub fn new(host: H, config: Result<FilterConfig, BadConfig>, text: &[u8]) -> Self {
        match config {
            Ok(config) => Self::Protecting(Worker::new(host, config)),
            Err(error) => Self::Misconfigured(Misconfigured::new(host, &error, text)),
        }
    }

    /// An upstream filter under `settings`, which were parsed from `text`. Under unusable ones it refuses every request
    /// and logs the fault.
    pub fn of_tries(host: H, settings: Result<EachTry, BadConfig>, text: &[u8]) -> Self {
        match settings {
            Ok(settings) => Self::EachTry(EachTryFilter::new(host, settings)),
            Err(error) => Self::Misconfigured(Misconfigured::new(host, &error, text)),
        }
    }

    fn context(&self) -> &Context<H> {
        match self {
            Self::Misconfigured(filter) => &filter.context,
            Self::EachTry(filter) => &filter.context,
            Self::Protecting(worker) => worker.context(),
        }
    }

    fn context_mut(&mut self) -> &mut Context<H> {
        match self {
            Self::Misconfigured(filter) => &mut filter.context,
            Self::EachTry(filter) => &mut filter.context,
            Self::Protecting(worker) => worker.context_mut(),
        }
    }

    /// The host.
    pub fn host(&self) -> &H {
        &self.context().host
    }

    /// Names of the headers that may carry a session handle, lower case, in order of preference.
    #[must_use]
    pub fn session_headers(&self) -> &[String] {
        match self {
            Self::Protecting(worker) => worker.session_headers(),
            Self::Misconfigured(_) | Self::EachTry(_) => &[],
        }
    }

    /// Judges a request whose headers have arrived.
    pub fn on_request(&mut self, stream: StreamId, head: &RequestHead<'_>) -> Verdict {
        match self {
            Self::Protecting(worker) => worker.on_request(stream, head),
            Self::EachTry(filter) => filter.on_request(head),
            Self::Misconfigured(filter) => Verdict::Reply(filter.refuse().into()),
        }
    }

    /// Refuses a request whose headers cannot be read, or not in one way only.
    pub fn refuse_unreadable(&mut self) -> Verdict {
        let refusal = Refusal::UnreadableRequest;
        Verdict::Reply(self.context_mut().refuse_without_server(refusal).into())
    }

    /// What to watch the server's response for, of the request that the host just showed; `None` when the filter refused
    /// it or it is for no protected server. A reply that the filter makes to a paused request is not the server's and
    /// must not be shown to [`Self::on_response`].
    pub fn take_watch(&mut self) -> Option<Watch> {
        match self {
            Self::Protecting(worker) => worker.take_watch(),
            Self::Misconfigured(_) | Self::EachTry(_) => None,
        }
    }

    /// Judges the server's response to a forwarded request. The filter calls `names_invalid_token` for a 403 only: whether
    /// the challenge names the token as the fault (RFC 6750 §3.1).
    pub fn on_response(
        &mut self,
        watch: &Watch,
        status: u16,
        names_invalid_token: impl FnOnce() -> bool,
    ) -> ResponseVerdict {
        match self {
            Self::Protecting(worker) => worker.on_response(watch, status, names_invalid_token),
            Self::Misconfigured(_) | Self::EachTry(_) => ResponseVerdict::PassOn,
        }
    }

    /// Longest response that the host reads for this call, in bytes.
    #[must_use]
    pub fn longest_response(&self, call: CallId) -> usize {
        match self {
            Self::Protecting(worker) => worker.longest_response(call),
            Self::Misconfigured(_) | Self::EachTry(_) => 0,
        }
    }

    /// Takes control's response to a call, or the host's notice that there will be none.
    pub fn on_control_response(&mut self, call: CallId, response: &ControlResponse) {
        if let Self::Protecting(worker) = self {
            worker.on_control_response(call, response);
        }
    }

    /// Acts on the passing of one tick ([`crate::worker::TICK_MS`]).
    pub fn on_tick(&mut self) {
        match self {
            Self::Protecting(worker) => worker.on_tick(),
            Self::Misconfigured(_) | Self::EachTry(_) => self.context_mut().report_withheld(),
        }
    }

    /// What its memories hold: nothing, unless it protects servers.
    #[must_use]
    pub fn memory_use(&self) -> MemoryUse {
        match self {
            Self::Protecting(worker) => worker.memory_use(),
            Self::Misconfigured(_) | Self::EachTry(_) => MemoryUse::default(),
        }
    }

    /// Whether no request waits, no call is under way and nothing is left to report.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Protecting(worker) => worker.is_idle(),
            Self::Misconfigured(_) | Self::EachTry(_) => true,
        }
    }
}
