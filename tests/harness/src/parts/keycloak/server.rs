//! The server itself: one Java process with its database in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

use super::super::process::LOOK_AGAIN;
use super::super::{LogBook, Process, ProcessSpec, ports, reaper, tools};
use crate::issuer::http_client;
use crate::secrets;

/// 11 s on an idle machine with two processors.
const STARTS_WITHIN: Duration = Duration::from_secs(180);
/// Of the administrator's token; Keycloak's own default is a minute.
const TOKEN_LIVES: Duration = Duration::from_secs(40);
/// It makes the keys of a realm: two seconds on an idle machine.
const LONGEST_ANSWER: Duration = Duration::from_secs(90);
const ADMIN: &str = "admin";
/// What of a distribution is only read.
const SHARED_FOLDERS: [&str; 4] = ["lib", "providers", "themes", "conf"];
/// As Keycloak's own script has it, with the collector and the compiler that start soonest.
const JAVA_OPTIONS: [&str; 12] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx400m",
    // Else it listens on the address of both families.
    "-Djava.net.preferIPv4Stack=true",
    "-Dfile.encoding=UTF-8",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=\
     io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Dpicocli.disable.closures=true",
    "-Dquarkus-log-max-startup-records=10000",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
];

static SHARED: OnceCell<KeycloakServer> = OnceCell::const_new();

/// A running Keycloak. It ends with the process that started it.
#[derive(Debug)]
pub struct KeycloakServer {
    address: SocketAddr,
    process: Process,
    password: String,
    token: Mutex<Option<(Instant, String)>>,
    _reaper: Child,
    _home: TempDir,
}

/// Java, and the folder of the distribution that `cargo xtask setup` has built with its options.
pub(super) fn program() -> Option<(PathBuf, PathBuf)> {
    tools::on_path("java").zip(tools::installed("tools/keycloak"))
}

impl KeycloakServer {
    /// The one that the tests of this process share; `None` where it is not on this machine.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn shared() -> anyhow::Result<Option<&'static Self>> {
        match program() {
            Some((java, distribution)) => {
                let start = || Self::start(&java, &distribution);
                SHARED.get_or_try_init(start).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn start(java: &Path, distribution: &Path) -> anyhow::Result<Self> {
        let home = TempDir::with_prefix("tokenward-keycloak-home-")?;
        std::fs::create_dir(home.path().join("data"))?;
        for folder in SHARED_FOLDERS {
            symlink(distribution.join(folder), home.path().join(folder))?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()?));
        let mut random = [0_u8; 18];
        getrandom::fill(&mut random)?;
        let password = URL_SAFE_NO_PAD.encode(random);
        secrets::note(&password);
        let process = launch(java, home.path(), address, &password)?;
        let reaper = reaper::outlive(&[process.pid()], &[home.path(), process.folder()])?;
        let mut server = Self {
            address,
            process,
            password,
            token: Mutex::default(),
            _reaper: reaper,
            _home: home,
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let url = format!("http://{}/realms/master", self.address);
        let limit = Instant::now() + STARTS_WITHIN;
        let http = http_client();
        while !http
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            self.process.ensure_running()?;
            ensure!(
                Instant::now() < limit,
                "Keycloak is not ready within {STARTS_WITHIN:?}:\n{}",
                self.process.log().tail(30)
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Where it listens. Its realms have other names: see [`super::Realm::issuer`].
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }

    /// Calls the administrator's API: the answer's body, and the id of what was created.
    ///
    /// # Errors
    /// When it answers with an error.
    pub(super) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(Value, Option<String>)> {
        let url = format!("http://{}/admin/realms{path}", self.address);
        let token = self.admin_token().await?;
        let mut request = http_client()
            .request(method.clone(), url)
            .timeout(LONGEST_ANSWER)
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let location = answer
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok());
        let id = location
            .and_then(|location| location.rsplit('/').next())
            .map(str::to_owned);
        let text = answer.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        Ok((serde_json::from_str(&text).unwrap_or_default(), id))
    }

    async fn admin_token(&self) -> anyhow::Result<String> {
        let mut stored = self.token.lock().await;
        if let Some((since, token)) = &*stored
            && since.elapsed() < TOKEN_LIVES
        {
            return Ok(token.clone());
        }
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", ADMIN),
            ("password", &self.password),
        ];
        let url = format!(
            "http://{}/realms/master/protocol/openid-connect/token",
            self.address
        );
        let answer = http_client()
            .post(url)
            .form(&form)
            .send()
            .await?
            .error_for_status()?;
        let answer: Value = answer.json().await?;
        let token = answer["access_token"]
            .as_str()
            .context("no access token")?
            .to_owned();
        secrets::note(&token);
        *stored = Some((Instant::now(), token.clone()));
        Ok(token)
    }
}

fn launch(java: &Path, home: &Path, address: SocketAddr, password: &str) -> anyhow::Result<Process> {
    let mut arguments: Vec<String> = JAVA_OPTIONS.map(str::to_owned).into();
    arguments.extend([
        format!("-Dkc.home.dir={}", home.display()),
        format!("-Djboss.server.config.dir={}/conf", home.display()),
        format!("-Djava.io.tmpdir={}", home.display()),
        "-cp".to_owned(),
        format!("{}/lib/quarkus-run.jar", home.display()),
        "io.quarkus.bootstrap.runner.QuarkusEntryPoint".to_owned(),
        "start".to_owned(),
        "--optimized".to_owned(),
        // Without other members, and without their sockets.
        "--cache=local".to_owned(),
        "--http-enabled=true".to_owned(),
        format!("--http-host={}", address.ip()),
        format!("--http-port={}", address.port()),
        "--hostname-strict=false".to_owned(),
    ]);
    let mut spec = ProcessSpec::new("keycloak", java, arguments);
    spec.environment = [("USERNAME", ADMIN), ("PASSWORD", password)]
        .map(|(name, value)| (format!("KC_BOOTSTRAP_ADMIN_{name}"), value.to_owned()))
        .into();
    Process::start(&spec)
}
