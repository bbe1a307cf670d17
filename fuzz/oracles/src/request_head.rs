//! A request's headers: the session, the bearer and the server that are read from them.

use tokenward_filter_core::config::{FilterConfig, HostPattern, Route};
use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_filter_core::request::RequestHead;
use tokenward_filter_core::server_match::{ServerMatch, find_server, path_without_query};
use tokenward_protocol::bearer::{bearer_token, why_malformed};
use tokenward_protocol::jwt::{Claims, Malformed};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::MAX_SESSION_BYTES;

type Header<'a> = (&'a [u8], &'a [u8]);

thread_local! {
    static CONFIG: FilterConfig = config();
}

fn config() -> FilterConfig {
    let route = |name: &str, route: &str| {
        format!(r#"{{"name":"{name}",{route}"auth":{{"kind":"forward","issuer":"i"}}}}"#)
    };
    let servers = [
        route("annotated", ""),
        route("kube", r#""path_prefix":"/kube","#),
        route("kube-admin", r#""path_prefix":"/kube/admin","#),
        route("host", r#""host":"mcp.example.com","#),
        route("host-kube", r#""host":"mcp.example.com","path_prefix":"/kube","#),
        route("wild", r#""host":"*.example.com","#),
        route("wilder", r#""host":"*.b.example.com","#),
    ];
    let text = format!(
        r#"{{"control":{{"cluster":"c","credential":{{"value":"x"}}}},
            "session_headers":["x-session","mcp-session-id"],
            "unmatched":"refuse","unprotected":[{{"path_prefix":"/open"}}],"servers":[{}]}}"#,
        servers.join(",")
    );
    FilterConfig::parse(text.as_bytes(), |_| None).expect("the configuration of the oracle")
}

/// Reads lines `NAME: VALUE` as headers; a line `@NAME` is the route's annotation.
pub fn request_head(data: &[u8]) {
    CONFIG.with(|config| any_request_head(config, data));
}

fn any_request_head(config: &FilterConfig, data: &[u8]) {
    let lines = || data.split(|byte| *byte == b'\n');
    let annotation = lines().find_map(|line| line.strip_prefix(b"@"));
    let headers: Vec<Header<'_>> = lines()
        .filter(|line| !line.starts_with(b"@"))
        .map(header)
        .collect();
    let head = RequestHead::read(headers.iter().copied(), &config.session_headers);
    let values = |name: &str| -> Vec<&[u8]> {
        let named = headers.iter().filter(|(other, _)| *other == name.as_bytes());
        named.map(|(_, value)| *value).collect()
    };
    for (name, read) in [
        (":authority", head.authority),
        (":method", head.method),
        (":path", head.path),
    ] {
        assert_eq!(read, values(name).last().copied().unwrap_or_default());
    }
    let sent = values("authorization");
    let read: Vec<&[u8]> = head.authorization.values().collect();
    assert_eq!((read.len(), read.first()), (sent.len(), sent.first()));
    assert_eq!(
        head.mcp_method.name(),
        mcp_method(head.method, &values("mcp-method"))
    );
    assert_eq!(head.session, session(&config.session_headers, &values));
    bearer(&read);
    server(config, annotation, head.authority, head.path);
}

/// The names that a label may have; what clients send decides which, and adds none.
fn mcp_method(method: &[u8], values: &[&[u8]]) -> &'static str {
    let known = || McpMethod::all().map(McpMethod::name).skip(3);
    match values {
        _ if method == b"GET" => "GET",
        [] => "none",
        [value] => known().find(|name| name.as_bytes() == *value).unwrap_or("other"),
        [..] => "other",
    }
}

/// The name ends at the first colon that does not begin it (`:path`), and one blank before the value is not its.
fn header(line: &[u8]) -> Header<'_> {
    let colon = line.iter().skip(1).position(|byte| *byte == b':');
    let Some((name, rest)) = colon.and_then(|at| line.split_at_checked(at + 1)) else {
        return (line, b"");
    };
    let value = rest.strip_prefix(b":").unwrap_or(rest);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

/// The first of the configured headers that has exactly one usable value.
fn session<'a>(names: &[String], values: &impl Fn(&str) -> Vec<&'a [u8]>) -> Option<&'a str> {
    names.iter().find_map(|name| {
        let usable: Vec<&str> = values(name)
            .into_iter()
            .filter(|value| (1..=MAX_SESSION_BYTES).contains(&value.len()))
            .filter(|value| value.iter().all(u8::is_ascii_graphic))
            .filter_map(|value| std::str::from_utf8(value).ok())
            .collect();
        match usable[..] {
            [one] => Some(one),
            _ => None,
        }
    })
}

fn bearer(authorizations: &[&[u8]]) {
    let read = bearer_token(authorizations.iter().copied());
    let value = match authorizations {
        [] => return assert_eq!(read, Err(Refusal::MissingBearer)),
        [value] => value.trim_ascii(),
        _ => return assert_eq!(read, Err(Refusal::AmbiguousBearer)),
    };
    let lower = value.to_ascii_lowercase();
    let named = lower.starts_with(b"bearer ") || lower.starts_with(b"bearer\t");
    assert_eq!(read.is_ok(), named);
    let Ok(token) = read else {
        return assert_eq!(read, Err(Refusal::MissingBearer));
    };
    assert!(value.ends_with(token) && token.trim_ascii() == token);
    assert!(
        value[6..value.len() - token.len()]
            .iter()
            .all(u8::is_ascii_whitespace)
    );
    // A token that can be read is one word: nothing after a blank or a comma is forwarded unread.
    let why = |fault| why_malformed(token, fault);
    if Claims::read(token).is_ok() {
        assert_eq!(why(Malformed::Parts), Refusal::MalformedBearer);
        assert_eq!(why(Malformed::TooLong), Refusal::TokenTooLarge);
    } else if token.contains(&b',') {
        assert_eq!(why(Malformed::TooLong), Refusal::AmbiguousBearer);
    }
}

/// The server of the most exact route that fits, as Gateway API orders them.
fn server(config: &FilterConfig, annotation: Option<&[u8]>, authority: &[u8], path: &[u8]) {
    let found = find_server(config, annotation, authority, path_without_query(path));
    if let Some(annotation) = annotation {
        let index = config
            .table
            .servers
            .iter()
            .position(|server| server.name.as_bytes() == annotation);
        let expected = index.map_or(ServerMatch::UnknownAnnotation, ServerMatch::Server);
        return assert_eq!(found, expected);
    }
    let Some(host) = host_of(authority) else {
        return assert_eq!(found, ServerMatch::UnreadableHost);
    };
    let fitting = config
        .table
        .servers
        .iter()
        .enumerate()
        .filter_map(|(index, server)| {
            let route = server.route.as_ref()?;
            let fit = (fit_of_host(route, host.as_bytes())?, fit_of_path(route, path)?);
            Some((fit, index))
        });
    let otherwise = match is_open(path_without_query(path)) {
        true => ServerMatch::None,
        false => ServerMatch::Unmatched,
    };
    let expected = fitting
        .max()
        .map_or(otherwise, |(_, index)| ServerMatch::Server(index));
    assert_eq!(found, expected);
}

/// The host in lower case, where the authority is a host and at most a port and nothing else.
fn host_of(authority: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?.to_ascii_lowercase();
    let (host, port) = match text.strip_prefix('[') {
        Some(_) => {
            let (literal, port) = text.split_once(']')?;
            let address = &literal[1..];
            let plain = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
            if address.is_empty() || !address.chars().all(plain) {
                return None;
            }
            (format!("{literal}]"), port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let name = text[..end].trim_end_matches('.');
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let label = |label: &str| !label.is_empty() && label.chars().all(plain);
            if !name.split('.').all(label) {
                return None;
            }
            (name.to_owned(), &text[end..])
        }
    };
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.chars().all(|c| c.is_ascii_digit()));
    is_port.then_some(host)
}

/// Whether the path is below `/open` for every reader.
fn is_open(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path).into_owned();
    let below = path == "/open" || path.starts_with("/open/");
    below
        && !["//", "/./", "/../", "%", "\\", ";"]
            .iter()
            .any(|odd| path.contains(odd))
        && !path.ends_with("/.")
        && !path.ends_with("/..")
}

/// Higher is more exact.
fn fit_of_host(route: &Route, host: &[u8]) -> Option<usize> {
    match &route.host {
        None => Some(0),
        Some(HostPattern::Suffix(suffix)) => {
            (host.len() > suffix.len() && host.ends_with(suffix.as_bytes())).then_some(suffix.len())
        }
        Some(HostPattern::Exact(exact)) => (host == exact.as_bytes()).then_some(usize::MAX),
    }
}

/// The number of whole segments that fit.
fn fit_of_path(route: &Route, path: &[u8]) -> Option<usize> {
    let path = path
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let mut segments = path.split(|byte| *byte == b'/');
    let wanted: Vec<&str> = match route.path_prefix.as_str() {
        // Any path at all, also one that does not begin with a slash.
        "" if path.is_empty() || path.starts_with(b"/") => return Some(0),
        "" => return None,
        prefix => prefix.split('/').collect(),
    };
    wanted
        .iter()
        .all(|segment| segments.next() == Some(segment.as_bytes()))
        .then_some(wanted.len())
}
