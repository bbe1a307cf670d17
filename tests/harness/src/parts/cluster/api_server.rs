//! A real Kubernetes API server with its etcd on this machine. There is no kubelet and no controller: what they would
//! write (a Service's address, EndpointSlices, a Deployment's status), tests write.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::super::process::LOOK_AGAIN;
use super::super::{Authority, LogBook, Process, ProcessSpec, ports, reaper, tools, write_file};
use super::{AuditedRequest, KubeClient, audit, crds};
use crate::secrets;

/// Two minutes' worth of a machine on which everything is built at the same time.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Of Services; no address of it is ever used.
const SERVICE_ADDRESSES: &str = "10.96.0.0/16";

const AUDIT_LOG: &str = "audit.log";

static SHARED: OnceCell<ApiServer> = OnceCell::const_new();

/// A running API server. It ends, etcd too, with this guard; a shared one with the process.
#[derive(Debug)]
pub struct ApiServer {
    etcd: Process,
    server: Process,
    arguments: Vec<String>,
    port: u16,
    authority: String,
    admin: String,
    folder: TempDir,
    reaper: Option<Child>,
}

impl ApiServer {
    /// Why stories on it are left out where it is not built.
    pub const IS_MISSING: &str = "target/tools lacks kube-apiserver, etcd or the CRDs: run `cargo xtask setup --with-cluster` \
                                  with Go ≥ 1.26 on PATH";

    /// Whether its programs are on this machine.
    ///
    /// # Errors
    /// When one of their variables names what is not there.
    pub fn is_there() -> anyhow::Result<bool> {
        Ok(tools::kube_apiserver()?.is_some() && tools::etcd()?.is_some() && tools::crds().is_some())
    }

    /// The one that the tests of this process share, with every CRD installed. A test has namespaces of its own in it.
    ///
    /// # Errors
    /// When it is not built here, or does not become ready.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        let start = async || {
            let mut server = Self::start().await?;
            crds::install(&server.client()?).await?;
            server.reaper = Some(server.outlive()?);
            anyhow::Ok(server)
        };
        SHARED.get_or_try_init(start).await
    }

    /// Starts one without any CRD.
    ///
    /// # Errors
    /// When it is not built here, or does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-api-server-")?;
        let etcd_port = ports::free_port()?;
        let etcd = start_etcd(&folder, etcd_port)?;
        let port = ports::free_port()?;
        let admin = random_token()?;
        let authority = prepare(&folder, &admin)?;
        let arguments = arguments(folder.path(), port, etcd_port);
        let mut api_server = Self {
            etcd,
            server: start_server(&arguments)?,
            arguments,
            port,
            authority,
            admin,
            folder,
            reaper: None,
        };
        api_server.wait_until_ready().await?;
        Ok(api_server)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority of its certificate, PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What it has logged.
    pub fn log(&self) -> &LogBook {
        self.server.log()
    }

    /// A client that may do everything.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn client(&self) -> anyhow::Result<KubeClient> {
        self.client_of(&self.admin)
    }

    /// A client with this token, of a ServiceAccount for example.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn client_of(&self, token: &str) -> anyhow::Result<KubeClient> {
        KubeClient::new(&self.url(), &self.authority, token)
    }

    /// A kubeconfig of a user that may do everything.
    pub fn kubeconfig(&self) -> Value {
        self.kubeconfig_of(&json!({"token": self.admin}))
    }

    /// A kubeconfig of a user with what RBAC grants to that name, as a member of `system:authenticated`.
    pub fn kubeconfig_as(&self, user: &str) -> Value {
        self.kubeconfig_of(&json!({"token": self.admin, "as": user}))
    }

    /// A kubeconfig with this token.
    pub fn kubeconfig_with(&self, token: &str) -> Value {
        self.kubeconfig_of(&json!({"token": token}))
    }

    fn kubeconfig_of(&self, user: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": {
                "server": self.url(), "certificate-authority-data": STANDARD.encode(&self.authority),
            }}],
            "users": [{"name": "tests", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        })
    }

    /// The requests for resources that a user made, itself or impersonated, oldest first.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn requests_of(&self, user: &str) -> anyhow::Result<Vec<AuditedRequest>> {
        audit::requests_of(&self.folder.path().join(AUDIT_LOG), user)
    }

    /// Stops it where it is (SIGSTOP): connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.server.pause()
    }

    /// Lets it go on after [`ApiServer::pause`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.server.resume()
    }

    /// Ends it at once (SIGKILL); etcd keeps what was stored.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill()
    }

    /// Starts it again at the same address after [`ApiServer::kill`].
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.server = start_server(&self.arguments)?;
        self.wait_until_ready().await
    }

    /// Where its etcd listens, as `http://127.0.0.1:PORT`.
    ///
    /// # Errors
    /// When the arguments name none.
    pub fn etcd_url(&self) -> anyhow::Result<&str> {
        let named = self
            .arguments
            .iter()
            .find_map(|argument| argument.strip_prefix("--etcd-servers="));
        named.context("no etcd")
    }

    /// Removes every old revision from its etcd: a watch that resumes at one of them is answered 410.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub async fn compact(&self) -> anyhow::Result<()> {
        let http = crate::issuer::jose::http_client();
        let ask = async |path: &str, body: Value| -> anyhow::Result<Value> {
            let url = format!("{}/v3/{path}", self.etcd_url()?);
            let answer = http.post(url).json(&body).send().await?.error_for_status()?;
            Ok(answer.json().await?)
        };
        let key = STANDARD.encode("compact_rev_key");
        let now = ask("kv/range", json!({"key": key})).await?;
        let revision = &now["header"]["revision"];
        ask("kv/compaction", json!({"revision": revision, "physical": true})).await?;
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client()?;
        let limit = Instant::now() + READY_WITHIN;
        while !client.is_ready().await {
            self.etcd.ensure_running()?;
            self.server.ensure_running()?;
            if Instant::now() > limit {
                let tail = self.server.log().tail(30);
                bail!("the API server is not ready within {READY_WITHIN:?}:\n{tail}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn outlive(&self) -> anyhow::Result<Child> {
        let folders = [self.folder.path(), self.server.folder(), self.etcd.folder()];
        reaper::outlive(&[self.server.pid(), self.etcd.pid()], &folders)
    }
}

fn start_etcd(folder: &TempDir, port: u16) -> anyhow::Result<Process> {
    let program = tools::etcd()?.context(ApiServer::IS_MISSING)?;
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{}", ports::free_port()?);
    let data = folder.path().join("etcd").display().to_string();
    let arguments = [
        "--data-dir",
        &data,
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        "--initial-cluster",
        &format!("default={peer}"),
    ];
    Process::start(&ProcessSpec::new("etcd", program, arguments))
}

fn start_server(arguments: &[String]) -> anyhow::Result<Process> {
    let program = tools::kube_apiserver()?.context(ApiServer::IS_MISSING)?;
    Process::start(&ProcessSpec::new("kube-apiserver", program, arguments))
}

/// Certificates, the key of ServiceAccounts' tokens and the users, in the folder; the authority.
fn prepare(folder: &TempDir, admin: &str) -> anyhow::Result<String> {
    let authority = Authority::new("api-server")?;
    let pair = authority.pair(&["127.0.0.1", "localhost", "kubernetes.default.svc"])?;
    write_file(folder, "tls.crt", &pair.certificate)?;
    write_file(folder, "tls.key", &pair.key)?;
    let signing = authority.pair(&["service-accounts"])?;
    write_file(folder, "service-accounts.key", &signing.key)?;
    write_file(folder, "service-accounts.crt", &signing.certificate)?;
    write_file(folder, "audit.yaml", audit::policy().to_string())?;
    write_file(
        folder,
        "tokens.csv",
        format!("{admin},admin,1,\"system:masters\"\n"),
    )?;
    Ok(authority.pem())
}

fn arguments(folder: &Path, port: u16, etcd: u16) -> Vec<String> {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    let mut arguments: Vec<String> = [
        ("etcd-servers", format!("http://127.0.0.1:{etcd}")),
        ("bind-address", "127.0.0.1".to_owned()),
        ("secure-port", port.to_string()),
        ("service-cluster-ip-range", SERVICE_ADDRESSES.to_owned()),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc".to_owned(),
        ),
        ("authorization-mode", "RBAC".to_owned()),
        // It would write an Endpoints resource with a loopback address, which is refused.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("profiling", "false".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| format!("--{name}={value}"))
    .collect();
    let files = [
        ("tls-cert-file", "tls.crt"),
        ("tls-private-key-file", "tls.key"),
        ("service-account-key-file", "service-accounts.crt"),
        ("service-account-signing-key-file", "service-accounts.key"),
        ("token-auth-file", "tokens.csv"),
        ("cert-dir", "made"),
        ("audit-policy-file", "audit.yaml"),
        ("audit-log-path", AUDIT_LOG),
    ];
    arguments.extend(
        files
            .iter()
            .map(|(name, path)| format!("--{name}={}", file(path).display())),
    );
    arguments
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let mut token = String::new();
    for byte in bytes {
        write!(token, "{byte:02x}")?;
    }
    secrets::note(&token);
    Ok(token)
}
