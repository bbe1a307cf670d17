//! A real Dex with its state in an etcd, so that it can be started again with other lifetimes of tokens.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokenward_harness::issuer::{LoginTokens, http_client};
use tokenward_harness::parts::{
    Metrics, Process, ProcessSpec, cpu_ns_with_ended_threads, ports, tools, write_file,
};

use super::directory::Directory;
use super::stage::CLIENT;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The Dex and its etcd. Both end with it.
pub(super) struct StormDex {
    etcd: Process,
    dex: Option<Process>,
    web: SocketAddr,
    telemetry: SocketAddr,
    storage: String,
    directory_url: String,
    folder: TempDir,
}

/// CPU of both, nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct DexCpu {
    pub(super) dex_ns: u64,
    pub(super) etcd_ns: u64,
}

impl StormDex {
    /// Starts etcd. Dex is started by [`StormDex::start_with`].
    ///
    /// # Errors
    /// When a program is missing.
    pub(super) fn prepare(directory: &Directory) -> anyhow::Result<Self> {
        ensure!(tools::dex()?.is_some(), "{}", tools::DEX_IS_MISSING);
        let program =
            tools::etcd()?.context("target/tools/etcd is missing: run `cargo xtask bench storm`")?;
        let folder = TempDir::with_prefix("tokenward-storm-")?;
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (client, peer) = (ports::free_port()?, ports::free_port()?);
        let storage = format!("http://{}", local(client));
        let arguments = [
            OsString::from("--data-dir"),
            folder.path().join("etcd").into(),
            "--listen-client-urls".into(),
            storage.clone().into(),
            "--advertise-client-urls".into(),
            storage.clone().into(),
            "--listen-peer-urls".into(),
            format!("http://{}", local(peer)).into(),
            "--log-level".into(),
            "error".into(),
        ];
        Ok(Self {
            etcd: Process::start(&ProcessSpec::new("etcd", program, arguments))?,
            dex: None,
            web: local(ports::free_port()?),
            telemetry: local(ports::free_port()?),
            storage,
            directory_url: directory.url(),
            folder,
        })
    }

    /// Starts Dex, in place of the one that runs, with ID tokens that live for so long.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn start_with(&mut self, id_tokens: Duration) -> anyhow::Result<()> {
        if let Some(mut dex) = self.dex.take() {
            dex.terminate(STARTS_WITHIN).await?;
        }
        let file = write_file(&self.folder, "dex.json", self.document(id_tokens).to_string())?;
        let program = tools::dex()?.context(tools::DEX_IS_MISSING)?;
        let limit = Instant::now() + STARTS_WITHIN;
        let mut process = self.launch(&program, &file)?;
        let health = format!("{}/healthz", self.issuer());
        while !(http_client().get(&health).send().await).is_ok_and(|answer| answer.status().is_success()) {
            if process.exit()?.is_some() {
                // Dex ends if etcd does not answer yet.
                process = self.launch(&program, &file)?;
            }
            ensure!(
                Instant::now() < limit,
                "Dex does not answer:\n{}",
                process.log().tail(20)
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.dex = Some(process);
        Ok(())
    }

    fn launch(&self, program: &std::path::Path, file: &std::path::Path) -> anyhow::Result<Process> {
        let arguments = [OsString::from("serve"), file.into()];
        Process::start(&ProcessSpec::new("dex", program, arguments))
    }

    fn document(&self, id_tokens: Duration) -> serde_json::Value {
        json!({
            "issuer": self.issuer(),
            "storage": {"type": "etcd", "config": {"endpoints": [self.storage]}},
            "web": {"http": self.web.to_string()},
            "telemetry": {"http": self.telemetry.to_string()},
            "logger": {"level": "error"},
            // No reuse interval: a refresh token that is presented twice ends the login, and shows.
            "expiry": {"idTokens": format!("{}ms", id_tokens.as_millis()), "signingKeys": "6h"},
            "oauth2": {
                "passwordConnector": "crowd", "skipApprovalScreen": true,
                "grantTypes": ["authorization_code", "password", "refresh_token"],
            },
            "staticClients": [{
                "id": CLIENT.0, "name": CLIENT.0, "secret": CLIENT.1, "redirectURIs": ["http://127.0.0.1/callback"],
            }],
            "connectors": [{
                "type": "atlassian-crowd", "id": "crowd", "name": "crowd",
                "config": {"baseURL": self.directory_url, "clientID": "dex", "clientSecret": "secret"},
            }],
        })
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> String {
        format!("http://{}/dex", self.web)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.web
    }

    /// Logs `user` in, by the password grant.
    ///
    /// # Errors
    /// When Dex refuses.
    pub(super) async fn log_in(
        http: &reqwest::Client,
        issuer: &str,
        user: &str,
    ) -> anyhow::Result<LoginTokens> {
        let form = [
            ("grant_type", "password"),
            ("client_id", CLIENT.0),
            ("client_secret", CLIENT.1),
            ("username", user),
            ("password", "password"),
            ("scope", "openid profile email groups offline_access"),
        ];
        let answer = http.post(format!("{issuer}/token")).form(&form).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status.is_success(), "Dex refused the login ({status}): {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Answers of the token endpoint since Dex was started: all, and those with status 200.
    ///
    /// # Errors
    /// When Dex does not answer.
    pub(super) async fn answered(&self) -> anyhow::Result<(u64, u64)> {
        let url = format!("http://{}/metrics", self.telemetry);
        let text = http_client().get(url).send().await?.error_for_status()?;
        let metrics = Metrics::read(&text.text().await?);
        let count = |labels: &[_]| metrics.count("http_requests_total", labels);
        Ok((
            count(&[("handler", "/token")]),
            count(&[("handler", "/token"), ("code", "200")]),
        ))
    }

    /// CPU that Dex and etcd have used.
    ///
    /// # Errors
    /// When one has ended.
    pub(super) fn cpu(&self) -> anyhow::Result<DexCpu> {
        let dex = self.dex.as_ref().context("Dex is not running")?;
        Ok(DexCpu {
            dex_ns: cpu_ns_with_ended_threads(dex.pid())?,
            etcd_ns: cpu_ns_with_ended_threads(self.etcd.pid())?,
        })
    }
}
