//! The authorization server as an MCP client finds it: challenge, protected resource metadata (RFC 9728), metadata (RFC
//! 8414), keys and endpoints. All of it comes through the gateway, at the URLs that clients use.

use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::Value;
use url::Url;

use super::{AuthorizationChecks, shown};
use crate::config::{Resource, ServerConfig};
use crate::doctor::probe::{ProbeAnswer, ProbeFailure};
use crate::doctor::report::{Check, Finding};

/// Paths of the endpoints below the issuer.
const ENDPOINTS: [&str; 5] = [
    "/authorize",
    "/authorize/callback",
    "/token",
    "/register",
    "/revoke",
];

const NOT_ROUTED: &str =
    "route this host and path at the gateway to control, without the filter (docs/login.md)";

impl AuthorizationChecks<'_> {
    /// What a client learns about each server: the challenge, and the metadata to which it leads.
    pub(super) async fn servers(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for server in &self.config.servers {
            if let Some(resource) = &server.resource {
                checks.push(self.challenge(server, resource).await);
                checks.push(self.resource_metadata(server, resource).await);
            }
        }
        checks
    }

    /// A request without a token gets 401 with the address of the metadata.
    async fn challenge(&self, server: &ServerConfig, resource: &Resource) -> Check {
        let name = format!("server {}: challenge", server.name);
        let answer = match self.prober.get(&resource.url).await {
            Ok(answer) => answer,
            Err(failure) => {
                return Check::warned(
                    name,
                    Finding::from(failure).if_only_clients_reach(&resource.identifier),
                );
            }
        };
        let expected = format!("resource_metadata=\"{}\"", metadata_url(resource));
        let challenge = answer.header(WWW_AUTHENTICATE).unwrap_or_default();
        if answer.status == 401 && challenge.contains(&expected) {
            return Check::ok(name, "401 leads clients to the server's metadata");
        }
        if answer.status == 401 {
            return Check::warn(
                name,
                format!("401 does not state {expected}"),
                "set resource of this server in the filter's configuration to the same URL",
            );
        }
        Check::warn(
            name,
            format!(
                "a request without a token is answered {} at {}, not 401",
                answer.status, resource.identifier
            ),
            "put the filter on the route of this URL; a 404 means that there is no such route",
        )
    }

    async fn resource_metadata(&self, server: &ServerConfig, resource: &Resource) -> Check {
        let name = format!("server {}: protected resource metadata", server.name);
        let document = match self.document(&metadata_url(resource)).await {
            Ok(document) => document,
            Err(problem) => return problem.check(name),
        };
        let servers = document["authorization_servers"].as_array();
        let names_us = servers.is_some_and(|servers| {
            servers
                .iter()
                .any(|server| server.as_str() == Some(self.authorization.issuer.as_str()))
        });
        if document["resource"].as_str() != Some(resource.identifier.as_str()) {
            Check::fail(
                name,
                format!(
                    "resource is {}, not {}",
                    shown(&document["resource"]),
                    resource.identifier
                ),
                "clients compare it byte for byte: another control or another configuration answers here",
            )
        } else if names_us {
            Check::ok(name, format!("leads to {}", self.authorization.issuer))
        } else {
            Check::fail(
                name,
                format!(
                    "authorization_servers is {}",
                    shown(&document["authorization_servers"])
                ),
                "another control or an older configuration answers here: reload it",
            )
        }
    }

    /// The metadata, as a client reads it after the resource's.
    pub(super) async fn metadata(&self) -> Option<Check> {
        const METADATA: &str = "/.well-known/oauth-authorization-server";
        let name = self.named("metadata");
        let issuer = &self.authorization.issuer;
        let document = match self.document(&format!("{issuer}{METADATA}")).await {
            Ok(document) => document,
            Err(problem) => return Some(problem.check(name)),
        };
        let expected = [
            ("issuer", issuer.clone()),
            ("authorization_endpoint", format!("{issuer}/authorize")),
            ("token_endpoint", format!("{issuer}/token")),
            ("jwks_uri", format!("{issuer}/jwks")),
        ];
        let differs = expected
            .iter()
            .find(|(member, value)| document[*member].as_str() != Some(value.as_str()));
        Some(match differs {
            None => Check::ok(name, "is the issuer's own, and names its endpoints"),
            Some((member, value)) => Check::fail(
                name,
                format!("{member} is {}, not {value}", shown(&document[*member])),
                "clients refuse metadata of another issuer: set authorization.issuer to the URL at which they reach the \
                 gateway",
            ),
        })
    }

    /// Whether the current key is published.
    pub(super) async fn published_keys(&self, key_id: Option<&str>) -> Option<Check> {
        let key_id = key_id?;
        let name = self.named("published keys");
        let document = match self
            .document(&format!("{}/jwks", self.authorization.issuer))
            .await
        {
            Ok(document) => document,
            Err(problem) => return Some(problem.check(name)),
        };
        let keys = document["keys"].as_array().into_iter().flatten();
        let published: Vec<&str> = keys.filter_map(|key| key["kid"].as_str()).collect();
        Some(if published.contains(&key_id) {
            Check::ok(
                name,
                format!("{} published, the current one among them", published.len()),
            )
        } else {
            Check::fail(
                name,
                format!(
                    "the current key {key_id} is not among the {} published ones",
                    published.len()
                ),
                "the running control has other keys: reload it (SIGHUP) after changing signing_keys",
            )
        })
    }

    /// Whether requests to the endpoints come to control.
    pub(super) async fn routes(&self) -> Check {
        let name = self.named("endpoints");
        let mut elsewhere = Vec::new();
        for path in ENDPOINTS {
            let Ok(url) = Url::parse(&format!("{}{path}", self.authorization.issuer)) else {
                continue;
            };
            match self.prober.get(&url).await {
                // Without parameters each of them refuses: the marker states which service refused.
                Ok(answer) if answer.is_marked && answer.status != 404 => {}
                Ok(answer) => elsewhere.push(format!("{path} ({})", described(&answer))),
                Err(failure) => {
                    return Check::warned(name, Finding::from(failure).if_only_clients_reach(url.as_str()));
                }
            }
        }
        if elsewhere.is_empty() {
            Check::ok(name, format!("control answers at {}", ENDPOINTS.join(", ")))
        } else {
            Check::fail(
                name,
                format!("something else answers at {}", elsewhere.join(", ")),
                NOT_ROUTED,
            )
        }
    }

    /// A JSON document that control serves through the gateway.
    async fn document(&self, url: &str) -> Result<Value, Problem> {
        let unreachable = |failure| Problem::Unreachable(Finding::from(failure).if_only_clients_reach(url));
        let parsed = Url::parse(url)
            .map_err(|error| unreachable(ProbeFailure::NotAUrl(format!("not a URL: {error}"))))?;
        let answer = self.prober.get(&parsed).await.map_err(unreachable)?;
        match answer.json() {
            Some(document) if answer.status == 200 && answer.is_marked => Ok(document),
            _ => Err(Problem::NotOurs {
                finding: format!("{url}: {}", described(&answer)),
                by_control: answer.is_marked,
            }),
        }
    }
}

/// The URL of a resource's metadata (RFC 9728 §3.1).
fn metadata_url(resource: &Resource) -> String {
    let origin = resource.url.origin().ascii_serialization();
    format!("{origin}/.well-known/oauth-protected-resource{}", resource.path())
}

/// Status, form and origin of an answer that is not the expected one.
fn described(answer: &ProbeAnswer) -> String {
    let form = match answer.header(CONTENT_TYPE) {
        Some(form) if form.starts_with("text/html") => ", HTML",
        Some(form) if form.starts_with("application/json") => "",
        Some(_) => ", not JSON",
        None => ", no content",
    };
    let origin = if answer.is_marked {
        "of control"
    } else {
        "not of control"
    };
    format!("status {}{form}, {origin}", answer.status)
}

/// Why there is no document.
enum Problem {
    Unreachable(Finding),
    NotOurs { finding: String, by_control: bool },
}

impl Problem {
    fn check(self, name: String) -> Check {
        match self {
            Self::Unreachable(finding) => Check::warned(name, finding),
            Self::NotOurs {
                finding,
                by_control: true,
            } => Check::fail(
                name,
                finding,
                "control is reached, and does not know this host or server: keep the Host header at the gateway, and reload \
                 control after a change of its configuration",
            ),
            Self::NotOurs { finding, .. } => Check::fail(name, finding, NOT_ROUTED),
        }
    }
}
