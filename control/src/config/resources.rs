//! Protected resource metadata (RFC 9728): which URL each server has for its clients, and where its users log in.

use url::Url;

use super::endpoint::parse_issuer;
use super::findings::{Findings, shown};
use super::raw::{RawResourceMetadata, Text};
use crate::yaml::Spanned;

/// What all servers' documents share.
#[derive(Debug, Clone, Default)]
pub struct ResourceMetadata {
    /// `authorization_servers`; empty: the configured issuers.
    pub authorization_servers: Vec<String>,
    /// `scopes_supported`; empty: left out.
    pub scopes: Vec<String>,
}

/// A server's resource identifier (RFC 9728 §1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// As configured, byte for byte: clients compare it with the URL that they use (§3.3).
    pub identifier: String,
    /// The same, taken apart.
    pub url: Url,
}

impl Resource {
    /// What stands behind `/.well-known/oauth-protected-resource` in the document's address: the identifier's path,
    /// without the slash that only ends the host (§3.1).
    #[must_use]
    pub fn path(&self) -> &str {
        match self.url.path() {
            "/" => "",
            path => path,
        }
    }

    /// Whether the document of this resource is served at `authority`.
    #[must_use]
    pub fn is_at(&self, authority: &str) -> bool {
        Url::parse(&format!("{}://{authority}", self.url.scheme())).is_ok_and(|url| {
            url.host() == self.url.host() && url.port_or_known_default() == self.url.port_or_known_default()
        })
    }
}

/// The resource in `text`, unless one of `seen` has its document at the same address.
pub(super) fn resource(findings: &mut Findings, text: &Text, seen: &mut Vec<Resource>) -> Option<Resource> {
    let url = match parse_issuer(&text.value) {
        Ok(url) => url,
        Err(bad) => {
            findings.add(
                text.referenced,
                format!("resource {:?} {bad}", shown(&text.value)),
                "write the URL that MCP clients use for this server, as in https://mcp.example.com/kubernetes",
            );
            return None;
        }
    };
    let normal = url.as_str();
    if text.value != normal && format!("{}/", text.value) != normal {
        findings.add(
            text.referenced,
            format!("resource {:?} is not in its normal form", shown(&text.value)),
            format!("write {normal:?}: clients compare it byte for byte"),
        );
        return None;
    }
    let resource = Resource {
        identifier: text.value.clone(),
        url,
    };
    if seen
        .iter()
        .any(|other| other.url.origin() == resource.url.origin() && other.path() == resource.path())
    {
        findings.add(
            text.referenced,
            format!("resource {:?} is named twice", shown(&text.value)),
            "give every server its own URL",
        );
        return None;
    }
    seen.push(resource.clone());
    Some(resource)
}

pub(super) fn metadata(
    findings: &mut Findings,
    raw: Option<&Spanned<RawResourceMetadata>>,
) -> ResourceMetadata {
    let Some(raw) = raw else {
        return ResourceMetadata::default();
    };
    for server in &raw.value.authorization_servers {
        findings.endpoint("resource_metadata.authorization_servers", server);
    }
    for scope in &raw.value.scopes {
        let printable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if scope.value.is_empty() || !scope.value.bytes().all(printable) {
            findings.add(
                scope.referenced,
                format!("scope {:?} is not usable", shown(&scope.value)),
                "write one scope per entry (RFC 6749 §3.3)",
            );
        }
    }
    let texts = |texts: &[Text]| texts.iter().map(|text| text.value.clone()).collect();
    ResourceMetadata {
        authorization_servers: texts(&raw.value.authorization_servers),
        scopes: texts(&raw.value.scopes),
    }
}
