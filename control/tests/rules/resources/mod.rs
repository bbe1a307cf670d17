//! From the resources of a cluster to servers: what becomes of each, and what none may do to another.

mod attacks;
mod kinds;
mod neighbours;

use serde_json::{Value, json};
use tokenward_control::config::{Config, ServerConfig, TokenSource};
use tokenward_control::servers::resources::{Judged, LastGood, judge};
use tokenward_kubernetes::secret::SecretRead;
use tokenward_kubernetes::{Kind, Outcome, Resource, ResourceId, SecretId, Snapshot};

use crate::config::{Folder, GOOD, parse};

pub(crate) const MUSTER: (&str, &str) = ("muster.giantswarm.io", "MCPServer");
const SECTION: &str = "{resources: [{namespaces: [muster, other]}, {group: toolhive.stacklok.dev, namespaces: [muster]}, \
                       {group: kagent.dev, kind: RemoteMCPServer, namespaces: [muster], forward: {required_audiences: [kube]}}], \
                       exchange_hosts: [\"*.remote.example.com\"]}";

pub(crate) fn config_with(section: &str) -> Config {
    parse(&Folder::new(), &format!("{GOOD}\nkubernetes: {section}\n")).expect("valid")
}

pub(crate) fn config() -> Config {
    config_with(SECTION)
}

/// A resource of `namespace/name`, created in this order.
pub(crate) fn resource(kind: (&str, &str), path: &str, created: i64, spec: Value) -> Resource {
    let (namespace, name) = path.split_once('/').expect("namespace/name");
    Resource {
        id: ResourceId {
            kind: Kind::find(kind.0, kind.1).expect("known"),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        uid: format!("uid-{path}"),
        version: "v1".to_owned(),
        created_at_seconds: created,
        generation: 1,
        spec,
        condition: None,
    }
}

pub(crate) fn forwarding(path: &str, created: i64, url: &str) -> Resource {
    let spec =
        json!({"type": "streamable-http", "url": url, "auth": {"type": "oauth", "forwardToken": true}});
    resource(MUSTER, path, created, spec)
}

pub(crate) fn exchanging(path: &str, created: i64, endpoint: &str, more: Value) -> Resource {
    let mut exchange = json!({
        "enabled": true, "dexTokenEndpoint": endpoint, "connectorId": "home",
        "clientCredentialsSecretRef": {"name": "credentials"},
    });
    if let (Some(exchange), Value::Object(mut more)) = (exchange.as_object_mut(), more) {
        exchange.append(&mut more);
    }
    let url = format!("https://mcp.example.com/{}", path.replace('/', "-"));
    let spec =
        json!({"type": "streamable-http", "url": url, "auth": {"type": "oauth", "tokenExchange": exchange}});
    resource(MUSTER, path, created, spec)
}

/// A list with a Secret `credentials` in both namespaces.
pub(crate) fn list(resources: Vec<Resource>) -> Snapshot {
    let values = [("client-id", "kube"), ("client-secret", "hidden-secret\n")];
    let read = || SecretRead::Present(values.map(|(key, value)| (key.to_owned(), value.into())).into());
    let id = |namespace: &str| SecretId {
        namespace: namespace.to_owned(),
        name: "credentials".to_owned(),
    };
    Snapshot {
        resources,
        secrets: [(id("muster"), read()), (id("other"), read())].into(),
        omitted: 0,
    }
}

pub(crate) fn judged(resources: Vec<Resource>) -> Judged {
    judge(&config(), &list(resources), &LastGood::new())
}

/// Outcome and reason of each resource, in their order.
pub(crate) fn outcomes(judged: &Judged) -> Vec<(Outcome, &'static str)> {
    judged
        .verdicts
        .iter()
        .map(|verdict| (verdict.outcome, verdict.reason))
        .collect()
}

/// The only verdict.
pub(crate) fn only(resource: Resource) -> (Outcome, &'static str, String) {
    let judged = judged(vec![resource]);
    let verdict = &judged.verdicts[0];
    (verdict.outcome, verdict.reason, verdict.message.clone())
}

pub(crate) fn exchange(server: &ServerConfig) -> &tokenward_control::config::ExchangeConfig {
    match &server.token {
        TokenSource::Exchange(exchange) => exchange,
        TokenSource::Forward | TokenSource::ForwardAccessToken => panic!("it forwards"),
    }
}
