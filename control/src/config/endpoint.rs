//! Which URLs may be called: https anywhere, http on the loopback and, where the configuration names them, at Services of
//! the cluster.

use url::{Host, Url};

/// Whether the host of `url` is a loopback address, also as an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2), or a name under
/// `localhost` (RFC 6761 §6.3), with or without the trailing dot of the root.
#[must_use]
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|address| address.is_loopback())
        }
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Whether a call to `url` stays on this host: a loopback address, or an unspecified one, which connects to a loopback.
#[must_use]
pub(crate) fn is_local(url: &Url) -> bool {
    let is_unspecified = match url.host() {
        Some(Host::Ipv4(address)) => address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            address.is_unspecified()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|address| address.is_unspecified())
        }
        _ => false,
    };
    is_unspecified || is_loopback(url)
}

/// Whether the host of `url` is the name of a Service in the cluster's DNS (`NAME.NAMESPACE.svc`, with or without
/// `.cluster.local`), with or without the trailing dot of the root.
fn is_cluster_service(url: &Url) -> bool {
    let Some(Host::Domain(name)) = url.host() else {
        return false;
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let name = name.strip_suffix(".cluster.local").unwrap_or(name);
    let labels = name.strip_suffix(".svc").map(|service| service.split('.'));
    labels.is_some_and(|labels| {
        let names: Vec<&str> = labels.collect();
        names.len() >= 2 && names.iter().all(|name| !name.is_empty())
    })
}

/// Why a text is not a valid endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEndpoint {
    #[error("is not an absolute URL")]
    NotUrl,
    #[error("must be https: (http: is accepted for loopback addresses only)")]
    NotHttps,
    #[error(
        "must be https: (http: is accepted for loopback addresses and for Services of the cluster, \
         NAME.NAMESPACE.svc.cluster.local)"
    )]
    NotHttpsNorService,
    #[error("must not contain a user, a password or a fragment")]
    Extra,
    #[error("must not contain a query")]
    Query,
}

/// Parses an issuer identifier (OpenID Connect Core §2, RFC 8414 §2) or a resource (RFC 9728 §1.2): without a query.
pub(crate) fn parse_issuer(text: &str) -> Result<Url, BadEndpoint> {
    let url = parse_endpoint(text)?;
    match url.query() {
        None => Ok(url),
        Some(_) => Err(BadEndpoint::Query),
    }
}

/// Parses the URL of an endpoint. It may have a query, which is part of it (RFC 6749 §3.2), but no fragment.
pub(crate) fn parse_endpoint(text: &str) -> Result<Url, BadEndpoint> {
    parse(text, is_loopback, BadEndpoint::NotHttps)
}

/// The same for an endpoint that the operator names, and no document: it may also be a Service of the cluster, with http.
pub(crate) fn parse_own_endpoint(text: &str) -> Result<Url, BadEndpoint> {
    let plain = |url: &Url| is_loopback(url) || is_cluster_service(url);
    parse(text, plain, BadEndpoint::NotHttpsNorService)
}

/// `plain`: whether http is accepted; `not_https`: the error where it is not.
fn parse(text: &str, plain: impl FnOnce(&Url) -> bool, not_https: BadEndpoint) -> Result<Url, BadEndpoint> {
    let url = Url::parse(text).map_err(|_| BadEndpoint::NotUrl)?;
    match url.scheme() {
        "https" if url.has_host() => {}
        "http" if plain(&url) => {}
        "http" | "https" => return Err(not_https),
        _ => return Err(BadEndpoint::NotUrl),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(BadEndpoint::Extra);
    }
    Ok(url)
}
