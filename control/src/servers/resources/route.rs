//! From the URL of a resource to the requests that are for its server.

use url::Url;

use super::fault::Fault;
use crate::config::endpoint::parse_issuer;
use crate::config::{HostPattern, Resource as ResourceIdentifier, ServerRoute};

/// What a URL states about a server.
pub(super) struct Route {
    pub(super) route: ServerRoute,
    /// The resource identifier (RFC 9728), where the URL can be one.
    pub(super) resource: Option<ResourceIdentifier>,
}

/// Reads the URL `text` of the field `field`. `is_sse`: its messages go to a sibling of the path.
pub(super) fn route(field: &str, text: &str, is_sse: bool) -> Result<Route, Fault> {
    let bad = |what: &str, cure: &str| {
        let shown: String = text.chars().take(80).collect();
        Fault::new("InvalidURL", format!("{field} {shown:?} {what}: {cure}"))
    };
    const WRITE: &str =
        "write the URL of the server's route at the gateway, as in https://mcp.example.com/kubernetes/mcp";
    let url = Url::parse(text).map_err(|_| bad("is not an absolute URL", WRITE))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(bad("is neither https nor http", WRITE));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(bad("has a user, a password or a fragment", "remove it"));
    }
    let Some(url::Host::Domain(host)) = url.host() else {
        return Err(bad("has no host name", WRITE));
    };
    // As filters do: they refuse a list with one server that they cannot read.
    let Some(HostPattern::Exact(host)) = HostPattern::read(host.trim_end_matches('.')) else {
        return Err(bad("has a host that no request can have", WRITE));
    };
    let path = url.path();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!&'+,;=:@".contains(&byte);
    if !path.bytes().all(is_plain) || path.contains("//") || path.contains(".+") || path.contains("/:") {
        return Err(bad(
            "has a path that is not plain",
            "use letters, digits, '-', '_', '.' and '/'",
        ));
    }
    let prefix = if is_sse {
        path.trim_end_matches('/')
            .rsplit_once('/')
            .map_or("", |(parent, _)| parent)
    } else {
        path.trim_end_matches('/')
    };
    Ok(Route {
        route: ServerRoute {
            host: Some(host),
            path_prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
        },
        resource: identifier(&url, text),
    })
}

/// The identifier that clients compare byte for byte: the URL as written, if it is in its normal form and follows the rules of
/// `servers[].resource`.
fn identifier(url: &Url, text: &str) -> Option<ResourceIdentifier> {
    let is_normal = text == url.as_str() || format!("{text}/") == url.as_str();
    (parse_issuer(text).is_ok() && is_normal).then(|| ResourceIdentifier {
        identifier: text.to_owned(),
        url: url.clone(),
    })
}

/// Whether every request for `inner` is also one for `outer`.
pub(super) fn covers(outer: &ServerRoute, inner: &ServerRoute) -> bool {
    let host = match (&outer.host, &inner.host) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => match outer.strip_prefix('*') {
            Some(suffix) => inner.len() > suffix.len() && inner.ends_with(&suffix.to_ascii_lowercase()),
            None => outer.eq_ignore_ascii_case(inner),
        },
    };
    let path = match (path(outer), path(inner)) {
        ("", _) => true,
        (outer, inner) => inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    };
    host && path
}

fn path(route: &ServerRoute) -> &str {
    route
        .path_prefix
        .as_deref()
        .unwrap_or_default()
        .trim_end_matches('/')
}

/// Whether a route finds requests at all; without it only an annotation leads to the server.
pub(super) const fn is_stated(route: &ServerRoute) -> bool {
    route.host.is_some() || route.path_prefix.is_some()
}
