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

/// Finds the server by the route's annotation (if any), else by host and path. `path` has no query, see
/// [`path_without_query`].
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
    let routed = index.routed(servers, host_of(authority), path);
    routed.map_or(ServerMatch::None, ServerMatch::Server)
}

/// A request's path up to its query or fragment.
#[must_use]
pub fn path_without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// The host of an authority, without port; an IPv6 literal keeps its brackets.
fn host_of(authority: &[u8]) -> &[u8] {
    // What comes first from the end: a port's colon, or the bracket behind which there is none.
    let end = authority.iter().rposition(|byte| matches!(byte, b':' | b']'));
    end.and_then(|end| authority.get(..end).filter(|_| authority.get(end) == Some(&b':')))
        .unwrap_or(authority)
}
