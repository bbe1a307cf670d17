//! Which addresses may be called: https anywhere, http on the loopback only.

use url::{Host, Url};

/// Whether `url` names this machine itself: by a loopback address, also one written as IPv6 (RFC 4291 §2.5.5.2), or by a
/// name under `localhost` (RFC 6761 §6.3), with or without the trailing dot of the root.
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

/// Whether a call to `url` ends at this machine: a loopback, or an unspecified address, which connects to one.
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

/// Why a text is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEndpoint {
    #[error("is not an absolute URL")]
    NotUrl,
    #[error("must be https: (http: is accepted for loopback addresses only)")]
    NotHttps,
    #[error("must not hold a user, a password or a fragment")]
    Extra,
    #[error("must not hold a query")]
    Query,
}

/// Reads an issuer identifier (OpenID Connect Core §2, RFC 8414 §2) or a resource (RFC 9728 §1.2): without a query.
pub(crate) fn parse_issuer(text: &str) -> Result<Url, BadEndpoint> {
    let url = parse_endpoint(text)?;
    match url.query() {
        None => Ok(url),
        Some(_) => Err(BadEndpoint::Query),
    }
}

/// Reads the address of an endpoint. It may have a query, which is part of it (RFC 6749 §3.2), but no fragment.
pub(crate) fn parse_endpoint(text: &str) -> Result<Url, BadEndpoint> {
    let url = Url::parse(text).map_err(|_| BadEndpoint::NotUrl)?;
    match url.scheme() {
        "https" if url.has_host() => {}
        "http" if is_loopback(&url) => {}
        "http" | "https" => return Err(BadEndpoint::NotHttps),
        _ => return Err(BadEndpoint::NotUrl),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(BadEndpoint::Extra);
    }
    Ok(url)
}
