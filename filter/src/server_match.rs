//! Which server a request is for: the HTTPRoute's annotation, else host and path prefix.

use crate::config::{FilterConfig, HostPattern, Server};

/// The answer to "which server is this request for".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerMatch {
    /// The server with this position in the configuration.
    Server(usize),
    /// None: the request is not ours and passes untouched.
    None,
    /// The route is annotated with a server that the configuration does not have: somebody wants protection that
    /// this filter cannot give, so the request must not pass.
    UnknownAnnotation,
}

/// Finds the server by the route's annotation (if any), else by host and path.
#[must_use]
pub fn find_server(
    config: &FilterConfig,
    annotation: Option<&[u8]>,
    authority: &[u8],
    path: &[u8],
) -> ServerMatch {
    if let Some(name) = annotation {
        return match config
            .servers
            .iter()
            .position(|server| server.name.as_bytes() == name)
        {
            Some(index) => ServerMatch::Server(index),
            None => ServerMatch::UnknownAnnotation,
        };
    }
    let host = host_of(authority);
    let path = path
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let mut best: Option<(Rank, usize)> = None;
    for (index, server) in config.servers.iter().enumerate() {
        if let Some(rank) = rank(server, host, path)
            && best.is_none_or(|(other, _)| rank > other)
        {
            best = Some((rank, index));
        }
    }
    best.map_or(ServerMatch::None, |(_, index)| ServerMatch::Server(index))
}

/// How well a route fits, as Gateway API orders routes: exact host, longer wildcard, any host; then longer path.
type Rank = (u8, usize, usize);

fn rank(server: &Server, host: &[u8], path: &[u8]) -> Option<Rank> {
    let route = server.route.as_ref()?;
    let (kind, length) = match &route.host {
        None => (0, 0),
        Some(HostPattern::Exact(exact)) if exact.as_bytes().eq_ignore_ascii_case(host) => (2, exact.len()),
        Some(HostPattern::Suffix(suffix)) if ends_in(host, suffix.as_bytes()) => (1, suffix.len()),
        Some(_) => return None,
    };
    let rest = path.strip_prefix(route.path_prefix.as_bytes())?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some((kind, length, route.path_prefix.len()))
}

/// Whether at least one more label stands before `suffix`.
fn ends_in(host: &[u8], suffix: &[u8]) -> bool {
    let before = host.len().checked_sub(suffix.len()).filter(|length| *length > 0);
    before
        .and_then(|length| host.get(length..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// The host of an authority, without port; an IPv6 literal keeps its brackets.
fn host_of(authority: &[u8]) -> &[u8] {
    let bracket = authority.iter().rposition(|byte| *byte == b']');
    let end = authority
        .iter()
        .rposition(|byte| *byte == b':')
        .filter(|colon| bracket.is_none_or(|bracket| *colon > bracket));
    authority
        .get(..end.unwrap_or(authority.len()))
        .unwrap_or(authority)
}
