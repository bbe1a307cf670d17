//! Control with servers from resources of a real API server, with exactly the rights that the chart gives it.

mod alone;
mod listed;
mod permitted;
mod reported;
mod secrets;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokenward_harness::parts::cluster::{ApiServer, KubeClient, Named};
use tokenward_harness::parts::{Chart, Control, ControlConfig, ControlIssuer};
use tokenward_protocol::filter_state::FilterState;

/// The promise of a new server is ten seconds; a busy machine gets more, and the stories print what it took.
pub(crate) const SOON: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const API: &str = "muster.giantswarm.io/v1alpha1";
/// The release's namespace in what the chart renders.
const RELEASE_NAMESPACE: &str = "mcp";

/// A namespace with resources, and the account that control has there.
pub(crate) struct Stage {
    pub(crate) client: KubeClient,
    pub(crate) namespace: String,
    kubeconfig: Value,
    lease: String,
}

/// The chart's values that watch a namespace.
fn values(namespace: &str) -> Value {
    json!({
        "fullnameOverride": namespace,
        "issuers": [{"issuer": "https://dex.example.com", "clientId": "muster",
                     "clientSecretRef": {"name": "dex", "key": "client-secret"}}],
        "gateway": {"enabled": false}, "serviceMonitor": {"enabled": false}, "prometheusRule": {"enabled": false},
        "kubernetes": {
            "enabled": true, "exchangeHosts": ["*.remote.example.com"], "secretNames": ["credentials"],
            "resources": [
                {"namespaces": [namespace]},
                {"group": "toolhive.stacklok.dev", "kind": "MCPRemoteProxy", "namespaces": [namespace]},
            ],
        },
    })
}

impl Stage {
    /// Makes the namespace, and gives control there what the chart gives it.
    pub(crate) async fn new(server: &ApiServer, namespace: &str) -> anyhow::Result<Self> {
        let client = server.client()?;
        client.create_namespace(namespace).await?;
        client.create_namespace(RELEASE_NAMESPACE).await?;
        let chart = Chart::find()?.context("Helm is missing, which belongs to the cluster's tools")?;
        let mut kinds = 0;
        for resource in chart.render(&values(namespace))? {
            if ["ServiceAccount", "Role", "RoleBinding"].contains(&resource.kind.as_str()) {
                client.apply_all(&resource.yaml, RELEASE_NAMESPACE).await?;
                kinds += 1;
            }
        }
        anyhow::ensure!(
            kinds == 5,
            "an account and two roles with their bindings, not {kinds}"
        );
        let token = client.service_account_token(RELEASE_NAMESPACE, namespace).await?;
        Ok(Self {
            client,
            namespace: namespace.to_owned(),
            kubeconfig: server.kubeconfig_with(&token),
            lease: format!("{namespace}-resources"),
        })
    }

    /// The configuration of a control that watches the namespace as its account.
    pub(crate) fn config(&self) -> ControlConfig {
        let section = json!({
            "resources": [
                {"namespaces": [self.namespace]},
                {"group": "toolhive.stacklok.dev", "kind": "MCPRemoteProxy", "namespaces": [self.namespace]},
            ],
            "exchange_hosts": ["*.remote.example.com"],
            "kubeconfig": "@kubeconfig",
            "lease": {"namespace": RELEASE_NAMESPACE, "name": self.lease},
            "start_wait": "3s",
        });
        ControlConfig {
            issuers: vec![ControlIssuer {
                issuer: "https://dex.example.com".to_owned(),
                client_id: "muster".to_owned(),
                client_secret: "client-secret-of-dex".into(),
                policy: None,
                token_endpoint: None,
                relay: None,
                more: Value::Null,
            }],
            settings: vec![
                ("servers".to_owned(), json!([])),
                ("kubernetes".to_owned(), section),
            ],
            files: vec![("kubeconfig".to_owned(), self.kubeconfig.to_string().into_bytes())],
            environment: vec![(
                "RUST_LOG".to_owned(),
                "info,tokenward_kubernetes=debug,tokenward_control=debug".to_owned(),
            )],
            ..ControlConfig::default()
        }
    }

    pub(crate) fn named<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named {
            api: API,
            kind: "MCPServer",
            namespace: &self.namespace,
            name,
        }
    }

    /// Applies a muster MCPServer.
    pub(crate) async fn apply(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        let resource = json!({
            "apiVersion": API, "kind": "MCPServer",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        self.client.apply(&resource).await.map(drop)
    }

    pub(crate) async fn forward(&self, name: &str, path: &str) -> anyhow::Result<()> {
        self.apply(name, &forwarding(path)).await
    }

    pub(crate) async fn put_secret(&self, name: &str, secret: &str) -> anyhow::Result<()> {
        let resource = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace},
            "stringData": {"client-id": "kube", "client-secret": secret},
        });
        self.client.apply(&resource).await.map(drop)
    }

    /// The Events about a resource: reason and note.
    pub(crate) async fn events(&self, name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let events = self
            .client
            .list("events.k8s.io/v1", "Event", &self.namespace)
            .await?;
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let ours = events.iter().filter(|event| {
            event["regarding"]["name"] == name && event["reportingController"] == "tokenward"
        });
        Ok(ours
            .map(|event| (text(event, "reason"), text(event, "note")))
            .collect())
    }
}

pub(crate) fn forwarding(path: &str) -> Value {
    json!({
        "type": "streamable-http", "url": format!("https://mcp.example.com{path}"),
        "auth": {"type": "oauth", "forwardToken": true},
    })
}

pub(crate) fn exchanging(path: &str, secret: &str) -> Value {
    json!({
        "type": "streamable-http", "url": format!("https://mcp.example.com{path}"),
        "auth": {"type": "oauth", "tokenExchange": {
            "enabled": true, "dexTokenEndpoint": "https://dex.remote.example.com/token", "connectorId": "home",
            "clientCredentialsSecretRef": {"name": secret},
        }},
    })
}

/// The servers that control gives to filters: name and path.
pub(crate) async fn servers(control: &Control) -> anyhow::Result<Vec<(String, String)>> {
    let credential = "filter-made-up-credential";
    let http = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
    let answer = http
        .get(format!("{}/filter/state?after=0&servers=0", control.url()))
        .bearer_auth(credential)
        .send()
        .await?
        .error_for_status()?;
    let bytes = answer.bytes().await?;
    let state = FilterState::decode(&bytes).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let list: Value = serde_json::from_slice(state.servers.context("no list")?.json)?;
    let text = |server: &Value, field: &str| server[field].as_str().unwrap_or_default().to_owned();
    let servers = list["servers"].as_array().into_iter().flatten();
    Ok(servers
        .map(|server| (text(server, "name"), text(server, "path_prefix")))
        .collect())
}

pub(crate) async fn names(control: &Control) -> anyhow::Result<Vec<String>> {
    Ok(servers(control)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect())
}

/// Waits until filters learn exactly these servers; how long that took.
pub(crate) async fn learn(control: &Control, expected: &[&str]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    loop {
        let found = names(control).await;
        if found.as_ref().is_ok_and(|found| found == expected) {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > SOON {
            bail!(
                "not {expected:?} within {SOON:?}: {found:?}\n{}",
                control.log().tail(30)
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until `holds` of what `look` finds.
pub(crate) async fn until<T, F>(mut look: impl FnMut() -> F, holds: impl Fn(&T) -> bool) -> anyhow::Result<T>
where
    T: std::fmt::Debug,
    F: Future<Output = anyhow::Result<T>>,
{
    let begun = Instant::now();
    loop {
        let found = look().await?;
        if holds(&found) {
            return Ok(found);
        }
        if begun.elapsed() > SOON {
            bail!("not within {SOON:?}: {found:?}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Lines of the log in which a list was put into force.
pub(crate) fn lists_in_force(control: &Control) -> usize {
    control
        .log()
        .count(|line| line.contains("the servers of Kubernetes are in force"))
}
