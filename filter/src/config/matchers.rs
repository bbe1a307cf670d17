//! The `host` and `path_prefix` of a server. One that no request can be on would leave its server unprotected in silence,
//! so such a matcher is a fault that names the field.

use super::BadConfig;
use super::fields::Fields;

/// Host and path of a server's route.
#[derive(Debug)]
pub struct Route {
    /// Lower case; `None` matches any host.
    pub host: Option<HostPattern>,
    /// Without a trailing slash; the empty prefix matches any path.
    pub path_prefix: String,
}

/// A host of a route.
#[derive(Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// Any host that ends so (`.example.com`), with at least one more label before.
    Suffix(String),
}

/// Takes `host` and `path_prefix`; `None` when neither is there.
pub(super) fn route(fields: &mut Fields<'_>) -> Result<Option<Route>, BadConfig> {
    let (host, path_prefix) = (
        fields.optional_text("host")?,
        fields.optional_text("path_prefix")?,
    );
    if host.is_none() && path_prefix.is_none() {
        return Ok(None);
    }
    let host = host.map(|host| read_host(&host)).transpose();
    let host = host.map_err(|fault| fields.fault("host", fault))?;
    let path_prefix = path_prefix.unwrap_or_default();
    check_prefix(&path_prefix).map_err(|fault| fields.fault("path_prefix", fault))?;
    Ok(Some(Route {
        host,
        path_prefix: path_prefix.trim_end_matches('/').to_owned(),
    }))
}

fn read_host(written: &str) -> Result<HostPattern, String> {
    let host = written.to_ascii_lowercase();
    let (is_wildcard, name) = match host.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, host.as_str()),
    };
    if is_host_name(name) {
        return Ok(match is_wildcard {
            true => HostPattern::Suffix(format!(".{name}")),
            false => HostPattern::Exact(host),
        });
    }
    let mut fault =
        format!("{written:?} must be a host name without scheme, port and final dot, or \"*.example.com\"");
    if host == "*" {
        fault.push_str("; leave it out to match any host");
    } else if let Some(meant) = meant_host(&host) {
        fault.push_str("; did you mean \"");
        fault.push_str(&meant);
        fault.push_str("\"?");
    }
    Err(fault)
}

/// What a request's host can be once port and final dot are off: labels of letters, digits, `-` and `_`.
fn is_host_name(name: &str) -> bool {
    let label_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut labels = name.split('.');
    name.len() <= 253 && labels.all(|label| (1..=63).contains(&label.len()) && label.bytes().all(label_byte))
}

/// The host that somebody who wrote `host` may have had in mind.
fn meant_host(host: &str) -> Option<String> {
    let rest = host.split_once("://").map_or(host, |(_, rest)| rest);
    let rest = rest.split(['/', ':', '?', '#']).next().unwrap_or(rest);
    let rest = rest.rsplit('@').next().unwrap_or(rest);
    let rest = rest.trim_matches(|c: char| c.is_whitespace() || c == '.');
    let name = match rest.rsplit_once('*') {
        // A wildcard stands for whole labels, and for the first ones only.
        Some((_, after)) => after.split_once('.')?.1,
        None => rest,
    };
    let star = if name.len() < rest.len() { "*." } else { "" };
    (is_host_name(name) && name.contains('.')).then(|| format!("{star}{name}"))
}

/// Whether a normalised path can begin so.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let fault = |why: &str| {
        let mut fault = format!("{prefix:?} {why}");
        if let Some(meant) = meant_prefix(prefix) {
            fault.push_str("; did you mean \"");
            fault.push_str(&meant);
            fault.push_str("\"?");
        }
        fault
    };
    if prefix.is_empty() {
        return Ok(());
    }
    if !prefix.starts_with('/') {
        return Err(fault("must start with \"/\""));
    }
    // RFC 3986 §3.3 without what only a glob, a regular expression or a template writes.
    let path_byte = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'/' | b'-'
                    | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'&'
                    | b'\''
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b':'
                    | b'@'
            )
    };
    if prefix.contains('%') {
        return Err(fault(
            "must not be percent-encoded: such a path has several spellings",
        ));
    }
    if !prefix.bytes().all(path_byte) || prefix.contains(".+") || prefix.contains("/:") {
        return Err(fault(
            "must be the beginning of a path, not a pattern: no query, fragment, blank, \"*\" or other sign of a glob or regular expression",
        ));
    }
    let path = prefix.strip_suffix('/').unwrap_or(prefix);
    let mut segments = path.split('/').skip(1);
    if segments.any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(fault("must be normalised: no \"//\", \"/./\" or \"/../\""));
    }
    Ok(())
}

/// The prefix that somebody who wrote `prefix` may have had in mind: its plain beginning, in whole segments.
fn meant_prefix(prefix: &str) -> Option<String> {
    let path = prefix.split_once("://").map_or(prefix, |(_, rest)| {
        rest.split_once('/').map_or("", |(_, path)| path)
    });
    let path = path.trim_matches(|c: char| c.is_whitespace() || matches!(c, '^' | '$'));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '~' | '/');
    let end = path.find(|c: char| !plain(c)).unwrap_or(path.len());
    let mut meant = String::new();
    for segment in path.get(..end)?.split('/').filter(|segment| !segment.is_empty()) {
        meant.push('/');
        meant.push_str(segment);
    }
    (!meant.is_empty() && meant != prefix).then_some(meant)
}
