//! Callouts (`proxy_http_call`): what the module requested, and the scripted reply of Envoy.

use super::headers::Headers;
use super::recording::Thread;

/// What `proxy_http_call` returned at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// Sent; the answer comes to `proxy_on_http_call_response`.
    Sent,
    /// `BadArgument`: Envoy has no such cluster.
    UnknownCluster,
    /// `BadArgument`: `:method`, `:path` or `:authority` is missing.
    MissingPseudoHeader,
    /// `InternalFailure`: no host in the cluster, or its circuit breaker is open.
    NoHost,
}

/// One callout as the module made it.
#[derive(Debug, Clone)]
pub struct Callout {
    /// The cluster.
    pub cluster: String,
    /// Pseudo-headers and headers, as the module gave them.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The timeout; 0 means none.
    pub timeout_ms: u32,
    /// Where the calling VM lives.
    pub thread: Thread,
    /// The calling context.
    pub context: u32,
    /// The token that the module got; counted per VM, so not unique. 0 when nothing was sent.
    pub token: u32,
    /// Virtual milliseconds since the start.
    pub elapsed_ms: u64,
    /// Wall time, Unix milliseconds.
    pub at_ms: u64,
    /// What became of it at once.
    pub dispatch: Dispatch,
}

/// An answer that reaches the module after `after_ms` of virtual time.
#[derive(Debug, Clone)]
pub struct CalloutAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) after_ms: u64,
}

impl CalloutAnswer {
    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Only after `after_ms`; 0, the default, is as soon as the VM has returned.
    #[must_use]
    pub fn after_ms(mut self, after_ms: u64) -> Self {
        self.after_ms = after_ms;
        self
    }
}

/// What the script lets happen to a callout.
#[derive(Debug, Clone)]
pub enum CalloutReply {
    /// An answer. One that is later than the callout's timeout becomes Envoy's 504.
    Answer(CalloutAnswer),
    /// The upstream is silent: Envoy's 504 after exactly the timeout, nothing where there is none.
    Silent,
    /// No callback ever comes, not even at the timeout.
    Never,
    /// Connection refused: Envoy's own 503 with a text body, without any header of the upstream.
    ConnectionRefused,
    /// The upstream is reset after its headers: the callback has no headers at all.
    ResetMidBody {
        /// Virtual time until then.
        after_ms: u64,
    },
    /// `proxy_http_call` itself returns `InternalFailure`; no callback.
    NoHost,
}

impl CalloutReply {
    /// An answer with this status and nothing else; add to it, then `.into()`.
    #[must_use]
    pub fn answer(status: u16) -> CalloutAnswer {
        CalloutAnswer {
            status,
            headers: Headers::new(),
            body: Vec::new(),
            after_ms: 0,
        }
    }
}

impl From<CalloutAnswer> for CalloutReply {
    fn from(answer: CalloutAnswer) -> Self {
        Self::Answer(answer)
    }
}

/// What the callback of a callout sees.
#[derive(Debug, Clone)]
pub(crate) struct CalloutArrival {
    /// Empty where the stream was reset or timed out after the headers.
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// gRPC-like status and message of `proxy_get_status`.
    pub(crate) status: Option<(u32, &'static str)>,
}

/// Whether, when and with what a callout comes back.
pub(crate) enum Fate {
    Inline(Dispatch),
    Lost,
    Arrives { after_ms: u64, arrival: CalloutArrival },
}

impl CalloutReply {
    /// What Envoy makes of this reply for a callout with `timeout_ms` (0: none).
    pub(crate) fn fate(self, timeout_ms: u32) -> Fate {
        let timeout = (timeout_ms > 0).then_some(u64::from(timeout_ms));
        let (after_ms, arrival) = match self {
            Self::NoHost => return Fate::Inline(Dispatch::NoHost),
            Self::Never => return Fate::Lost,
            Self::Silent => match timeout {
                Some(timeout) => (timeout, late()),
                None => return Fate::Lost,
            },
            Self::ConnectionRefused => (0, refused()),
            Self::ResetMidBody { after_ms } => (after_ms, reset()),
            Self::Answer(answer) => (answer.after_ms, upstream_answer(answer)),
        };
        match timeout {
            Some(timeout) if after_ms >= timeout => Fate::Arrives {
                after_ms: timeout,
                arrival: late(),
            },
            _ => Fate::Arrives { after_ms, arrival },
        }
    }
}

fn upstream_answer(answer: CalloutAnswer) -> CalloutArrival {
    let mut headers = Headers::new().with(":status", answer.status.to_string());
    for (name, value) in answer.headers.iter() {
        headers.add(name, value);
    }
    headers.add("x-envoy-upstream-service-time", answer.after_ms.to_string());
    CalloutArrival {
        headers,
        body: answer.body,
        status: None,
    }
}

fn late() -> CalloutArrival {
    envoys_own(504, "upstream request timeout")
}

fn refused() -> CalloutArrival {
    envoys_own(
        503,
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, \
         transport failure reason: delayed connect error: Connection refused",
    )
}

fn reset() -> CalloutArrival {
    CalloutArrival {
        headers: Headers::new(),
        body: Vec::new(),
        status: Some((11, "reset")),
    }
}

fn envoys_own(status: u16, text: &str) -> CalloutArrival {
    CalloutArrival {
        headers: Headers::new()
            .with(":status", status.to_string())
            .with("content-length", text.len().to_string())
            .with("content-type", "text/plain"),
        body: text.into(),
        status: None,
    }
}
