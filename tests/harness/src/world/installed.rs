//! The path as the chart installs it: what Helm renders, run by a real Envoy Gateway in front of a world's parts.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{CLIENT, Store, World, WorldBuilder};
use crate::parts::{Chart, EnvoyGateway, EnvoyGatewayConfig, Rendered, ports, tools};

/// Kinds that Envoy Gateway reads; the others are for Kubernetes itself.
const OF_THE_GATEWAY: [&str; 8] = [
    "Backend",
    "BackendTLSPolicy",
    "EnvoyExtensionPolicy",
    "EnvoyPatchPolicy",
    "EnvoyProxy",
    "BackendTrafficPolicy",
    "ClientTrafficPolicy",
    "HTTPRoute",
];

/// The Backend that stands for control's Service.
const CONTROL: &str = "control";

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
        let mut documents = vec![
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "mcp"},
                "spec": {
                    "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
                    "parametersRef": {
                        "group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "tokenward", "namespace": "mcp",
                    },
                },
            })
            .to_string(),
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "metadata": {"name": "mcp", "namespace": "mcp"},
                "spec": {
                    "gatewayClassName": "mcp",
                    "listeners": [{"name": "http", "protocol": "HTTP", "port": installation.port}],
                },
            })
            .to_string(),
        ];
        let servers = self.server_names().into_iter();
        let places = servers.map(|name| (self.server(&name).address(), name));
        for (address, name) in places.chain([(self.control.address(), CONTROL.to_owned())]) {
            documents.push(backend(&name, address));
        }
        if let Some(host) = &installation.issuer_host {
            documents.extend(self.issuer_at(host)?);
        }
        documents.extend(installation.documents.iter().cloned());
        let rendered = installation.render()?;
        let control = self.control.address();
        documents.extend(
            rendered
                .iter()
                .filter_map(|resource| for_the_gateway(resource, control)),
        );
        if installation.annotations {
            documents.push(annotations(&self.server_names()).to_string());
        }
        Ok(documents.join("\n---\n"))
    }
}

impl World {
    /// The home issuer as it is published without a relay: everything at this host.
    fn issuer_at(&self, host: &str) -> anyhow::Result<[String; 2]> {
        let address = url::Url::parse(self.home.issuer())?.socket_addrs(|| None)?;
        let address = *address.first().context("no address of the issuer")?;
        let to = json!([{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": ISSUER}]);
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": ISSUER, "namespace": "mcp"},
            "spec": {"parentRefs": [{"name": "mcp"}], "hostnames": [host], "rules": [{"backendRefs": to}]},
        });
        Ok([backend(ISSUER, address), route.to_string()])
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

/// A Backend at one address.
fn backend(name: &str, address: SocketAddr) -> String {
    let endpoint = json!({"ip": {"address": address.ip().to_string(), "port": address.port()}});
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "Backend",
        "metadata": {"name": name, "namespace": "mcp"}, "spec": {"endpoints": [endpoint]},
    })
    .to_string()
}

/// The file provider does not support Services: references to control's become references to a Backend at its address.
fn for_the_gateway(resource: &Rendered, control: SocketAddr) -> Option<String> {
    let service = format!("{{name: tokenward, namespace: mcp, port: {}}}", control.port());
    let backend = format!("{{group: gateway.envoyproxy.io, kind: Backend, name: {CONTROL}}}");
    let policy_target = "{group: \"\", kind: Service, name: tokenward}";
    let is_authority = resource.kind == "ConfigMap" && resource.yaml.contains("name: tokenward-ca\n");
    (is_authority || OF_THE_GATEWAY.contains(&resource.kind.as_str())).then(|| {
        let yaml = resource.yaml.replace(&service, &backend);
        yaml.replace(policy_target, &backend)
    })
}

/// Envoy Gateway hands an HTTPRoute's annotations on in the route's metadata, but its file provider drops them when
/// it reads the file. This patch puts them where they would be.
fn annotations(servers: &[String]) -> Value {
    let patches = servers.iter().map(|name| {
        json!({
            "type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": "mcp/mcp/http",
            "operation": {
                "op": "add",
                "jsonPath": format!(
                    "..routes[?(@.metadata.filter_metadata['envoy-gateway'].resources[0].name=='tokenward-{name}')]"
                ),
                "path": "/metadata/filter_metadata/envoy-gateway/resources/0/annotations",
                "value": {"tokenward-server": name},
            },
        })
    });
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyPatchPolicy",
        "metadata": {"name": "annotations-of-routes", "namespace": "mcp"},
        "spec": {
            "type": "JSONPatch",
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"},
            "jsonPatches": patches.collect::<Vec<_>>(),
        },
    })
}
