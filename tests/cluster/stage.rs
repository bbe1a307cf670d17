//! A world of the harness, installed by the real Helm, with the real Envoy Gateway and its Envoy in front.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokenward_harness::parts::cluster::{
    ApiServer, ClusterEnvoy, ClusterGateway, Helm, KubeClient, Named, SYSTEM,
};
use tokenward_harness::parts::{ports, tools};
use tokenward_harness::world::{CLIENT, LOCAL, Store, World, WorldBuilder};

use super::installing::{CHART, RELEASE};

/// What Envoy Gateway does to a resource, on a busy machine.
pub(crate) const RECONCILED_WITHIN: Duration = Duration::from_secs(60);
/// A name of this machine: the API server refuses loopback addresses in EndpointSlices.
const HERE: &str = "here.test";
pub(crate) const GATEWAYS: &str = "gateway.networking.k8s.io/v1";
pub(crate) const ENVOY: &str = "gateway.envoyproxy.io/v1alpha1";

/// Everything that runs for one story.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) client: KubeClient,
    pub(crate) namespace: String,
    pub(crate) values: Value,
    pub(crate) helm: Helm,
    pub(crate) envoy: ClusterEnvoy,
    _gateway: ClusterGateway,
}

impl Stage {
    /// `namespace` is the story's own.
    pub(crate) async fn start(namespace: &str) -> anyhow::Result<Self> {
        Self::start_with(namespace, |builder| builder, |_, values| values).await
    }

    /// The same, with another world and other values.
    pub(crate) async fn start_with(
        namespace: &str,
        world: impl FnOnce(WorldBuilder) -> WorldBuilder,
        change: impl FnOnce(&World, Value) -> Value,
    ) -> anyhow::Result<Self> {
        let server = ApiServer::shared().await?;
        let client = server.client()?;
        let builder = World::builder()
            .store(Store::Valkey)
            .user("carol@example.com")
            .control_setting("filter_module", json!({"path": tools::filter_module()?}));
        let world = world(builder).start().await?;
        client.create_namespace(namespace).await?;
        let hosts = vec![
            HERE.to_owned(),
            // As Envoy's bootstrap has it.
            format!("envoy-gateway.{SYSTEM}.svc.cluster.local."),
            format!("envoy-gateway.{SYSTEM}.svc.cluster.local"),
            format!("{RELEASE}.{namespace}.svc.cluster.local"),
        ];
        let gateway = ClusterGateway::start(server, &hosts).await?;
        let port = ports::free_port()?;
        put_gateway(&client, namespace, port).await?;
        put_credential(&client, &world).await?;
        for name in world.server_names() {
            put_service(&client, namespace, &name, world.server(&name).address()).await?;
        }
        let values = change(&world, chart_values(&world, &world.module_digest().await?));
        let helm = Helm::new(&server.kubeconfig(), namespace)?;
        helm.run_with(&["install", RELEASE, CHART], &values)?;
        put_endpoints(&client, namespace, RELEASE, world.control.address()).await?;
        let envoy = ClusterEnvoy::start(&client, (namespace, "mcp"), port, &hosts).await?;
        Ok(Self {
            world,
            client,
            namespace: namespace.to_owned(),
            values,
            helm,
            envoy,
            _gateway: gateway,
        })
    }

    /// Waits until a condition of the resource is so; for policies and routes in the status of its first parent.
    pub(crate) async fn wait_for_condition(
        &self,
        (api, kind, name): (&str, &str, &str),
        (condition, status): (&str, &str),
    ) -> anyhow::Result<Value> {
        let named = Named {
            api,
            kind,
            namespace: &self.namespace,
            name,
        };
        let is_so = |resource: &Value| {
            let mut all = conditions(resource);
            all.any(|one| one["type"] == condition && one["status"] == status)
        };
        self.client.wait_for(named, RECONCILED_WITHIN, is_so).await
    }
}

/// All conditions of a resource, of each ancestor or parent too.
pub(crate) fn conditions(resource: &Value) -> impl Iterator<Item = &Value> {
    let status = &resource["status"];
    let of = |value: &'static str, within: &'static str| {
        let places = status[value].as_array().into_iter().flatten();
        places.flat_map(move |place| place[within].as_array().into_iter().flatten())
    };
    let own = status["conditions"].as_array().into_iter().flatten();
    own.chain(of("ancestors", "conditions"))
        .chain(of("parents", "conditions"))
}

/// The chart's values for a world: its servers by Services of the namespace, four workers.
fn chart_values(world: &World, digest: &str) -> Value {
    let servers = world.server_names().into_iter().map(|name| {
        let backends = json!([{"name": name, "port": world.server(&name).address().port()}]);
        let route = json!({"pathPrefix": format!("/{name}"), "backendRefs": backends});
        if name == LOCAL {
            let auth = json!({"type": "oauth", "forwardToken": true, "requiredAudiences": [CLIENT.0]});
            return json!({"name": name, "auth": auth, "route": route});
        }
        let exchange = json!({
            "enabled": true, "dexTokenEndpoint": world.remote.token_endpoint(),
            "expectedIssuer": world.remote.issuer(), "connectorId": "home", "clientId": "kube",
            "clientCredentialsSecretRef": {"name": "remote"},
        });
        let auth = json!({"type": "oauth", "requiredAudiences": ["kube"], "tokenExchange": exchange});
        json!({"name": name, "auth": auth, "route": route})
    });
    json!({
        "issuers": [{
            "issuer": world.home.issuer(), "clientId": CLIENT.0,
            "clientSecretRef": {"name": "home", "key": "secret"},
        }],
        "servers": servers.collect::<Vec<_>>(),
        "service": {"port": world.control.address().port()},
        "gateway": {"filter": {"sha256": digest}, "envoyProxy": {"concurrency": 4}},
    })
}

async fn put_gateway(client: &KubeClient, namespace: &str, port: u16) -> anyhow::Result<()> {
    let class = json!({
        "apiVersion": GATEWAYS, "kind": "GatewayClass", "metadata": {"name": "envoy"},
        "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
    });
    client.apply(&class).await?;
    let gateway = json!({
        "apiVersion": GATEWAYS, "kind": "Gateway", "metadata": {"name": "mcp", "namespace": namespace},
        "spec": {
            "gatewayClassName": "envoy",
            "infrastructure": {"parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": RELEASE}},
            "listeners": [{"name": "http", "protocol": "HTTP", "port": port}],
        },
    });
    client.apply(&gateway).await?;
    Ok(())
}

async fn put_credential(client: &KubeClient, world: &World) -> anyhow::Result<()> {
    let credential = world
        .control
        .config()
        .filter_credential
        .expose_secret()
        .to_owned();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tokenward-credentials", "namespace": SYSTEM},
        "stringData": {"filter": credential},
    });
    client.apply(&secret).await?;
    Ok(())
}

/// A Service of this name with one endpoint on this machine.
pub(crate) async fn put_service(
    client: &KubeClient,
    namespace: &str,
    name: &str,
    address: SocketAddr,
) -> anyhow::Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"name": "http", "port": address.port(), "protocol": "TCP"}]},
    });
    client.apply(&service).await?;
    put_endpoints(client, namespace, name, address).await
}

/// What the controller of EndpointSlices would write for a Service.
pub(crate) async fn put_endpoints(
    client: &KubeClient,
    namespace: &str,
    service: &str,
    address: SocketAddr,
) -> anyhow::Result<()> {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-here"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "FQDN",
        "ports": [{"name": "http", "port": address.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [HERE], "conditions": {"ready": true}}],
    });
    client.apply(&slice).await?;
    Ok(())
}
