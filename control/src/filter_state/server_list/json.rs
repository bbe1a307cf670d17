//! The JSON of the list, with the fields of the filter's own configuration.

use serde::Serialize;

use crate::authorization::request::check::SCOPE;
use crate::config::{Config, ServerConfig, TokenSource};

/// The filter reads nothing of such a token, and takes its life from control's answer.
const OPAQUE: &str = "opaque";

#[derive(Serialize)]
struct List<'a> {
    servers: Vec<Server<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_server: Option<AuthorizationServer<'a>>,
}

#[derive(Serialize)]
struct AuthorizationServer<'a> {
    issuer: &'a str,
    scope: &'a str,
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_405_after: Option<u32>,
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    kind: &'static str,
    issuer: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_audiences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subject_audiences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<&'static str>,
}

/// The list of `config` as JSON: the same bytes for the same servers, in whatever order they are configured.
#[must_use]
pub fn server_list_json(config: &Config) -> Vec<u8> {
    // The gateway's names have no slash: a server with one is for callers of the exchange endpoint only.
    let named = config.servers.iter().filter(|server| !server.name.contains('/'));
    let mut servers: Vec<Server<'_>> = named.map(|server| one(config, server)).collect();
    servers.sort_unstable_by_key(|server| server.name);
    let list = List {
        servers,
        authorization_server: config.authorization.as_ref().map(|own| AuthorizationServer {
            issuer: &own.issuer,
            scope: SCOPE,
        }),
    };
    // Plain data always serializes.
    serde_json::to_vec(&list).unwrap_or_default()
}

fn one<'a>(config: &'a Config, server: &'a ServerConfig) -> Server<'a> {
    let first = config.issuers.first().map(|home| home.issuer.as_str());
    let home = server.home_issuer.as_deref().or(first).unwrap_or_default();
    let auth = match &server.token {
        TokenSource::Forward => Auth {
            kind: "forward",
            issuer: home,
            required_audiences: texts(&server.required_audiences),
            subject_issuer: None,
            subject_audiences: Vec::new(),
            delivered: None,
        },
        // What is required of a presented token: the server's audiences are those of the access token, which control checks.
        TokenSource::ForwardAccessToken => Auth {
            kind: "forward",
            issuer: home,
            required_audiences: only_client(config, home).into_iter().collect(),
            subject_issuer: None,
            subject_audiences: Vec::new(),
            delivered: Some(OPAQUE),
        },
        TokenSource::Exchange(exchange) => Auth {
            kind: "exchange",
            issuer: &exchange.expected_issuer,
            required_audiences: texts(&server.required_audiences),
            subject_issuer: Some(home),
            subject_audiences: only_client(config, home).into_iter().collect(),
            delivered: server.delivers_opaque().then_some(OPAQUE),
        },
    };
    Server {
        name: &server.name,
        host: server.route.host.as_deref(),
        path_prefix: server.route.path_prefix.as_deref(),
        resource: server
            .resource
            .as_ref()
            .map(|resource| resource.identifier.as_str()),
        listener_405_after: server.listener_405_after,
        auth,
    }
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The client of `issuer`, if there is one only: a token of any of several is accepted, and names one of them.
fn only_client<'a>(config: &'a Config, issuer: &str) -> Option<&'a str> {
    let mut clients = config.issuers.iter().filter(|home| home.issuer == issuer);
    match (clients.next(), clients.next()) {
        (Some(home), None) => Some(&home.client_id),
        _ => None,
    }
}
