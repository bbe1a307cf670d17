//! A real Dex behind a proxy that counts. It needs Go to be built, so it may be missing: see [`tools::dex`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::process::LOOK_AGAIN;
use super::{LogBook, LoopbackSocket, Process, ProcessSpec, dex_config, ports, tools, write_file};
use crate::issuer::{
    CountingProxy, DexConfig, Issuer, IssuerClock, IssuerCounts, LoginTokens, Presentation, http_client,
};

/// Generous: a loaded machine starts Dex in some seconds, an idle one in 200 ms.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// A port that was free may be taken before Dex binds it.
const ATTEMPTS: usize = 5;

/// A real Dex with memory storage, configured like the fake one. It ends when it is dropped.
///
/// Its issuer is the address of an in-process proxy, so that everything that reaches the issuer is counted and the
/// issuer can be taken down while its state remains. It runs in real time.
#[derive(Debug)]
pub struct RealDex {
    issuer: String,
    config: DexConfig,
    proxy: CountingProxy,
    process: Process,
    _folder: TempDir,
}

impl RealDex {
    /// What it has logged.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }
}

impl Issuer for RealDex {
    const KIND: &'static str = "real Dex";

    /// Starts it. An issuer that a connector of `config` names must be up: Dex queries it at once.
    async fn start(config: DexConfig) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-dex-")?;
        let socket = LoopbackSocket::bind().await?;
        let issuer = format!("http://{}/dex", config.published_at.unwrap_or(socket.address()));
        for attempt in 1.. {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()?));
            let document = dex_config::document(&config, &issuer, listen)?;
            let file = write_file(&folder, "config.yaml", document.to_string())?;
            match launch(&file, &issuer, listen).await {
                Ok(process) => {
                    return Ok(Self {
                        issuer,
                        config,
                        proxy: CountingProxy::serve(socket, listen),
                        process,
                        _folder: folder,
                    });
                }
                Err(error) if attempt == ATTEMPTS || !is_port_clash(&error) => return Err(error),
                Err(_) => {}
            }
        }
        bail!("no attempt")
    }

    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// The clock of its configuration: it must not be moved, for Dex does not follow.
    fn clock(&self) -> &IssuerClock {
        &self.config.clock
    }

    async fn log_in(&self, email: &str, client_id: &str) -> anyhow::Result<LoginTokens> {
        let mut clients = self.config.clients.iter();
        let client = clients
            .find(|client| client.id == client_id)
            .context("no such client")?;
        let mut users = self.config.users.iter();
        let user = users.find(|user| user.email == email).context("no such user")?;
        let form = [
            ("grant_type", "password"),
            ("client_id", client_id),
            ("client_secret", &client.secret),
            ("username", email),
            ("password", &user.password),
            ("scope", "openid profile email groups offline_access"),
        ];
        let answer = http_client()
            .post(self.token_endpoint())
            .form(&form)
            .send()
            .await?;
        let status = answer.status();
        ensure!(
            status.is_success(),
            "Dex refused the login ({status}): {}",
            answer.text().await?
        );
        Ok(answer.json().await?)
    }

    /// Ends the login the way Dex itself does, which has no revocation endpoint: the user logs in through the same
    /// client once more, and the tokens of that login are thrown away. Dex stores one refresh token per user and
    /// client, so the one before is deleted. The login is counted.
    async fn end_login(&self, email: &str, client_id: &str) -> anyhow::Result<()> {
        ensure!(
            self.counts_of(email).logins > 0,
            "{email} has no login at {client_id}"
        );
        self.log_in(email, client_id).await.map(drop)
    }

    fn set_down(&self, down: bool) {
        self.proxy.set_down(down);
    }

    fn counts(&self) -> IssuerCounts {
        self.proxy.counts()
    }

    fn counts_of(&self, email: &str) -> IssuerCounts {
        self.proxy.counts_of(email)
    }

    fn presentations(&self) -> Vec<Presentation> {
        self.proxy.presentations()
    }

    fn last_expiry_seconds(&self) -> i64 {
        self.proxy.last_expiry_seconds()
    }

    async fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool + Send + Sync,
        deadline: Duration,
    ) -> anyhow::Result<IssuerCounts> {
        self.proxy.wait_for_counts(predicate, deadline).await
    }
}

/// Starts Dex and returns it when it answers as `issuer`, not another that took the port.
async fn launch(config: &Path, issuer: &str, listen: SocketAddr) -> anyhow::Result<Process> {
    let program = tools::dex()?.context(tools::DEX_IS_MISSING)?;
    let arguments = ["serve".into(), config.as_os_str().to_owned()];
    let mut process = Process::start(&ProcessSpec::new("dex", program, arguments))?;
    let (http, limit) = (http_client(), Instant::now() + STARTS_WITHIN);
    let discovery = format!("http://{listen}/dex/.well-known/openid-configuration");
    loop {
        process.ensure_running()?;
        if let Ok(answer) = http.get(&discovery).send().await
            && let Ok(answer) = answer.json::<Value>().await
            && answer["issuer"] == issuer
        {
            return Ok(process);
        }
        ensure!(
            Instant::now() < limit,
            "Dex does not answer within {STARTS_WITHIN:?}:\n{}",
            process.log().tail(20)
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn is_port_clash(error: &anyhow::Error) -> bool {
    error.to_string().contains("address already in use")
}
