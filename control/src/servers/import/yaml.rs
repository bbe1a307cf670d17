//! Writes the imported servers as YAML; every string is quoted as in JSON, which is valid YAML.

use std::fmt::Write as _;

use super::{ImportedExchange, ImportedServer};

/// The directory that secrets are expected to be mounted in.
const SECRETS: &str = "/run/secrets/tokenward";
/// Envoy Gateway passes on annotations of an HTTPRoute with its own prefix.
const ANNOTATION: &str = "gateway.envoyproxy.io/tokenward-server";

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn servers(servers: &[ImportedServer]) -> String {
    let mut yaml = "servers:\n".to_owned();
    for server in servers {
        yaml.push_str(&head(server));
        if let Some(exchange) = &server.exchange {
            yaml.push_str(&exchange_fields(exchange));
            yaml.push_str(&client_credentials(server));
        }
    }
    yaml
}

/// A server's name and its `auth` without an exchange.
pub(super) fn head(server: &ImportedServer) -> String {
    let audiences: Vec<String> = server
        .required_audiences
        .iter()
        .map(|audience| quoted(audience))
        .collect();
    format!(
        "- name: {}\n  auth:\n    type: oauth\n    forwardToken: {}\n    requiredAudiences: [{}]\n",
        quoted(&server.name),
        server.forward_token,
        audiences.join(", ")
    )
}

/// `tokenExchange` without its client.
pub(super) fn exchange_fields(exchange: &ImportedExchange) -> String {
    let optional = |name: &str, value: &Option<String>| {
        value
            .as_ref()
            .map_or_else(String::new, |value| format!("      {name}: {}\n", quoted(value)))
    };
    format!(
        "    tokenExchange:\n      enabled: true\n      dexTokenEndpoint: {}\n{}      connectorId: {}\n{}",
        quoted(&exchange.token_endpoint),
        optional("expectedIssuer", &exchange.expected_issuer),
        quoted(&exchange.connector_id),
        optional("scopes", &exchange.scopes),
    )
}

fn client_credentials(server: &ImportedServer) -> String {
    format!(
        "      clientCredentials:\n        clientId: \"\"  # to be filled in\n        clientSecret: {{file: {}}}\n",
        quoted(&format!("{SECRETS}/{}-client-secret", server.name)),
    )
}

pub(super) fn annotations(servers: &[ImportedServer]) -> String {
    let mut yaml = "# What the HTTPRoute that leads to each server needs, unless the filter finds it by host and path.\n\
                    routes:\n"
        .to_owned();
    for server in servers {
        let _ = write!(
            yaml,
            "- url: {}\n  annotations: {{{ANNOTATION}: {}}}\n",
            quoted(server.url.as_deref().unwrap_or_default()),
            quoted(&server.name)
        );
    }
    yaml
}
