//! Which addresses may be called: https anywhere, http on the loopback only.

use url::{Host, Url};

/// Whether `url` names this machine itself.
#[must_use]
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEndpoint {
    #[error("is not an absolute URL")]
    NotUrl,
    #[error("must be https: (http: is accepted for loopback addresses only)")]
    NotHttps,
    #[error("must not hold a user, a password, a query or a fragment")]
    Extra,
}

/// Reads the address of an issuer or of one of its endpoints.
pub(crate) fn parse_endpoint(text: &str) -> Result<Url, BadEndpoint> {
    let url = Url::parse(text).map_err(|_| BadEndpoint::NotUrl)?;
    match url.scheme() {
        "https" if url.has_host() => {}
        "http" if is_loopback(&url) => {}
        "http" | "https" => return Err(BadEndpoint::NotHttps),
        _ => return Err(BadEndpoint::NotUrl),
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(BadEndpoint::Extra);
    }
    Ok(url)
}
