//! One HTTP request through the filter, and what became of it.

use std::cell::RefCell;
use std::rc::Rc;

use super::gateway::Gateway;
use super::headers::Headers;
use super::ledger::Direction;
use super::properties::Properties;
use super::recording::{HostCalls, Thread};
use super::vm::Vm;

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientResponse {
    /// `:status`.
    pub status: u16,
    /// All headers, `:status` included.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// What the upstream (the MCP server) got.
#[derive(Debug, Clone)]
pub struct ForwardedRequest {
    /// The headers as the filter left them.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The worker that sent it.
    pub thread: Thread,
    /// Wall time of sending, Unix milliseconds.
    pub at_ms: u64,
}

/// What the upstream script does with a forwarded request.
#[derive(Debug, Clone)]
pub enum UpstreamReply {
    /// Nothing yet: the test calls [`Stream::respond`] itself.
    StayOpen,
    /// Answers at once.
    Respond {
        /// Status.
        status: u16,
        /// Headers without `:status`.
        headers: Headers,
        /// Body.
        body: Vec<u8>,
    },
}

/// Where the request path stands.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The filter holds it.
    Paused,
    /// It went to the upstream, with these headers.
    Forwarded {
        /// The headers as the filter left them.
        headers: Headers,
    },
    /// It never reached the upstream: the filter answered, or Envoy did for a dead VM.
    Answered {
        /// `:status`.
        status: u16,
        /// All headers.
        headers: Headers,
        /// The body.
        body: Vec<u8>,
    },
    /// The client went away, or the filter closed the stream, before anything else.
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) struct LocalReply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Deciding,
    Paused,
    Forwarded,
    Responding,
    ResponsePaused,
    Ended,
}

pub(crate) struct StreamState {
    pub(crate) context: u32,
    pub(crate) root: u32,
    pub(crate) phase: Phase,
    pub(crate) request: Headers,
    pub(crate) request_body: Option<Vec<u8>>,
    pub(crate) request_body_seen: bool,
    /// Envoy drops its pointer to the request headers on resume; from then on calls on them are `BadArgument`.
    pub(crate) request_open: bool,
    pub(crate) response: Headers,
    pub(crate) response_body: Vec<u8>,
    pub(crate) response_open: bool,
    /// The body that a body callback may read and change.
    pub(crate) body_window: Option<Direction>,
    pub(crate) logging: bool,
    pub(crate) done: bool,
    pub(crate) resumes: u32,
    pub(crate) local_replies: u32,
    pub(crate) forwarded: Option<ForwardedRequest>,
    pub(crate) client_response: Option<ClientResponse>,
    pub(crate) properties: Properties,
}

impl StreamState {
    pub(crate) fn new(request: Headers, body: Option<Vec<u8>>, properties: Properties) -> Self {
        Self {
            context: 0,
            root: 0,
            phase: Phase::Deciding,
            request,
            request_body: body,
            request_body_seen: false,
            request_open: true,
            response: Headers::new(),
            response_body: Vec::new(),
            response_open: false,
            body_window: None,
            logging: false,
            done: false,
            resumes: 0,
            local_replies: 0,
            forwarded: None,
            client_response: None,
            properties,
        }
    }
}

/// A request that was sent through the gateway. Dropping the handle changes nothing; see [`Stream::disconnect`].
#[derive(Clone)]
pub struct Stream {
    pub(crate) gateway: Gateway,
    pub(crate) vm: Rc<Vm>,
    pub(crate) state: Rc<RefCell<StreamState>>,
}

impl Stream {
    /// Where the request path stands now.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let state = self.state.borrow();
        if let Some(forwarded) = &state.forwarded {
            return Outcome::Forwarded {
                headers: forwarded.headers.clone(),
            };
        }
        match (&state.client_response, state.phase) {
            (Some(response), _) => Outcome::Answered {
                status: response.status,
                headers: response.headers.clone(),
                body: response.body.clone(),
            },
            (None, Phase::Ended) => Outcome::Gone,
            (None, _) => Outcome::Paused,
        }
    }

    /// What the client got in the end, from the filter or the upstream; `None` while it waits.
    #[must_use]
    pub fn client_response(&self) -> Option<ClientResponse> {
        self.state.borrow().client_response.clone()
    }

    /// Whether the filter still holds the request.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        matches!(self.outcome(), Outcome::Paused)
    }

    /// Whether `proxy_on_delete` ran: the VM has forgotten the stream.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        !self.vm.ledger.borrow().streams.contains_key(&self.context())
    }

    /// The context id in its VM; other VMs use the same numbers.
    #[must_use]
    pub fn context(&self) -> u32 {
        self.state.borrow().context
    }

    /// The worker it runs on.
    #[must_use]
    pub fn thread(&self) -> Thread {
        self.vm.thread
    }

    /// How often the filter resumed the request: more than once is a bug of the filter.
    #[must_use]
    pub fn resumes(&self) -> u32 {
        self.state.borrow().resumes
    }

    /// How often the filter sent a local response; only the first counts, more than one is a bug of the filter.
    #[must_use]
    pub fn local_replies(&self) -> u32 {
        self.state.borrow().local_replies
    }

    /// The host calls made for this stream's context (see [`Gateway::host_calls`] for all).
    #[must_use]
    pub fn host_calls(&self) -> HostCalls {
        let (thread, context) = (self.thread(), self.context());
        let mut calls = self.gateway.host_calls();
        calls
            .0
            .retain(|call| call.thread == thread && call.context == context);
        calls
    }

    /// The upstream answers: runs the filter's response callbacks, then done, log and delete.
    ///
    /// # Panics
    /// When the request was not forwarded, or was answered already.
    pub fn respond(&self, status: u16, headers: &Headers, body: impl Into<Vec<u8>>) {
        let phase = self.state.borrow().phase;
        assert_eq!(
            phase,
            Phase::Forwarded,
            "only a forwarded, unanswered request can be answered"
        );
        self.vm.respond(&self.state, status, headers, body.into());
        self.gateway.settle();
    }

    /// The client goes away: done, log and delete run at once. Callouts of the stream stay in flight, and their
    /// answers still enter the VM.
    pub fn disconnect(&self) {
        self.vm.close_stream(&self.state);
        self.gateway.settle();
    }
}
