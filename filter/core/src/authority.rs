//! The host of a request's authority (RFC 3986 §3.2), in the one spelling in which hosts are compared, but for letter case.

/// The host of `authority`: without port, and without the dots that end an absolute name (RFC 1034 §3.1). An IPv6 literal
/// retains its brackets.
///
/// `None` for everything that is not a host and at most one port: userinfo (RFC 9110 §4.2.4 and RFC 9113 §8.3.1 forbid
/// it), percent-encoding, an empty host or label. Parsers differ in what they take for the host of such an authority.
#[must_use]
pub(crate) fn plain_host(authority: &[u8]) -> Option<&[u8]> {
    if authority.first() == Some(&b'[') {
        return literal(authority);
    }
    let colon = authority.iter().position(|byte| *byte == b':');
    let (host, port) = authority.split_at_checked(colon.unwrap_or(authority.len()))?;
    let dots = host.iter().rev().take_while(|byte| **byte == b'.').count();
    let host = host.get(..host.len().saturating_sub(dots))?;
    (is_name(host) && is_port(port)).then_some(host)
}

fn literal(authority: &[u8]) -> Option<&[u8]> {
    let end = authority.iter().position(|byte| *byte == b']')?;
    let (host, port) = authority.split_at_checked(end.saturating_add(1))?;
    let mut inside = host.get(1..end)?.iter();
    let plain = inside.all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    (end > 1 && plain && is_port(port)).then_some(host)
}

/// Letters, digits, `-` and `_` in labels that are not empty.
fn is_name(host: &[u8]) -> bool {
    let mut before = b'.';
    for byte in host {
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (*byte == b'.' && before != b'.'))
        {
            return false;
        }
        before = *byte;
    }
    !host.is_empty()
}

/// Nothing, or a colon and any number of digits.
fn is_port(port: &[u8]) -> bool {
    port.iter().skip(1).all(u8::is_ascii_digit) && port.first().is_none_or(|first| *first == b':')
}
