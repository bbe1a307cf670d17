//! An Envoy whose own filter `envoy.filters.http.oauth2` logs users in and refreshes by itself, before the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::envoy_start::wait_until_started;
use super::envoy_template::cluster;
use super::{EnvoyConfig, LogBook, Process, ProcessSpec, tools, write_file};
use crate::secrets;

const ENDS_WITHIN: Duration = Duration::from_secs(60);
const HMAC_SECRET: &str = "only-for-tests-hmac";
/// Where it takes the browser with a code.
const CALLBACK: &str = "/oauth2/callback";

/// What it is configured with.
#[derive(Debug, Clone)]
pub struct EnvoyOAuth2Config {
    /// Port of 127.0.0.1 on which it listens; the client's redirect is `/oauth2/callback` there.
    pub port: u16,
    /// The issuer's authorization endpoint, with the query that it needs besides.
    pub authorization_endpoint: String,
    /// The issuer's token endpoint.
    pub token_endpoint: String,
    /// The client and its secret.
    pub client: (String, String),
    /// Scopes of a login.
    pub scopes: Vec<String>,
    /// The gateway to which requests go on, with the user's ID token.
    pub upstream: SocketAddr,
}

/// A running one, with its sessions in cookies. It ends with this guard.
#[derive(Debug)]
pub struct EnvoyOAuth2 {
    address: SocketAddr,
    spec: ProcessSpec,
    process: Process,
    folder: TempDir,
}

impl EnvoyOAuth2 {
    /// Starts it and waits until it takes requests.
    ///
    /// # Errors
    /// When there is no Envoy on this machine, or it does not start.
    pub async fn start(config: &EnvoyOAuth2Config) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-envoy-oauth2-")?;
        secrets::note(&config.client.1);
        secrets::note(HMAC_SECRET);
        let bootstrap = write_file(&folder, "envoy.yaml", bootstrap(config)?.to_string())?;
        let arguments = [
            "-c".into(),
            bootstrap.into_os_string(),
            "--concurrency".into(),
            "2".into(),
            "--admin-address-path".into(),
            folder.path().join("admin-address").into_os_string(),
            "--disable-hot-restart".into(),
            "-l".into(),
            "warning".into(),
        ];
        let spec = ProcessSpec::new::<std::ffi::OsString>("envoy-oauth2", tools::envoy()?, arguments);
        let mut process = Process::start(&spec)?;
        let address = started(&mut process, &folder).await?;
        Ok(Self {
            address,
            spec,
            process,
            folder,
        })
    }

    /// Ends it in order and starts it again.
    ///
    /// # Errors
    /// When it does not end or does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.terminate(ENDS_WITHIN).await?;
        std::fs::remove_file(self.folder.path().join("admin-address"))?;
        self.process = Process::start(&self.spec)?;
        self.address = started(&mut self.process, &self.folder).await?;
        Ok(())
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }
}

async fn started(process: &mut Process, folder: &TempDir) -> anyhow::Result<SocketAddr> {
    let address_file = folder.path().join("admin-address");
    let (_, listener) = wait_until_started(process, &EnvoyConfig::default(), &address_file).await?;
    Ok(listener)
}

fn bootstrap(config: &EnvoyOAuth2Config) -> anyhow::Result<Value> {
    let token_endpoint = Url::parse(&config.token_endpoint)?;
    let issuer = token_endpoint
        .socket_addrs(|| None)?
        .into_iter()
        .next()
        .context("a token endpoint without an address")?;
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "oauth2",
        "route_config": {"name": "oauth2", "virtual_hosts": [{
            "name": "oauth2", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "gateway", "timeout": "0s"}}],
        }]},
        "http_filters": [
            {"name": "oauth2", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2",
                "config": filter(config),
            }},
            {"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }},
        ],
    });
    let secret = |name: &str, value: &str| json!({"name": name, "generic_secret": {"secret": {"inline_string": value}}});
    Ok(json!({
        "node": {"id": "oauth2", "cluster": "oauth2"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": [{
                "name": "oauth2",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": config.port}},
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
                }]}],
            }],
            "clusters": [cluster("gateway", [&config.upstream]), cluster("issuer", [&issuer])],
            "secrets": [secret("token", &config.client.1), secret("hmac", HMAC_SECRET)],
        },
    }))
}

fn filter(config: &EnvoyOAuth2Config) -> Value {
    json!({
        "token_endpoint": {"cluster": "issuer", "uri": config.token_endpoint, "timeout": "10s"},
        "authorization_endpoint": config.authorization_endpoint,
        "redirect_uri": format!("http://127.0.0.1:{}{CALLBACK}", config.port),
        "redirect_path_matcher": {"path": {"exact": CALLBACK}},
        "signout_path": {"path": {"exact": "/oauth2/sign-out"}},
        "credentials": {
            "client_id": config.client.0,
            "token_secret": {"name": "token"},
            "hmac_secret": {"name": "hmac"},
        },
        "auth_scopes": config.scopes,
        "use_refresh_token": true,
        "forward_id_token": {"header": "Authorization"},
        // A request of a tool without a login is refused, not sent to the issuer.
        "deny_redirect_matcher": [{"name": ":method", "string_match": {"exact": "POST"}}],
    })
}
