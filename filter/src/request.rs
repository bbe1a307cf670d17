//! What is read of a request, in one pass over its headers, as bytes: a client may send any byte.

use tokenward_protocol::token_endpoint::LONGEST_SESSION_BYTES;

/// The parts of a request's headers that decide.
#[derive(Debug, Default)]
pub struct RequestHead<'a> {
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:method`.
    pub method: &'a [u8],
    /// `:path`, with its query.
    pub path: &'a [u8],
    /// Every `authorization` value, in order.
    pub authorizations: Vec<&'a [u8]>,
    /// The session handle of the first configured header that carries exactly one usable value.
    pub session: Option<&'a str>,
    /// `traceparent`, copied to the call so that traces join.
    pub traceparent: Option<&'a str>,
}

impl<'a> RequestHead<'a> {
    /// Reads the headers. `session_headers` are lower case, in order of preference.
    ///
    /// A session header that comes twice, is empty, too long or not visible ASCII is not used: the next source is.
    /// Falling back is safe, because the presented token proves itself at control.
    #[must_use]
    pub fn read(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>, session_headers: &[String]) -> Self {
        let mut head = Self::default();
        // Rank, value and whether there was a second one, of each session header that came.
        let mut sessions: Vec<(usize, &'a str, bool)> = Vec::new();
        for (name, value) in headers {
            match name {
                b":authority" => head.authority = value,
                b":method" => head.method = value,
                b":path" => head.path = value,
                b"authorization" => head.authorizations.push(value),
                b"traceparent" => head.traceparent = visible(value, 128),
                _ => {
                    let rank = session_headers
                        .iter()
                        .position(|header| header.as_bytes() == name);
                    if let Some(rank) = rank
                        && let Some(value) = visible(value, LONGEST_SESSION_BYTES)
                    {
                        match sessions.iter_mut().find(|(other, ..)| *other == rank) {
                            Some((.., twice)) => *twice = true,
                            None => sessions.push((rank, value, false)),
                        }
                    }
                }
            }
        }
        let usable = sessions.into_iter().filter(|(.., twice)| !twice);
        head.session = usable.min_by_key(|(rank, ..)| *rank).map(|(_, value, _)| value);
        head
    }
}

fn visible(value: &[u8], longest: usize) -> Option<&str> {
    if value.is_empty() || value.len() > longest || !value.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    std::str::from_utf8(value).ok()
}
