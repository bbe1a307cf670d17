//! What a standalone Envoy Gateway is given in place of a cluster: a Gateway, what the chart renders, and Backends at addresses of
//! this machine.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Rendered;

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

/// YAML documents for [`super::EnvoyGatewayConfig::resources`], in the namespace `mcp`.
#[derive(Debug, Clone)]
pub struct GatewayResources {
    documents: Vec<String>,
}

impl GatewayResources {
    /// The GatewayClass, and the Gateway `mcp` with one listener at this port.
    pub fn at(port: u16) -> Self {
        let class = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "mcp"},
            "spec": {
                "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
                "parametersRef": {
                    "group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "tokenward", "namespace": "mcp",
                },
            },
        });
        let gateway = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "mcp", "namespace": "mcp"},
            "spec": {
                "gatewayClassName": "mcp",
                "listeners": [{"name": "http", "protocol": "HTTP", "port": port}],
            },
        });
        Self {
            documents: vec![class.to_string(), gateway.to_string()],
        }
    }

    /// Adds a document.
    pub fn add(&mut self, document: String) {
        self.documents.push(document);
    }

    /// Adds a Backend at one address.
    pub fn add_backend(&mut self, name: &str, address: SocketAddr) {
        let endpoint = json!({"ip": {"address": address.ip().to_string(), "port": address.port()}});
        let backend = json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "Backend",
            "metadata": {"name": name, "namespace": "mcp"}, "spec": {"endpoints": [endpoint]},
        });
        self.add(backend.to_string());
    }

    /// Adds those of the chart's resources that Envoy Gateway reads, with control at this address.
    pub fn add_rendered(&mut self, rendered: &[Rendered], control: SocketAddr) {
        self.add_backend(CONTROL, control);
        let resources = rendered
            .iter()
            .filter_map(|resource| for_the_gateway(resource, control));
        self.documents.extend(resources);
    }

    /// Adds the routes' annotations. Envoy Gateway hands an HTTPRoute's annotations on in the route's metadata, but its file
    /// provider drops them when it reads the file. This patch puts them where they would be.
    pub fn add_annotations(&mut self, servers: &[String]) {
        let patches = servers.iter().map(|name| annotation(name));
        let policy = json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyPatchPolicy",
            "metadata": {"name": "annotations-of-routes", "namespace": "mcp"},
            "spec": {
                "type": "JSONPatch",
                "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"},
                "jsonPatches": patches.collect::<Vec<_>>(),
            },
        });
        self.add(policy.to_string());
    }

    /// All of them as one YAML stream.
    pub fn text(&self) -> String {
        self.documents.join("\n---\n")
    }
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

fn annotation(server: &str) -> Value {
    json!({
        "type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "mcp/mcp/http",
        "operation": {
            "op": "add",
            "jsonPath": format!(
                "..routes[?(@.metadata.filter_metadata['envoy-gateway'].resources[0].name=='tokenward-{server}')]"
            ),
            "path": "/metadata/filter_metadata/envoy-gateway/resources/0/annotations",
            "value": {"tokenward-server": server},
        },
    })
}
