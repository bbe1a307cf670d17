//! Finds the server of a request: by the HTTPRoute's annotation, else by host and path prefix.

use crate::authority::plain_host;
use crate::config::FilterConfig;

/// The server of a request, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerMatch {
    /// The server with this position in the table.
    Server(usize),
    /// No server; such a request passes untouched.
    None,
    /// No server, and the configuration refuses such a request.
    Unmatched,
    /// The route is annotated with a server that is not in the configuration. The annotation requires protection that this
    /// filter cannot give, so the request must not pass.
    UnknownAnnotation,
    /// Hosts decide, and the request's authority is not a plain host: two parsers could take it for two hosts.
    UnreadableHost,
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
    let (index, servers) = (&config.table.index, &config.table.servers);
    if let Some(name) = annotation {
        let named = index.named(servers, name);
        return named.map_or(ServerMatch::UnknownAnnotation, ServerMatch::Server);
    }
    let host = if config.table.hosts_decide {
        match plain_host(authority) {
            Some(host) => host,
            None => return ServerMatch::UnreadableHost,
        }
    } else {
        &[]
    };
    match index.routed(servers, host, path) {
        Some(server) => ServerMatch::Server(server),
        None if config.unmatched.passes(host, path) => ServerMatch::None,
        None => ServerMatch::Unmatched,
    }
}

/// A request's path up to its query or fragment.
#[must_use]
pub fn path_without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}
