//! Which server a request is for: the HTTPRoute's annotation, else host and path prefix.

use crate::config::FilterConfig;

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
    let (index, servers) = (&config.index, &config.servers);
    if let Some(name) = annotation {
        let named = index.named(servers, name);
        return named.map_or(ServerMatch::UnknownAnnotation, ServerMatch::Server);
    }
    let path = path
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let routed = index.routed(servers, host_of(authority), path);
    routed.map_or(ServerMatch::None, ServerMatch::Server)
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
