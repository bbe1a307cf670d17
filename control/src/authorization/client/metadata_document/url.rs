//! The URL of a metadata document, which is the `client_id`: compared as a string and never normalized. Pure.

use url::Url;

use crate::config::redirect_uri::{host_and_port, is_uri_character};

/// The longest URL of a document, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// Why a `client_id` is no URL of a metadata document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDocumentUrl {
    /// Longer than [`MAX_URL_BYTES`].
    #[error("the URL is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Not an https URL in the characters of RFC 3986.
    #[error("not an https URL in the characters of RFC 3986")]
    NotHttps,
    /// It has a user or password.
    #[error("the URL has a user name before the host")]
    UserInfo,
    /// It has a fragment.
    #[error("the URL has a fragment")]
    Fragment,
    /// Its host or port is not written plainly.
    #[error("the URL's host or port is not written plainly")]
    Host,
    /// Another port than 443.
    #[error("documents are fetched from port 443 only")]
    Port,
    /// No path, or `/` alone.
    #[error("the URL has no path")]
    NoPath,
    /// A segment `.` or `..`.
    #[error("the URL's path has a segment . or ..")]
    DotSegment,
    /// A parser would write it in another way.
    #[error("the URL is not in its normal form")]
    NotNormal,
}

/// The URL of a metadata document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentUrl {
    url: Url,
    host: String,
    origin: String,
    local: bool,
}

impl DocumentUrl {
    /// Reads a `client_id`. `local` is for tests on one machine: any port, and http on a loopback host.
    ///
    /// # Errors
    /// [`BadDocumentUrl`].
    pub fn read(client_id: &str, local: bool) -> Result<Self, BadDocumentUrl> {
        if client_id.len() > MAX_URL_BYTES {
            return Err(BadDocumentUrl::TooLong);
        }
        if client_id.contains('#') {
            return Err(BadDocumentUrl::Fragment);
        }
        if !client_id.bytes().all(is_uri_character) {
            return Err(BadDocumentUrl::NotHttps);
        }
        let (scheme, rest) = client_id.split_once("://").ok_or(BadDocumentUrl::NotHttps)?;
        if !matches!(scheme, "https" | "http") {
            return Err(BadDocumentUrl::NotHttps);
        }
        let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BadDocumentUrl::UserInfo);
        }
        let (host, port) = host_and_port(authority).ok_or(BadDocumentUrl::Host)?;
        let is_https = scheme == "https" || (scheme == "http" && local && is_loopback(host));
        if !is_https {
            return Err(BadDocumentUrl::NotHttps);
        }
        if !local && port.is_some_and(|port| port != 443) {
            return Err(BadDocumentUrl::Port);
        }
        let path = path_and_query.split('?').next().unwrap_or_default();
        if path.is_empty() || path == "/" {
            return Err(BadDocumentUrl::NoPath);
        }
        if path.split('/').any(is_dot_segment) {
            return Err(BadDocumentUrl::DotSegment);
        }
        let url = Url::parse(client_id).map_err(|_| BadDocumentUrl::Host)?;
        if url.host_str() != Some(host) {
            return Err(BadDocumentUrl::Host);
        }
        // What is fetched is what was compared: only a stated default port is left out.
        let without_port = client_id.replacen(&format!("://{host}:443"), &format!("://{host}"), 1);
        if url.as_str() != client_id && url.as_str() != without_port {
            return Err(BadDocumentUrl::NotNormal);
        }
        Ok(Self {
            host: host.to_owned(),
            origin: format!("{scheme}://{authority}"),
            url,
            local,
        })
    }

    /// Reads a URL that the document names, by the same rules.
    ///
    /// # Errors
    /// [`BadDocumentUrl`].
    pub fn another(&self, url: &str) -> Result<Self, BadDocumentUrl> {
        Self::read(url, self.local)
    }

    /// The URL to fetch.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The host without the port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `scheme://host:port` as written.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// `.` and `..`, also encoded: parsers resolve `%2e` too (WHATWG URL).
fn is_dot_segment(segment: &str) -> bool {
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    decoded == "." || decoded == ".."
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1" || host == "[::1]"
}
