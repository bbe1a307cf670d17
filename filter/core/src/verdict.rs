//! What the filter decides for a request and for a server's response; the host carries it out.

use std::rc::Rc;

use crate::reply::Reply;

/// What the host does with the request that it just showed to the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it untouched.
    Continue,
    /// Set `authorization` to this value and forward it.
    ContinueWith(Rc<str>),
    /// Pause it; the filter resumes it or replies to it later.
    Pause,
    /// Reply to it.
    Reply(Rc<Reply>),
}

/// What the host does with a server's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseVerdict {
    /// Pass it on untouched.
    PassOn,
    /// Turn it into a 503 with this `Retry-After`, without its `www-authenticate`.
    AsUnavailable {
        /// Whole seconds.
        retry_after: String,
    },
}
