//! Redirect URIs: which ones a client may have, and whether a requested one is one of them. Pure.
//!
//! Compared as strings, except that a loopback redirect may name any port (RFC 8252 §7.3, extended to `localhost`: native
//! clients listen on a port of the moment and many name the host that way). What two parsers could read differently is no
//! redirect URI: a browser follows the redirect, and its parser turns `http:\\evil`, `http://127.1` and full-width letters
//! into something else than what was compared.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::Url;

/// The longest redirect URI, in bytes.
pub const MAX_REDIRECT_URI_BYTES: usize = 2048;

/// Schemes that run code, or open something local, in the browser that follows the redirect.
const FORBIDDEN_SCHEMES: [&str; 12] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "javascript",
    "jar",
    "vbscript",
    "view-source",
    "ws",
];

/// Why a text is not accepted as a redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRedirectUri {
    /// Longer than [`MAX_REDIRECT_URI_BYTES`].
    #[error("longer than {MAX_REDIRECT_URI_BYTES} bytes")]
    TooLong,
    /// Not an absolute URI in the characters of RFC 3986 §2: white space, a backslash or a letter outside ASCII.
    #[error("not an absolute URI in the characters of RFC 3986")]
    Characters,
    /// It has a fragment (RFC 6749 §3.1.2).
    #[error("it has a fragment")]
    Fragment,
    /// It has a user or password before the host.
    #[error("it has a user name before the host")]
    UserInfo,
    /// The host or port is not written in the one way that every parser reads alike.
    #[error(
        "its host or port is not written plainly: lower case, no encoding, no trailing dot, full IP addresses"
    )]
    Host,
    /// `http` to a host that is not this machine.
    #[error("http is accepted for localhost, 127.0.0.0/8 and [::1] only; use https")]
    PlainHttp,
    /// A private-use scheme that is not configured.
    #[error("this URI with a private-use scheme is not in clients.private_use_redirects")]
    PrivateUse,
    /// A scheme that runs code or opens something local.
    #[error("its scheme is not for redirects")]
    Scheme,
}

/// Where a redirect leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectTarget {
    /// An https URL.
    Https,
    /// A program on the user's own machine: `http` with a loopback host.
    Loopback,
    /// A program that registered a scheme at the user's operating system (RFC 8252 §7.1).
    PrivateUse,
}

/// An accepted redirect URI, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    uri: String,
    target: RedirectTarget,
    /// Host without the port; for a private-use scheme what stands before the path.
    host: String,
    /// `scheme://host:port` without a path; for a private-use scheme `scheme:`.
    origin: String,
    /// Of a loopback redirect: the URI up to the port, and from the path on.
    around_port: Option<(String, String)>,
}

impl RedirectUri {
    /// Reads `uri`. `private_use` lists the accepted URIs with a private-use scheme.
    ///
    /// # Errors
    /// [`BadRedirectUri`].
    pub fn read(uri: &str, private_use: &[String]) -> Result<Self, BadRedirectUri> {
        if uri.len() > MAX_REDIRECT_URI_BYTES {
            return Err(BadRedirectUri::TooLong);
        }
        if uri.contains('#') {
            return Err(BadRedirectUri::Fragment);
        }
        if !uri.bytes().all(is_uri_character) {
            return Err(BadRedirectUri::Characters);
        }
        let (scheme, rest) = uri.split_once(':').ok_or(BadRedirectUri::Characters)?;
        if !is_scheme(scheme) {
            return Err(BadRedirectUri::Characters);
        }
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        if !is_web {
            return Self::private_use(uri, scheme, rest, private_use);
        }
        // Upper case is another spelling of the same URI, and then a comparison as strings means something else.
        if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(BadRedirectUri::Scheme);
        }
        let rest = rest.strip_prefix("//").ok_or(BadRedirectUri::Host)?;
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        Self::web(uri, scheme, authority, path)
    }

    fn web(uri: &str, scheme: &str, authority: &str, path: &str) -> Result<Self, BadRedirectUri> {
        if authority.contains('@') {
            return Err(BadRedirectUri::UserInfo);
        }
        let (host, port) = host_and_port(authority).ok_or(BadRedirectUri::Host)?;
        let target = match (scheme, is_loopback(host)) {
            ("https", _) => RedirectTarget::Https,
            (_, true) => RedirectTarget::Loopback,
            // `127.1`, `LOCALHOST` and `[::ffff:127.0.0.1]` are other spellings, and other hosts to some parsers.
            (_, false) => return Err(BadRedirectUri::PlainHttp),
        };
        // The browser's parser must find the same host and port.
        let parsed = Url::parse(uri).map_err(|_| BadRedirectUri::Host)?;
        let same_host = parsed.host_str() == Some(host);
        let same_port = parsed.port_or_known_default() == port.or(parsed.port_or_known_default());
        if !same_host || !same_port || !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(BadRedirectUri::Host);
        }
        let around_port =
            (target == RedirectTarget::Loopback).then(|| (format!("{scheme}://{host}"), path.to_owned()));
        Ok(Self {
            uri: uri.to_owned(),
            target,
            host: host.to_owned(),
            origin: format!("{scheme}://{authority}"),
            around_port,
        })
    }

    fn private_use(
        uri: &str,
        scheme: &str,
        rest: &str,
        private_use: &[String],
    ) -> Result<Self, BadRedirectUri> {
        if FORBIDDEN_SCHEMES
            .iter()
            .any(|forbidden| scheme.eq_ignore_ascii_case(forbidden))
        {
            return Err(BadRedirectUri::Scheme);
        }
        if !private_use.iter().any(|listed| listed == uri) {
            return Err(BadRedirectUri::PrivateUse);
        }
        let after_slashes = rest.trim_start_matches('/');
        let authority = after_slashes.split(['/', '?']).next().unwrap_or_default();
        let host = if rest.starts_with("//") && !authority.is_empty() {
            format!("{scheme}://{authority}")
        } else {
            format!("{scheme}:")
        };
        Ok(Self {
            uri: uri.to_owned(),
            target: RedirectTarget::PrivateUse,
            host,
            origin: format!("{scheme}:"),
            around_port: None,
        })
    }

    /// The URI as requested or registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// Where it leads.
    #[must_use]
    pub const fn target(&self) -> RedirectTarget {
        self.target
    }

    /// Whether it leads to a program on the user's own machine over `http`. Any program there can listen for it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.target == RedirectTarget::Loopback
    }

    /// What the consent page shows as the place that the user is sent to: the host; for a private-use scheme the scheme and
    /// what stands in the host's place.
    #[must_use]
    pub fn host_shown(&self) -> &str {
        &self.host
    }

    /// `scheme://host:port` as written, for `form-action` of a Content-Security-Policy; `scheme:` for a private-use scheme.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether this is `registered` with another port: both lead to the same loopback host, path and query. The registered
    /// port is irrelevant too, because clients whose port is taken choose another one.
    #[must_use]
    pub fn is_on_another_port_of(&self, registered: &Self) -> bool {
        self.around_port.is_some() && self.around_port == registered.around_port
    }
}

/// RFC 3986 §2 without `#`.
pub(crate) fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

/// RFC 3986 §3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Host and port of an authority without userinfo; `None` unless both are written plainly.
pub(crate) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']')? + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        // A port with leading zeros is another spelling.
        Some(digits) => {
            let port: u16 = digits.parse().ok().filter(|port| *port > 0)?;
            if port.to_string() != digits {
                return None;
            }
            Some(port)
        }
    };
    is_plain_host(host).then_some((host, port))
}

/// Whether every parser reads `host` alike: an IP address in its canonical form, or a name of lower-case labels whose last
/// one is not a number (the URL standard reads such a name as an IPv4 address).
fn is_plain_host(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'))
    {
        let parsed: Result<Ipv6Addr, _> = address.parse();
        return parsed.is_ok_and(|parsed| parsed.to_string() == address);
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        let inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(inner)
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(is_label)
        && last.starts_with(|first: char| first.is_ascii_lowercase())
}

/// The loopback hosts of RFC 8252 §7.3, and `localhost` (§8.3).
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host == "[::1]"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}
