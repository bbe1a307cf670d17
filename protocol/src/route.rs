//! Which requests a server is for: the host and the beginning of the path, as both configurations write them. A matcher that no
//! request can match would silently leave its server unprotected, so it is a fault.

use crate::json::quote;

/// Host and path of a server's route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Lower case; `None` matches any host.
    pub host: Option<HostPattern>,
    /// Without a trailing slash; the empty prefix matches any path.
    pub path_prefix: String,
}

/// A host of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// Any host that ends so (`.example.com`), with at least one more label before.
    Suffix(String),
}

/// Why a matcher cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRoute {
    /// Of the host.
    Host(String),
    /// Of the path prefix.
    PathPrefix(String),
}

impl Route {
    /// Reads a matcher; `None` when neither is there.
    ///
    /// # Errors
    /// [`BadRoute`].
    pub fn read(host: Option<&str>, path_prefix: Option<&str>) -> Result<Option<Self>, BadRoute> {
        if host.is_none() && path_prefix.is_none() {
            return Ok(None);
        }
        let host = host.map(read_host).transpose().map_err(BadRoute::Host)?;
        let path_prefix = path_prefix.unwrap_or_default();
        check_prefix(path_prefix).map_err(BadRoute::PathPrefix)?;
        Ok(Some(Self {
            host,
            path_prefix: path_prefix.trim_end_matches('/').to_owned(),
        }))
    }
}

fn read_host(written: &str) -> Result<HostPattern, String> {
    let host = written.to_ascii_lowercase();
    let suffix = host.strip_prefix('*').filter(|rest| rest.starts_with('.'));
    if is_host_name(suffix.and_then(|suffix| suffix.get(1..)).unwrap_or(&host)) {
        return Ok(match suffix {
            Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
            None => HostPattern::Exact(host),
        });
    }
    let mut fault = format!(
        "{} must be a host name without scheme, port and final dot, or \"*.example.com\"; without it any host matches",
        quote(written)
    );
    add_meant(&mut fault, &meant_host(host.as_bytes()));
    Err(fault)
}

fn add_meant(fault: &mut String, meant: &str) {
    if !meant.is_empty() {
        fault.push_str("; did you mean \"");
        fault.push_str(meant);
        fault.push_str("\"?");
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// What a request's host can be without port and final dot: labels of letters, digits, `-` and `_`.
fn is_host_name(name: &str) -> bool {
    let mut labels = name.as_bytes().split(|byte| *byte == b'.');
    name.len() <= 253 && name.bytes().all(is_host_byte) && labels.all(|label| (1..=63).contains(&label.len()))
}

/// The host that `host` may be meant as, or nothing: the first part of it that is a name with a dot.
fn meant_host(host: &[u8]) -> String {
    let mut meant = String::new();
    if host.is_ascii() {
        for part in host.split(|byte| !is_host_byte(*byte)) {
            let name = std::str::from_utf8(part).unwrap_or_default();
            let name = name.trim_matches('.');
            if name.bytes().any(|byte| byte == b'.') && is_host_name(name) {
                // A wildcard stands for whole labels, and for the first ones only.
                if part.first() == Some(&b'.') && host.contains(&b'*') {
                    meant.push_str("*.");
                }
                meant.push_str(name);
                break;
            }
        }
    }
    meant
}

/// Whether a normalised path can begin so.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let Some(why) = why_not_normal(prefix.as_bytes()) else {
        return Ok(());
    };
    let mut fault = format!("{} {why}", quote(prefix));
    add_meant(&mut fault, &meant_prefix(prefix));
    Err(fault)
}

fn why_not_normal(prefix: &[u8]) -> Option<&'static str> {
    if prefix.is_empty() {
        return None;
    }
    if prefix.first() != Some(&b'/') {
        return Some("must start with \"/\"");
    }
    if prefix.contains(&b'%') {
        return Some("must not be percent-encoded: such a path has several spellings");
    }
    // RFC 3986 §3.3 without the characters of globs, regular expressions and templates.
    let path_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~!&'+,;=:@".contains(byte);
    let of_pattern = |pair: &[u8]| pair == b".+" || pair == b"/:";
    if !prefix.iter().all(path_byte) || prefix.windows(2).any(of_pattern) {
        return Some(
            "must be the beginning of a path, not a pattern: no query, fragment, blank, \"*\" or other sign of a glob or regular expression",
        );
    }
    let path = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let mut segments = path.split(|byte| *byte == b'/').skip(1);
    segments
        .any(|segment| segment.is_empty() || segment == b"." || segment == b"..")
        .then_some("must be normalised: no \"//\", \"/./\" or \"/../\"")
}

/// The prefix that `prefix` may be meant as, or nothing: its plain beginning, in whole segments.
fn meant_prefix(prefix: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'/');
    let (mut meant, mut begins) = (String::new(), true);
    for byte in prefix.bytes().skip_while(|byte| !plain(*byte)) {
        match byte {
            // It was a URL, or a template.
            b':' => return String::new(),
            b'/' => begins = true,
            byte if plain(byte) => {
                if begins {
                    meant.push('/');
                    begins = false;
                }
                meant.push(char::from(byte));
            }
            _ => break,
        }
    }
    if meant == prefix { String::new() } else { meant }
}
