//! Protected resource metadata (RFC 9728): the filter's 401 refers a client here for the authorization server of its
//! user.
//!
//! The document of `https://host/path` is at `https://host/.well-known/oauth-protected-resource/path` (§3.1: the
//! well-known part goes between host and path), so host and path of the request together name the resource.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokenward_protocol::refusal::Refusal;

use super::authorization::cors::{preflight_response, with_cors};
use super::response;
use crate::app::Service;
use crate::config::{Config, Resource};

/// Path prefix of all documents.
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    authorization_servers: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes_supported: &'a [String],
    resource_name: &'a str,
}

pub(super) async fn metadata(State(service): State<Arc<Service>>, uri: Uri, headers: HeaderMap) -> Response {
    let config = &service.config;
    let path = uri.path().strip_prefix(WELL_KNOWN).unwrap_or_default();
    let authority = match (uri.authority(), headers.get(HOST)) {
        // HTTP/2 sends it as `:authority` (RFC 9113 §8.3.1).
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().unwrap_or_default(),
        (None, None) => "",
    };
    let found = config.servers.iter().find_map(|server| {
        let resource = server.resource.as_ref()?;
        (resource.path() == path && resource.is_at(authority)).then_some((server.name.as_str(), resource))
    });
    match found {
        Some((name, resource)) => ok(&document(config, name, resource)),
        None => with_cors(response::error(
            StatusCode::NOT_FOUND,
            "invalid_request",
            Refusal::UnknownServer,
            "no configured server has the resource of this host and path: set servers[].resource to the URL that \
             clients use",
        )),
    }
}

/// CORS preflight.
pub(super) async fn preflight() -> Response {
    let mut response = preflight_response();
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

fn document<'a>(config: &'a Config, name: &'a str, resource: &'a Resource) -> Document<'a> {
    let configured = &config.resource_metadata.authorization_servers;
    let mut authorization_servers: Vec<&str> = if configured.is_empty() {
        config
            .issuers
            .iter()
            .map(|issuer| issuer.issuer.as_str())
            .collect()
    } else {
        configured.iter().map(String::as_str).collect()
    };
    // Several clients of one issuer are configured as several entries.
    let mut seen = Vec::new();
    authorization_servers.retain(|server| {
        let new = !seen.contains(server);
        seen.push(*server);
        new
    });
    Document {
        resource: &resource.identifier,
        authorization_servers,
        bearer_methods_supported: ["header"],
        scopes_supported: &config.resource_metadata.scopes,
        resource_name: name,
    }
}

fn ok(document: &Document<'_>) -> Response {
    let bytes = serde_json::to_vec(document).unwrap_or_else(|_| b"{}".to_vec());
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    with_cors((StatusCode::OK, headers, bytes).into_response())
}
