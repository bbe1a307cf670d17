//! The real Envoy Gateway with its Kubernetes provider, and the Envoy that it wants a Deployment to run.
//!
//! What nodes and other controllers would do is done here: the load balancer's address, the Deployment's status, the pod.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::envoy_gateway::Turn;
use super::super::process::LOOK_AGAIN;
use super::super::prometheus::settled;
use super::super::{EnvoyGateway, EnvoyLine, LogBook, Metrics, Process, tools};
use super::rooted::Rooted;
use super::{ApiServer, KubeClient, Named};
use crate::issuer::jose::http_client;

/// Where Envoy Gateway is installed.
pub const SYSTEM: &str = "envoy-gateway-system";
/// Envoy Gateway, its Envoy, the module fetched and compiled for every worker, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Of Envoy, as its bootstrap has it.
const ADMIN: &str = "127.0.0.1:19000";
/// Of Envoy Gateway itself; its default is Envoy's.
const OWN_ADMIN_PORT: u16 = 19010;
const POD: &str = "envoy-pod";

/// A running Envoy Gateway in a cluster. It ends with this guard.
#[derive(Debug)]
pub struct ClusterGateway {
    process: Process,
    // Declared last: the fixed ports are free again when the process is gone, and its root after it.
    _root: Rooted,
    _turn: Turn,
}

/// An Envoy as a pod of Envoy Gateway's Deployment. It ends with this guard.
#[derive(Debug)]
pub struct ClusterEnvoy {
    process: Process,
    port: u16,
    _root: Rooted,
}

impl ClusterGateway {
    /// Starts it as its own chart does, certificates included; `hosts` are the names of the Services that it shall reach on
    /// this machine.
    ///
    /// # Errors
    /// When it is not built here, or does not become ready.
    pub async fn start(server: &ApiServer, hosts: &[String]) -> anyhow::Result<Self> {
        let program = tools::envoy_gateway()?.context(EnvoyGateway::IS_MISSING)?;
        let turn = Turn::take().await?;
        let client = server.client()?;
        client.create_namespace(SYSTEM).await?;
        let root = Rooted::new(&program, hosts)?;
        root.file("/kubeconfig", server.kubeconfig().to_string())?;
        root.file("/envoy-gateway.yaml", configuration().to_string())?;
        let environment = || {
            [
                ("KUBECONFIG", "/kubeconfig"),
                ("ENVOY_GATEWAY_NAMESPACE", SYSTEM),
                ("HOME", "/tmp"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
        };
        let words = |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
        let mut certificates =
            root.start(&words(&["certgen", "--disable-topology-injector"]), environment())?;
        let status = certificates.wait_for_exit(READY_WITHIN).await?;
        ensure!(status.success(), "certgen: {}", certificates.log().tail(20));
        mount_secret(&client, &root, "envoy-gateway", "/certs").await?;
        let process = root.start(
            &words(&["server", "--config-path", "/envoy-gateway.yaml"]),
            environment(),
        )?;
        let mut gateway = Self {
            process,
            _root: root,
            _turn: turn,
        };
        let limit = Instant::now() + READY_WITHIN;
        while !is_ready("http://127.0.0.1:8081/readyz").await {
            gateway.process.ensure_running()?;
            let tail = || gateway.process.log().tail(40);
            ensure!(Instant::now() < limit, "Envoy Gateway is not ready:\n{}", tail());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(gateway)
    }

    /// What it has logged.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }
}

impl ClusterEnvoy {
    /// Runs the Deployment that Envoy Gateway made for this Gateway, with `port` of its listener, and writes what the missing
    /// controllers would: the Service's address and the Deployment's status.
    ///
    /// # Errors
    /// When there is no such Deployment, or Envoy does not become ready.
    pub async fn start(
        client: &KubeClient,
        (namespace, gateway): (&str, &str),
        port: u16,
        hosts: &[String],
    ) -> anyhow::Result<Self> {
        let deployment = owned(client, "apps/v1", "Deployment", (namespace, gateway)).await?;
        let spec = &deployment["spec"]["template"]["spec"];
        let containers = spec["containers"].as_array().context("no containers")?;
        let container = containers
            .iter()
            .find(|container| container["name"] == "envoy")
            .context("no Envoy")?;
        let program = tools::envoy_of_gateway()?.context(EnvoyGateway::IS_MISSING)?;
        let root = Rooted::new(&program, hosts)?;
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let at = mount["mountPath"].as_str().context("no path")?;
            let volumes = spec["volumes"].as_array().into_iter().flatten();
            let volume = volumes.into_iter().find(|volume| volume["name"] == mount["name"]);
            mount_volume(client, &root, volume.context("no volume")?, at).await?;
        }
        let environment = environment(client, container).await?;
        let mut arguments: Vec<String> = container["args"]
            .as_array()
            .context("no arguments")?
            .iter()
            .filter_map(Value::as_str)
            .map(|argument| {
                environment
                    .iter()
                    .fold(argument.to_owned(), |text, (name, value)| {
                        text.replace(&format!("$({name})"), value)
                    })
            })
            .collect();
        // Another Envoy of this machine has the first base id.
        arguments.push("--disable-hot-restart".to_owned());
        let process = root.start(&arguments, environment)?;
        let mut envoy = Self {
            process,
            port,
            _root: root,
        };
        envoy.wait_until_listening().await?;
        report_ready(client, &deployment, (namespace, gateway)).await?;
        Ok(envoy)
    }

    /// `http://127.0.0.1:PORT` of the Gateway's listener.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }

    /// What the filter logged.
    pub fn wasm_lines(&self) -> Vec<EnvoyLine> {
        let lines = self.log().lines();
        lines
            .iter()
            .filter_map(|line| EnvoyLine::read_wasm(line))
            .collect()
    }

    /// Its metrics, once the filter has reported all that it counted.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn stats(&self) -> anyhow::Result<Metrics> {
        settled(|| async { Ok(Metrics::read(&self.admin("/stats/prometheus").await?)) }).await
    }

    /// Its admin interface.
    pub fn admin_url(&self) -> String {
        format!("http://{ADMIN}")
    }

    /// An answer of its admin interface.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin(&self, path: &str) -> anyhow::Result<String> {
        let answer = http_client().get(format!("http://{ADMIN}{path}")).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    async fn wait_until_listening(&mut self) -> anyhow::Result<()> {
        let limit = Instant::now() + READY_WITHIN;
        let port = format!(":{}", self.port);
        loop {
            let listeners = self.admin("/listeners").await.unwrap_or_default();
            if listeners.lines().any(|line| line.ends_with(&port))
                // It is listed before the workers accept connections.
                && tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
            {
                return Ok(());
            }
            self.process.ensure_running()?;
            if Instant::now() > limit {
                bail!("Envoy does not listen:\n{}", self.process.log().tail(40));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn configuration() -> Value {
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyGateway",
        "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        "provider": {"type": "Kubernetes", "kubernetes": {
            "leaderElection": {"disable": true}, "proxyTopologyInjector": {"disabled": true},
        }},
        "admin": {"address": {"host": "127.0.0.1", "port": OWN_ADMIN_PORT}},
        // Its port is one of Envoy's.
        "telemetry": {"metrics": {"prometheus": {"disable": true}}},
        "logging": {"level": {"default": "info"}},
        "extensionApis": {"enableBackend": true, "enableEnvoyPatchPolicy": true},
    })
}

async fn is_ready(url: &str) -> bool {
    let answer = http_client().get(url).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// The resource that Envoy Gateway made for a Gateway.
async fn owned(
    client: &KubeClient,
    api: &str,
    kind: &str,
    (namespace, gateway): (&str, &str),
) -> anyhow::Result<Value> {
    let limit = Instant::now() + READY_WITHIN;
    loop {
        let found = client
            .list(api, kind, SYSTEM)
            .await?
            .into_iter()
            .find(|resource| {
                let labels = &resource["metadata"]["labels"];
                labels["gateway.envoyproxy.io/owning-gateway-name"] == gateway
                    && labels["gateway.envoyproxy.io/owning-gateway-namespace"] == namespace
            });
        if let Some(found) = found {
            return Ok(found);
        }
        ensure!(
            Instant::now() < limit,
            "Envoy Gateway made no {kind} for {namespace}/{gateway}"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The pod runs, and the load balancer has an address (of those for documentation).
async fn report_ready(client: &KubeClient, deployment: &Value, gateway: (&str, &str)) -> anyhow::Result<()> {
    let name = deployment["metadata"]["name"].as_str().context("no name")?;
    let named = Named {
        api: "apps/v1",
        kind: "Deployment",
        namespace: SYSTEM,
        name,
    };
    let replicas = json!({
        "observedGeneration": deployment["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1,
        "readyReplicas": 1, "availableReplicas": 1,
    });
    client.set_status(named, &replicas).await?;
    let service = owned(client, "v1", "Service", gateway).await?;
    let name = service["metadata"]["name"].as_str().context("no name")?;
    let named = Named {
        api: "v1",
        kind: "Service",
        namespace: SYSTEM,
        name,
    };
    let address = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    client.set_status(named, &address).await?;
    Ok(())
}

async fn environment(client: &KubeClient, container: &Value) -> anyhow::Result<Vec<(String, String)>> {
    let mut environment = Vec::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().context("no name")?.to_owned();
        let from = &variable["valueFrom"];
        let value = if let Some(value) = variable["value"].as_str() {
            value.to_owned()
        } else if let Some(field) = from["fieldRef"]["fieldPath"].as_str() {
            match field {
                "metadata.namespace" => SYSTEM.to_owned(),
                _ => POD.to_owned(),
            }
        } else {
            let key = &from["secretKeyRef"];
            let secret = key["name"]
                .as_str()
                .with_context(|| format!("{name} has no value"))?;
            let content = secret_content(client, secret).await?;
            let wanted = key["key"].as_str().unwrap_or_default();
            let found = content.into_iter().find(|(key, _)| key == wanted);
            String::from_utf8(found.with_context(|| format!("{secret} has no {wanted}"))?.1)?
        };
        environment.push((name, value));
    }
    Ok(environment)
}

async fn mount_volume(client: &KubeClient, root: &Rooted, volume: &Value, at: &str) -> anyhow::Result<()> {
    if let Some(secret) = volume["secret"]["secretName"].as_str() {
        return mount_secret(client, root, secret, at).await;
    }
    let Some(name) = volume["configMap"]["name"].as_str() else {
        return Ok(std::fs::create_dir_all(root.place(at))?);
    };
    let named = Named {
        api: "v1",
        kind: "ConfigMap",
        namespace: SYSTEM,
        name,
    };
    let map = client.get(named).await?.context("no such ConfigMap")?;
    let items = volume["configMap"]["items"].as_array();
    for (key, content) in map["data"].as_object().into_iter().flatten() {
        let item = items.into_iter().flatten().find(|item| item["key"] == *key);
        let path = item.and_then(|item| item["path"].as_str()).unwrap_or(key);
        root.file(&format!("{at}/{path}"), content.as_str().unwrap_or_default())?;
    }
    Ok(())
}

async fn mount_secret(client: &KubeClient, root: &Rooted, secret: &str, at: &str) -> anyhow::Result<()> {
    for (key, content) in secret_content(client, secret).await? {
        root.file(&format!("{at}/{key}"), content)?;
    }
    Ok(())
}

async fn secret_content(client: &KubeClient, name: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let named = Named {
        api: "v1",
        kind: "Secret",
        namespace: SYSTEM,
        name,
    };
    let secret = client
        .get(named)
        .await?
        .with_context(|| format!("no Secret {name}"))?;
    let data = secret["data"].as_object().context("an empty Secret")?;
    data.iter()
        .map(|(key, value)| Ok((key.clone(), STANDARD.decode(value.as_str().unwrap_or_default())?)))
        .collect()
}
