//! `quickstart.sh try` on real parts: Dex with the quickstart's configuration, its MCP server, Valkey, control as the chart configures
//! it, and the filter in Envoy with the policy's configuration. Only addresses and lifetimes differ.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::aloud;
use tokenward_harness::parts::{
    Chart, Envoy, EnvoyConfig, EnvoyFilter, EnvoyRoute, Process, ProcessSpec, Rendered, Valkey, ports, tools,
    write_file,
};

use super::{file, text};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const CLIENT_SECRET: &str = "the-secret-of-the-quickstart";
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
struct Places {
    envoy: u16,
    dex: u16,
    server: u16,
    control: u16,
}

impl Places {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
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
async fn dex(places: &Places, folder: &TempDir) -> anyhow::Result<Option<Process>> {
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
async fn server(places: &Places) -> anyhow::Result<Process> {
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

/// The chart's resources with the quickstart's values, and the server as `import` makes it of the resource.
fn rendered(chart: &Chart) -> anyhow::Result<Vec<Rendered>> {
    let mut values = yaml(&text("values.yaml")?)?;
    let import = Command::new(tools::tokenward()?)
        .arg("import")
        .arg(file("mcpserver.yaml"))
        .arg("--values")
        .output()?;
    ensure!(
        import.status.success(),
        "{}",
        String::from_utf8_lossy(&import.stderr)
    );
    let imported = yaml(&String::from_utf8(import.stdout)?)?;
    values["servers"] = imported["servers"].clone();
    values["servers"][0]["match"] = json!({"host": "localhost", "pathPrefix": "/demo/mcp"});
    values["servers"][0]["resource"] = "http://localhost:8080/demo/mcp".into();
    // A token that lives four seconds is fresh for three.
    values["controlSettings"] = json!({"margin": "1s"});
    values["gateway"]["filter"]["sha256"] = "0".repeat(64).into();
    values["gateway"]["filter"]["settings"] = json!({"margin": "1s", "refresh_ahead": "2s"});
    chart.render(&values)
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
        (
            "tokenward-credentials/aggregator",
            b"the-credential-of-an-aggregator",
        ),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_replaced_as_the_page_says() -> anyhow::Result<()> {
    let (places, folder) = (Places::new()?, TempDir::with_prefix("tokenward-quickstart-")?);
    let Some(chart) = Chart::find()? else {
        aloud!("left out: the quickstart's story: no Helm");
        return Ok(());
    };
    let Some(_dex) = dex(&places, &folder).await? else {
        aloud!("left out: the quickstart's story: no Dex");
        return Ok(());
    };
    let resources = rendered(&chart)?;
    let _server = server(&places).await?;
    let valkey = Valkey::start().await?;
    let _control = control(&places, &valkey, &resources, &folder).await?;
    let _envoy = envoy(&places, &resources).await?;

    let counts = format!("http://127.0.0.1:{}/counts", places.server);
    let script = Command::new(file("quickstart.sh"))
        .arg("try")
        .env(
            "TOKENWARD_QUICKSTART_URL",
            format!("http://localhost:{}", places.envoy),
        )
        .env("TOKENWARD_QUICKSTART_SECRET", CLIENT_SECRET)
        .env("TOKENWARD_QUICKSTART_COUNTS", &counts)
        .output()?;
    let (printed, said) = (
        String::from_utf8(script.stdout)?,
        String::from_utf8(script.stderr)?,
    );
    ensure!(script.status.success(), "{printed}{said}");
    ensure!(
        printed.contains(r#""refusal":"missing_bearer","server":"demo""#),
        "{printed}"
    );
    assert_eq!(
        printed.matches("alice@example.com: the token").count(),
        2,
        "{printed}"
    );
    let counted: Value = reqwest::get(&counts).await?.json().await?;
    assert_eq!(
        counted,
        json!({"accepted": 2, "expired": 0, "invalid": 0, "missing": 0})
    );
    ensure!(printed.contains(r#""expired": 0"#), "{printed}");
    Ok(())
}

/// The server is no witness unless it refuses by itself what the gateway would let through.
#[tokio::test(flavor = "multi_thread")]
async fn the_quickstarts_server_refuses_what_has_expired_or_was_changed() -> anyhow::Result<()> {
    let (places, folder) = (Places::new()?, TempDir::with_prefix("tokenward-quickstart-")?);
    let Some(_dex) = dex(&places, &folder).await? else {
        aloud!("left out: the quickstart's server: no Dex");
        return Ok(());
    };
    let _server = server(&places).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let form = [
        ("grant_type", "password"),
        ("username", "alice@example.com"),
        ("password", "password"),
        ("scope", "openid email"),
    ];
    let login = http
        .post(format!("http://127.0.0.1:{}/dex/token", places.dex))
        .basic_auth("tokenward", Some(CLIENT_SECRET))
        .form(&form);
    let login: Value = login.send().await?.json().await?;
    let token = login["id_token"]
        .as_str()
        .with_context(|| login.to_string())?
        .to_owned();
    let url = format!("http://127.0.0.1:{}/demo/mcp", places.server);
    let call = async |token: &str| -> anyhow::Result<u16> {
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        Ok(http
            .post(&url)
            .bearer_auth(token)
            .json(&ping)
            .send()
            .await?
            .status()
            .as_u16())
    };
    assert_eq!(call(&token).await?, 200);
    let (signed, signature) = token.rsplit_once('.').context("no signature")?;
    let changed: String = signature.chars().rev().collect();
    assert_eq!(call(&format!("{signed}.{changed}")).await?, 401);
    let limit = Instant::now() + PATIENCE;
    while call(&token).await? != 401 {
        ensure!(Instant::now() < limit, "an expired token is accepted");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let counts: Value = http
        .get(format!("http://127.0.0.1:{}/counts", places.server))
        .send()
        .await?
        .json()
        .await?;
    assert_eq!((&counts["expired"], &counts["invalid"]), (&json!(1), &json!(1)));
    Ok(())
}
