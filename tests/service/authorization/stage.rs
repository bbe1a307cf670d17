//! Deployments with an authorization server of their own.

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokenward_control::authorization::access_token::generate;

use crate::deployment::{Answer, Deployment, Plan};

/// Its issuer.
pub(super) const ISSUER: &str = "https://mcp.example.com";
/// The host of the issuer and of the resources, for the `Host` header.
pub(crate) const HOST: &str = "mcp.example.com";
/// The servers' resources.
pub(super) const RESOURCES: [&str; 2] = [
    "https://mcp.example.com/kubernetes",
    "https://mcp.example.com/github",
];

/// A deployment's plan with `authorization`, whose fields `more` adds or replaces. The keys are in `@signing-1` and
/// `@signing-2`; the first is current.
pub(crate) fn plan(more: &Value) -> anyhow::Result<Plan> {
    let mut authorization = json!({
        "issuer": ISSUER,
        "signing_keys": {"current": {"file": "@signing-1"}},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        authorization[name] = value.clone();
    }
    let server = |name: &str, resource: &str| json!({"name": name, "resource": resource, "auth": {"forwardToken": true}});
    let key = || anyhow::Ok(generate()?.expose_secret().to_owned());
    Ok(Plan {
        settings: json!({"authorization": authorization}),
        servers: vec![server("first", RESOURCES[0]), server("second", RESOURCES[1])],
        secrets: vec![("signing-1".to_owned(), key()?), ("signing-2".to_owned(), key()?)],
        ..Plan::default()
    })
}

/// The answer to `method` of `path` at the issuer's host.
pub(super) async fn asked(deployment: &Deployment, method: Method, path: &str) -> anyhow::Result<Answer> {
    asked_at(deployment, HOST, method, path).await
}

/// The answer to `method` of `path` at `host`.
pub(super) async fn asked_at(
    deployment: &Deployment,
    host: &str,
    method: Method,
    path: &str,
) -> anyhow::Result<Answer> {
    let url = format!("{}{path}", deployment.urls[0]);
    deployment
        .request(deployment.http.request(method, url).header("host", host))
        .await
}

/// Registrations of clients at the first replica with this outcome.
pub(crate) fn registrations(deployment: &Deployment, outcome: &str) -> u64 {
    let exposition = deployment.service(0).service().metrics().exposition();
    let counter = "tokenward_authorization_requests_total";
    let start = format!("{counter}{{endpoint=\"register\",outcome=\"{outcome}\"}} ");
    let value = exposition.lines().find_map(|line| line.strip_prefix(&start));
    value.map_or(0, |value| value.parse().expect("a number"))
}
