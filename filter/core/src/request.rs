//! The parts of a request that the filter reads, in one pass over its headers, as bytes: a client may send any byte.

use tokenward_protocol::bytes::{are_visible, is_name, same_bytes};
use tokenward_protocol::token_endpoint::MAX_SESSION_BYTES;

use crate::mcp_method::McpMethod;

/// Session headers that a configuration may name.
pub const MOST_SESSION_HEADERS: usize = 8;

/// The parts of a request's headers that decide.
#[derive(Debug, Default)]
pub struct RequestHead<'a> {
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:method`.
    pub method: &'a [u8],
    /// What the request is for, by its `mcp-method` and `:method`.
    pub mcp_method: McpMethod,
    /// `:path`, with its query.
    pub path: &'a [u8],
    /// The `authorization` values.
    pub authorization: Authorization<'a>,
    /// The session handle of the first configured header that carries exactly one usable value.
    pub session: Option<&'a str>,
    /// `traceparent`, copied to the call so that traces join.
    pub traceparent: Option<&'a str>,
}

/// The `authorization` values of a request. Only one is usable, so the others are counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Authorization<'a> {
    first: Option<&'a [u8]>,
    others: usize,
}

impl<'a> Authorization<'a> {
    fn add(&mut self, value: &'a [u8]) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.others = self.others.saturating_add(1),
        }
    }

    /// The values, in order; those after the first as empty ones.
    pub fn values(&self) -> impl Iterator<Item = &'a [u8]> {
        let others = std::iter::repeat_n(&[][..], self.others);
        self.first.into_iter().chain(others)
    }
}

/// The values of one session header.
#[derive(Debug, Default, Clone, Copy)]
enum Came<'a> {
    #[default]
    Nothing,
    Once(&'a str),
    Twice,
}

impl<'a> RequestHead<'a> {
    /// Reads the headers. `session_headers` are lower case, in order of preference, [`MOST_SESSION_HEADERS`] at the
    /// most.
    ///
    /// A session header that appears twice, is empty, too long or not visible ASCII is ignored in favour of the next source.
    /// Falling back is safe, because control verifies the presented token.
    #[must_use]
    pub fn read(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>, session_headers: &[String]) -> Self {
        let mut head = Self::default();
        let mut sessions = [Came::default(); MOST_SESSION_HEADERS];
        for (name, value) in headers {
            // By length first: this loop mostly compares.
            match name.len() {
                5 if same_bytes(name, b":path") => head.path = value,
                7 if same_bytes(name, b":method") => head.method = value,
                10 if is_name(name, b":authority") => head.authority = value,
                10 if is_name(name, b"mcp-method") => head.note_mcp_method(value),
                11 if is_name(name, b"traceparent") => head.traceparent = visible(value, 128),
                13 if is_name(name, b"authorization") => head.authorization.add(value),
                _ => note_session(&mut sessions, session_headers, name, value),
            }
        }
        if head.method == b"GET" {
            head.mcp_method = McpMethod::GET;
        }
        let mut sessions = sessions.into_iter().take(session_headers.len());
        head.session = sessions.find_map(|came| match came {
            Came::Once(value) => Some(value),
            Came::Nothing | Came::Twice => None,
        });
        head
    }

    fn note_mcp_method(&mut self, value: &[u8]) {
        self.mcp_method = match self.mcp_method {
            McpMethod::NONE => McpMethod::of_header(value),
            _ => McpMethod::OTHER,
        };
    }
}

fn note_session<'a>(
    sessions: &mut [Came<'a>; MOST_SESSION_HEADERS],
    names: &[String],
    name: &[u8],
    value: &'a [u8],
) {
    for (came, other) in sessions.iter_mut().zip(names) {
        if other.len() == name.len() && same_bytes(other.as_bytes(), name) {
            if let Some(value) = visible(value, MAX_SESSION_BYTES) {
                *came = match came {
                    Came::Nothing => Came::Once(value),
                    Came::Once(_) | Came::Twice => Came::Twice,
                };
            }
            return;
        }
    }
}

fn visible(value: &[u8], longest: usize) -> Option<&str> {
    if value.is_empty() || value.len() > longest || !are_visible(value) {
        return None;
    }
    std::str::from_utf8(value).ok()
}
