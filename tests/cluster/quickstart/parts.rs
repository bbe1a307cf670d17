//! The parts of the quickstart on this machine: only addresses and lifetimes differ from those in the cluster.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::aloud;
use tokenward_harness::parts::cluster::ApiServer;
use tokenward_harness::parts::{
    Chart, Envoy, EnvoyConfig, EnvoyFilter, EnvoyRoute, Process, ProcessSpec, Rendered, Valkey, ports, tools,
    write_file,
};

use super::{file, text};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);
pub(super) const CLIENT_SECRET: &str = "the-secret-of-the-quickstart";
const AGGREGATOR: &str = "the-credential-of-an-aggregator";
const CREDENTIAL: &str = "the-credential-of-the-filter-0123";
/// Paths of control's authorization server on the host of the quickstart.
const LOGIN_PATHS: [&str; 6] = [
    "/authorize",
    "/token",
    "/register",
    "/revoke",
    "/jwks",
    "/.well-known",
];

fn yaml(text: &str) -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(text)?)
}

/// The addresses of the parts on this machine, in place of those in the cluster.
pub(super) struct Places {
    namespace: &'static str,
    envoy: u16,
    pub(super) dex: u16,
    pub(super) server: u16,
    control: u16,
}

impl Places {
    pub(super) fn new(namespace: &'static str) -> anyhow::Result<Self> {
        Ok(Self {
            namespace,
            envoy: ports::free_port()?,
            dex: ports::free_port()?,
            server: ports::free_port()?,
            control: ports::free_port()?,
        })
    }

    fn here(&self, text: &str) -> String {
        let dex = format!("127.0.0.1:{}", self.dex);
        text.replace("localhost:8080", &format!("localhost:{}", self.envoy))
            .replace("dex.mcp.svc.cluster.local:5556", &dex)
            .replace("0.0.0.0:5556", &dex)
            .replace("dex:5556", &dex)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}

async fn answers(url: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let limit = Instant::now() + PATIENCE;
    while !(http.get(url).send().await).is_ok_and(|answer| answer.status().is_success()) {
        ensure!(Instant::now() < limit, "{url} does not answer");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Dex with the configuration of the ConfigMap; an ID token lives seconds.
pub(super) async fn dex(places: &Places, folder: &TempDir) -> anyhow::Result<Option<Process>> {
    let Some(program) = tools::dex()? else {
        return Ok(None);
    };
    let manifest = text("dex.yaml")?;
    let map = yaml(manifest.split("\n---\n").next().context("no document")?)?;
    let config = map["data"]["config.yaml"].as_str().context("no configuration")?;
    ensure!(config.contains("idTokens: 2m"), "its lifetime is another");
    let config = places.here(config).replace("idTokens: 2m", "idTokens: 4s");
    let file = write_file(folder, "dex.yaml", config)?;
    let mut spec = ProcessSpec::new("dex", program, ["serve".into(), file.into_os_string()]);
    spec.environment = vec![("CLIENT_SECRET".to_owned(), CLIENT_SECRET.to_owned())];
    let process = Process::start(&spec)?;
    answers(&format!("http://127.0.0.1:{}/dex/healthz", places.dex)).await?;
    Ok(Some(process))
}

/// The MCP server with the arguments of its Deployment.
pub(super) async fn server(places: &Places) -> anyhow::Result<Process> {
    let manifest = text("server.yaml")?;
    let deployment = yaml(manifest.split("\n---\n").next().context("no document")?)?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let mut arguments = vec![file("server.py").display().to_string()];
    for argument in container["args"].as_array().context("no arguments")? {
        arguments.push(places.here(argument.as_str().context("not text")?));
    }
    arguments.extend([
        "--address=127.0.0.1".to_owned(),
        format!("--port={}", places.server),
    ]);
    let process = Process::start(&ProcessSpec::new("quickstart-server", "python3", arguments))?;
    answers(&format!("http://127.0.0.1:{}/counts", places.server)).await?;
    Ok(process)
}

/// The chart's resources with the quickstart's values.
fn rendered(chart: &Chart) -> anyhow::Result<Vec<Rendered>> {
    let mut values = yaml(&text("values.yaml")?)?;
    // A token that lives four seconds is fresh for three.
    values["controlSettings"] = json!({"margin": "1s"});
    values["gateway"]["filter"]["sha256"] = "0".repeat(64).into();
    values["gateway"]["filter"]["settings"] = json!({"margin": "1s", "refresh_ahead": "2s"});
    chart.render(&values)
}

/// The one resource, in a namespace of the story.
async fn apply_resource(places: &Places) -> anyhow::Result<()> {
    let client = ApiServer::shared().await?.client()?;
    client.create_namespace(places.namespace).await?;
    let mut resource = yaml(&places.here(&text("mcpserver.yaml")?))?;
    resource["metadata"]["namespace"] = places.namespace.into();
    client.apply(&resource).await.map(drop)
}

fn of_kind(resources: &[Rendered], kind: &str) -> anyhow::Result<Value> {
    let found = resources.iter().find(|resource| resource.kind == kind);
    yaml(&found.with_context(|| kind.to_owned())?.yaml)
}

async fn control(
    places: &Places,
    valkey: &Valkey,
    resources: &[Rendered],
    folder: &TempDir,
) -> anyhow::Result<Process> {
    let map = of_kind(resources, "ConfigMap")?;
    let config = map["data"]["tokenward.yaml"]
        .as_str()
        .context("no configuration")?;
    let mut config = yaml(&places.here(config))?;
    config["listen"] = format!("127.0.0.1:{}", places.control).into();
    config["store"] = json!({"valkey": {"url": valkey.url()}});
    let kubeconfig = ApiServer::shared().await?.kubeconfig().to_string();
    let section = &mut config["kubernetes"];
    section["kubeconfig"] = json!(write_file(folder, "kubeconfig", kubeconfig)?);
    section["resources"][0]["namespaces"] = json!([places.namespace]);
    section["lease"]["namespace"] = places.namespace.into();
    // The image has the module there.
    config
        .as_object_mut()
        .context("no mapping")?
        .remove("filter_module");
    let secrets = folder.path().join("secrets");
    let key = Command::new(tools::tokenward()?).arg("keygen").output()?.stdout;
    let sealing = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (name, content) in [
        ("tokenward-credentials/filter", CREDENTIAL.as_bytes()),
        ("tokenward-credentials/aggregator", AGGREGATOR.as_bytes()),
        ("tokenward-dex/client-secret", CLIENT_SECRET.as_bytes()),
        ("tokenward-sealing/k1", sealing),
        ("tokenward-signing-keys/current.pem", &key),
    ] {
        let path = secrets.join(name);
        std::fs::create_dir_all(path.parent().context("no folder")?)?;
        std::fs::write(path, content)?;
    }
    let config = config
        .to_string()
        .replace("/run/secrets/tokenward", &secrets.display().to_string());
    let file = write_file(folder, "tokenward.yaml", config)?;
    let arguments = ["serve".into(), "--config".into(), file.into_os_string()];
    let process = Process::start(&ProcessSpec::new("control", tools::tokenward()?, arguments))?;
    answers(&format!("http://127.0.0.1:{}/readyz", places.control)).await?;
    Ok(process)
}

async fn envoy(places: &Places, resources: &[Rendered]) -> anyhow::Result<Envoy> {
    let policy = of_kind(resources, "EnvoyExtensionPolicy")?;
    let mut configuration = yaml(&places.here(&policy["spec"]["wasm"][0]["config"].to_string()))?;
    configuration["control"]["cluster"] = "tokenward_control".into();
    let control = Places::address(places.control);
    let mut routes = vec![EnvoyRoute::new("/dex/token", control).exactly()];
    routes.extend(LOGIN_PATHS.map(|path| EnvoyRoute::new(path, control)));
    routes.push(EnvoyRoute::new("/dex", Places::address(places.dex)));
    routes.push(EnvoyRoute::new("/demo", Places::address(places.server)));
    Envoy::start(&EnvoyConfig {
        workers: 4,
        listener_port: places.envoy,
        filter: Some(EnvoyFilter {
            module: tools::filter_module()?,
            configuration,
            credential: Some(CREDENTIAL.to_owned()),
        }),
        control: Some(control),
        routes,
        ..EnvoyConfig::default()
    })
    .await
}

/// Everything, running.
pub(super) struct Stage {
    places: Places,
    http: reqwest::Client,
    _parts: (Process, Process, Valkey, Process, Envoy),
    _folder: TempDir,
}

impl Stage {
    pub(super) async fn start(namespace: &'static str) -> anyhow::Result<Option<Self>> {
        let places = Places::new(namespace)?;
        let folder = TempDir::with_prefix("tokenward-quickstart-")?;
        let (Some(chart), Some(dex)) = (Chart::find()?, dex(&places, &folder).await?) else {
            aloud!("left out: the quickstart's story: no Helm, or no Dex");
            return Ok(None);
        };
        let resources = rendered(&chart)?;
        apply_resource(&places).await?;
        let server = server(&places).await?;
        let valkey = Valkey::start().await?;
        let control = control(&places, &valkey, &resources, &folder).await?;
        let envoy = envoy(&places, &resources).await?;
        Ok(Some(Self {
            places,
            // A connection for each request: the workers take turns.
            http: reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()?,
            _parts: (dex, server, valkey, control, envoy),
            _folder: folder,
        }))
    }

    /// What a user types.
    pub(super) fn url(&self) -> String {
        format!("http://localhost:{}", self.places.envoy)
    }

    pub(super) fn counts_url(&self) -> String {
        format!("http://127.0.0.1:{}/counts", self.places.server)
    }

    pub(super) async fn counts(&self) -> anyhow::Result<Value> {
        Ok(self.http.get(self.counts_url()).send().await?.json().await?)
    }

    pub(super) async fn ping(&self, token: &str) -> anyhow::Result<(u16, Value)> {
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let request = self.http.post(format!("{}/demo/mcp", self.url())).json(&ping);
        let answer = request.bearer_auth(token).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Ends all logins of a user.
    pub(super) async fn sign_out(&self, subject: &str) -> anyhow::Result<()> {
        let user = json!({"issuer": format!("{}/dex", self.url()), "subject": subject});
        let request = self
            .http
            .post(format!("http://127.0.0.1:{}/v1/sign-out", self.places.control))
            .bearer_auth(AGGREGATOR);
        let answer = request.json(&user).send().await?;
        ensure!(answer.status().is_success(), "{answer:?}");
        Ok(())
    }
}
