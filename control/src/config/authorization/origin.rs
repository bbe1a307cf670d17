//! `authorization.issuer`: an origin, under which the endpoints have fixed paths.

use url::Url;

use super::surroundings::Surroundings;
use crate::config::endpoint::parse_issuer;
use crate::config::findings::{Findings, shown};
use crate::config::raw::Text;

/// The paths at which clients reach the authorization server, below its issuer.
pub(crate) const PATHS: [&str; 6] = [
    "/authorize",
    "/token",
    "/register",
    "/revoke",
    "/jwks",
    "/.well-known/oauth-authorization-server",
];

/// Parses the issuer identifier; adds a problem if it is not an origin in its normal form.
pub(super) fn issuer(findings: &mut Findings, text: &Text) -> Option<Url> {
    const EXAMPLE: &str =
        "write the scheme and host at which MCP clients reach the gateway, as in https://mcp.example.com";
    let url = match parse_issuer(&text.value) {
        Ok(url) => url,
        Err(bad) => {
            findings.add(
                text.referenced,
                format!("authorization.issuer {:?} {bad}", shown(&text.value)),
                EXAMPLE,
            );
            return None;
        }
    };
    let origin = url.origin().ascii_serialization();
    if text.value == origin {
        return Some(url);
    }
    let what = if url.path() == "/" {
        "is not in its normal form"
    } else {
        "has a path"
    };
    findings.add(
        text.referenced,
        format!("authorization.issuer {:?} {what}", shown(&text.value)),
        format!(
            "write {:?}: clients compare it byte for byte (RFC 8414 §3.3), and older ones look for the endpoints at the root",
            shown(&origin)
        ),
    );
    None
}

/// Checks that no other URL of the configuration leads to the same endpoints.
pub(super) fn check_collisions(findings: &mut Findings, text: &Text, url: &Url, around: &Surroundings<'_>) {
    let same = |issuer: &str| issuer.trim_end_matches('/') == text.value;
    if around.issuers.iter().any(|issuer| same(&issuer.issuer)) {
        findings.add(
            text.referenced,
            format!(
                "authorization.issuer {:?} is one of issuers[]",
                shown(&text.value)
            ),
            "name the gateway's own origin: a token's iss states which of the two signed it",
        );
    }
    for relay in around.issuers.iter().filter_map(|issuer| issuer.relay.as_ref()) {
        let endpoint = &relay.public_endpoint;
        if is_ours(url, endpoint) {
            findings.add(
                text.referenced,
                format!(
                    "relay.public_endpoint {:?} is an endpoint of authorization.issuer",
                    shown(endpoint.as_str())
                ),
                "give the issuer and the authorization server different hosts, or the issuer a path",
            );
        }
    }
    for server in around.servers {
        if let Some(resource) = server
            .resource
            .as_ref()
            .filter(|resource| is_ours(url, &resource.url))
        {
            findings.add(
                text.referenced,
                format!(
                    "the resource {:?} is an endpoint of authorization.issuer",
                    shown(&resource.identifier)
                ),
                "give the server another path, as in https://mcp.example.com/mcp/kubernetes",
            );
        }
    }
}

/// Whether `other` is at one of the authorization server's paths, or below it.
fn is_ours(issuer: &Url, other: &Url) -> bool {
    let path = other.path();
    let below = |ours: &str| {
        path.strip_prefix(ours)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    issuer.origin() == other.origin() && PATHS.iter().any(|ours| below(ours))
}
