//! The operators' console: whether its login can begin at the issuer.

use serde_json::Value;
use url::Url;

use super::authorization::upstream::{begun, redirect_uri_check};
use super::probe::Prober;
use super::report::{Check, Finding};
use crate::config::ConsoleConfig;

/// Checks the issuer of the console's login, and begins a login there without a user.
pub(super) async fn login(prober: &Prober, console: &ConsoleConfig) -> Check {
    let name = format!("console {}: login", console.origin());
    let issuer = &console.client.issuer;
    let endpoint = match (
        &console.login.authorization_endpoint,
        document(prober, issuer).await,
    ) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Ok(document)) => {
            if document["issuer"].as_str() != Some(issuer.as_str()) {
                let other = document["issuer"].as_str().unwrap_or("nothing").chars();
                let other: String = other.take(200).collect();
                return Check::fail(
                    name,
                    format!("{issuer} names {other} as its issuer"),
                    "write console.issuer exactly as its discovery document names itself",
                );
            }
            let endpoint = document["authorization_endpoint"].as_str();
            match endpoint.and_then(|endpoint| Url::parse(endpoint).ok()) {
                Some(endpoint) => endpoint,
                None => {
                    return Check::fail(
                        name,
                        format!("the discovery document of {issuer} names no authorization_endpoint"),
                        "set console.authorization_endpoint",
                    );
                }
            }
        }
        (None, Err(finding)) => {
            let what = format!("the discovery document of {issuer}: {}", finding.what);
            return Check::fail(name, what, finding.hint);
        }
    };
    let callback = console.callback();
    match begun(prober, request(endpoint, console), &callback).await {
        Ok(answer) => redirect_uri_check(name, &answer, &callback, &console.client.client_id),
        Err(failure) => Check::warned(
            name,
            Finding::from(failure).if_only_clients_reach("the authorization endpoint"),
        ),
    }
}

async fn document(prober: &Prober, issuer: &str) -> Result<Value, Finding> {
    let issuer = issuer.trim_end_matches('/');
    let url = Url::parse(&format!("{issuer}/.well-known/openid-configuration"))
        .map_err(|error| Finding::new(error.to_string(), "write console.issuer as an https URL"))?;
    let answer = prober.get(&url).await?;
    answer.json().ok_or_else(|| {
        Finding::new(
            format!("status {} without a JSON document", answer.status),
            "check console.issuer: its discovery document is no JSON",
        )
    })
}

/// The authorization request, for no user.
fn request(mut endpoint: Url, console: &ConsoleConfig) -> Url {
    endpoint
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &console.client.client_id)
        .append_pair("redirect_uri", &console.callback())
        .append_pair("scope", "openid")
        .append_pair("state", "doctor")
        .append_pair("nonce", "doctor")
        .append_pair("prompt", "none");
    if let Some(connector_id) = &console.login.connector_id {
        endpoint
            .query_pairs_mut()
            .append_pair("connector_id", connector_id);
    }
    endpoint
}
