//! The path as the chart installs it: what Helm renders, run by a real Envoy Gateway in front of a world's parts.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{CLIENT, Store, World, WorldBuilder};
use crate::parts::{Chart, EnvoyGateway, EnvoyGatewayConfig, GatewayResources, Rendered, ports, tools};

/// The Backend and the HTTPRoute of a published issuer.
const ISSUER: &str = "issuer";

/// How a world is installed.
#[derive(Debug, Clone)]
pub struct Installation {
    chart: Chart,
    port: u16,
    values: Value,
    annotations: bool,
    issuer_host: Option<String>,
    documents: Vec<String>,
}

impl World {
    /// A world whose control serves the filter's module, and how the chart installs it; `None`, with a line on the
    /// terminal, where Envoy Gateway and Helm are not built.
    ///
    /// # Errors
    /// When a part is missing or does not start.
    pub async fn start_installable(story: &str) -> anyhow::Result<Option<(Self, Installation)>> {
        Self::start_installable_at(story, ports::free_port()?, |builder| builder).await
    }

    /// The same, with the Gateway at this port and with what `more` adds to the world.
    ///
    /// # Errors
    /// When a part is missing or does not start.
    pub async fn start_installable_at(
        story: &str,
        port: u16,
        more: impl FnOnce(WorldBuilder) -> WorldBuilder,
    ) -> anyhow::Result<Option<(Self, Installation)>> {
        let (Some(chart), true) = (Chart::find()?, EnvoyGateway::is_there()?) else {
            crate::aloud!("left out: {story}: {}", EnvoyGateway::IS_MISSING);
            return Ok(None);
        };
        let module = tools::filter_module()?;
        let builder = Self::builder()
            .store(Store::Valkey)
            .user("carol@example.com")
            .control_setting("filter_module", json!({"path": module}));
        let world = more(builder).start().await?;
        let installation = Installation {
            chart,
            port,
            values: world.chart_values(&world.module_digest().await?),
            annotations: true,
            issuer_host: None,
            documents: Vec::new(),
        };
        Ok(Some((world, installation)))
    }

    /// SHA-256 of the module that control serves now.
    ///
    /// # Errors
    /// When control serves none.
    pub async fn module_digest(&self) -> anyhow::Result<String> {
        let url = format!("{}/filter/tokenward.wasm.sha256", self.control.url());
        let text = self
            .http
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?;
        let digest = text.split_whitespace().next().context("an empty digest")?;
        ensure!(digest.len() == 64, "no digest: {text}");
        Ok(digest.to_owned())
    }

    fn chart_values(&self, digest: &str) -> Value {
        let route = |name: &str| {
            json!({
                "pathPrefix": format!("/{name}"),
                "backendRefs": [{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name}],
            })
        };
        let servers = self.server_names().into_iter().map(|name| {
            if name == super::LOCAL {
                let auth = json!({"type": "oauth", "forwardToken": true, "requiredAudiences": [CLIENT.0]});
                return json!({"name": name, "auth": auth, "route": route(&name)});
            }
            let exchange = json!({
                "enabled": true, "dexTokenEndpoint": self.remote.token_endpoint(),
                "expectedIssuer": self.remote.issuer(), "connectorId": "home", "clientId": "kube",
                "clientCredentialsSecretRef": {"name": "remote"},
            });
            let auth = json!({"type": "oauth", "requiredAudiences": ["kube"], "tokenExchange": exchange});
            json!({"name": name, "auth": auth, "route": route(&name)})
        });
        let control = self.control.address();
        json!({
            "issuers": [{
                "issuer": self.home.issuer(), "clientId": CLIENT.0,
                "clientSecretRef": {"name": "home", "key": "secret"},
            }],
            "servers": servers.collect::<Vec<_>>(),
            "service": {"port": control.port()},
            "gateway": {
                "filter": {"sha256": digest},
                "control": {"host": control.ip().to_string(), "port": control.port()},
                "envoyProxy": {"concurrency": 4},
            },
        })
    }

    /// Envoy Gateway with what the chart renders for this world.
    ///
    /// # Errors
    /// When Helm refuses the values, or Envoy Gateway does not become ready.
    pub async fn install(&self, installation: &Installation) -> anyhow::Result<EnvoyGateway> {
        EnvoyGateway::start(&EnvoyGatewayConfig {
            resources: self.resources(installation)?,
            port: installation.port,
            credential: secrecy::ExposeSecret::expose_secret(&self.control.config().filter_credential)
                .to_owned(),
        })
        .await
    }

    /// What [`World::install`] hands to Envoy Gateway.
    ///
    /// # Errors
    /// When Helm refuses the values.
    pub fn resources(&self, installation: &Installation) -> anyhow::Result<String> {
        let mut resources = GatewayResources::at(installation.port);
        for name in self.server_names() {
            resources.add_backend(&name, self.server(&name).address());
        }
        if let Some(host) = &installation.issuer_host {
            self.add_issuer_at(host, &mut resources)?;
        }
        for document in &installation.documents {
            resources.add(document.clone());
        }
        resources.add_rendered(&installation.render()?, self.control.address());
        if installation.annotations {
            resources.add_annotations(&self.server_names());
        }
        Ok(resources.text())
    }
}

impl World {
    /// The home issuer as it is published without a relay: everything at this host.
    fn add_issuer_at(&self, host: &str, resources: &mut GatewayResources) -> anyhow::Result<()> {
        let address = url::Url::parse(self.home.issuer())?.socket_addrs(|| None)?;
        let address = *address.first().context("no address of the issuer")?;
        let to = json!([{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": ISSUER}]);
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": ISSUER, "namespace": "mcp"},
            "spec": {"parentRefs": [{"name": "mcp"}], "hostnames": [host], "rules": [{"backendRefs": to}]},
        });
        resources.add_backend(ISSUER, address);
        resources.add(route.to_string());
        Ok(())
    }
}

impl Installation {
    /// The Gateway's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All resources of the chart.
    ///
    /// # Errors
    /// When Helm refuses the values.
    pub fn render(&self) -> anyhow::Result<Vec<Rendered>> {
        self.chart.render(&self.values)
    }

    /// With another value of the chart, by JSON pointer.
    ///
    /// # Errors
    /// When the pointer's parent is not there.
    pub fn value(mut self, pointer: &str, value: impl Into<Value>) -> anyhow::Result<Self> {
        let (parent, key) = pointer.rsplit_once('/').context("no pointer")?;
        let parent = self.values.pointer_mut(parent).context("no such value")?;
        parent[key] = value.into();
        Ok(self)
    }

    /// With one more resource for Envoy Gateway.
    pub fn document(mut self, resource: &Value) -> Self {
        self.documents.push(resource.to_string());
        self
    }

    /// With the home issuer published at this host of the Gateway. Of its requests only those for documents are listed as
    /// unprotected: the rest is up to the chart.
    ///
    /// # Errors
    /// When the values have no filter.
    pub fn issuer_at(mut self, host: &str) -> anyhow::Result<Self> {
        self.issuer_host = Some(host.to_owned());
        let documents = ["/dex/keys", "/dex/.well-known"];
        let unprotected = documents.map(|path| json!({"host": host, "pathPrefix": path}));
        self.value("/gateway/filter/unprotected", json!(unprotected))
    }

    /// Servers are found by their paths, not by the routes' annotations.
    ///
    /// # Errors
    /// When there are no servers.
    pub fn by_path(mut self) -> anyhow::Result<Self> {
        self.annotations = false;
        let servers = self.values["servers"].as_array_mut().context("no servers")?;
        for server in servers {
            server["match"] = json!({"pathPrefix": server["route"]["pathPrefix"]});
        }
        Ok(self)
    }
}
