//! A real control service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::control_config::ControlConfig;
use super::process::LOOK_AGAIN;
use super::{LogBook, Metrics, Process, ProcessSpec, ports, tools};
use crate::issuer::jose::http_client;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A control service with its configuration, secrets and embedded store in a folder of its own. It may be ended and
/// started again; it ends finally with this guard.
#[derive(Debug)]
pub struct Control {
    config: ControlConfig,
    address: SocketAddr,
    process: Option<Process>,
    folder: TempDir,
}

impl Control {
    /// Writes configuration and secrets, runs `tokenward serve`, and waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When there is no `tokenward` binary, or it does not become ready.
    pub async fn start(config: ControlConfig) -> anyhow::Result<Self> {
        let mut control = Self::start_without_waiting(config).await?;
        control.wait_until_ready(STARTS_WITHIN).await?;
        Ok(control)
    }

    /// [`Control::start`] that only waits for the port, for stories in which the service is not ready at first.
    pub async fn start_without_waiting(config: ControlConfig) -> anyhow::Result<Self> {
        let mut control = Self::launched(config)?;
        control.wait_until_listening().await?;
        Ok(control)
    }

    /// [`Control::start`] that waits for nothing, for stories of the start itself.
    ///
    /// # Errors
    /// When there is no `tokenward` binary.
    pub fn launched(config: ControlConfig) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-control-")?;
        let mut control = Self {
            config,
            // One that no other process takes while this service is down.
            address: SocketAddr::from(([127, 0, 0, 1], ports::free_port()?)),
            process: None,
            folder,
        };
        control.launch()?;
        Ok(control)
    }

    /// Starts it again on the same address and store, after [`Control::kill`] or [`Control::terminate`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = None;
        self.launch()?;
        self.wait_until_listening().await?;
        self.wait_until_ready(STARTS_WITHIN).await
    }

    /// [`Control::restart`] with another configuration.
    pub async fn restart_with(&mut self, config: ControlConfig) -> anyhow::Result<()> {
        self.config = config;
        self.restart().await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, or with `https`.
    pub fn url(&self) -> String {
        let scheme = self.config.tls.as_ref().map_or("http", |_| "https");
        format!("{scheme}://{}", self.address)
    }

    /// A client that can call it.
    fn http(&self) -> anyhow::Result<reqwest::Client> {
        match &self.config.tls {
            Some(tls) => tls.http_client(),
            None => Ok(http_client()),
        }
    }

    /// The file of its configuration.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join(super::control_config::CONFIG_FILE)
    }

    /// What it was started with.
    pub fn config(&self) -> &ControlConfig {
        &self.config
    }

    /// The file of the embedded store.
    pub fn store_file(&self) -> PathBuf {
        self.folder.path().join(super::control_config::STORE_FILE)
    }

    /// What the running process has printed; empty after it ended and before it is started again.
    pub fn log(&self) -> LogBook {
        self.process
            .as_ref()
            .map(|process| process.log().clone())
            .unwrap_or_default()
    }

    /// Its metrics.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let answer = self
            .http()?
            .get(format!("{}/metrics", self.url()))
            .send()
            .await?
            .error_for_status()?;
        Ok(Metrics::read(&answer.text().await?))
    }

    /// The running process, to pause or resume it.
    ///
    /// # Errors
    /// When it was killed or terminated.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process
            .as_mut()
            .context("this control service was ended; restart it first")
    }

    /// Ends it at once (SIGKILL), as an eviction or a crash does.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Ends it in order (SIGTERM) and returns how it ended and all it printed.
    pub async fn terminate(&mut self, deadline: Duration) -> anyhow::Result<(ExitStatus, LogBook)> {
        let log = self.log();
        let status = self.process()?.terminate(deadline).await?;
        self.process = None;
        Ok((status, log))
    }

    /// Writes another configuration and its secrets into the files of the running process, which does not read them
    /// until [`Control::hang_up`].
    pub fn rewrite(&mut self, config: ControlConfig) -> anyhow::Result<()> {
        self.config = config;
        self.config.write(&self.folder, self.address)?;
        Ok(())
    }

    /// Makes it reload its configuration (SIGHUP).
    pub fn hang_up(&mut self) -> anyhow::Result<()> {
        self.process()?.hang_up()
    }

    /// Waits until `/readyz` answers 200.
    pub async fn wait_until_ready(&mut self, deadline: Duration) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.url());
        let limit = Instant::now() + deadline;
        let http = self.http()?;
        while !http
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            self.process()?.ensure_running()?;
            if Instant::now() > limit {
                bail!(
                    "control is not ready within {deadline:?}:\n{}",
                    self.log().tail(30)
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let file = self.config.write(&self.folder, self.address)?;
        let address_file = self.address_file();
        // The file of an earlier start would be taken for the new one's.
        let _ = std::fs::remove_file(&address_file);
        let program = match (&self.config.failpoint, &self.config.program) {
            (Some(_), _) => tools::tokenward_with_failpoints()?,
            (None, Some(program)) => program.clone(),
            (None, None) => tools::tokenward()?,
        };
        let mut spec = ProcessSpec::new::<std::ffi::OsString>(
            "tokenward",
            program,
            [
                "serve".into(),
                "--config".into(),
                file.into(),
                "--address-file".into(),
                address_file.clone().into(),
            ],
        );
        spec.environment = self.config.environment.clone();
        let failpoint = self.config.failpoint.clone();
        spec.environment
            .extend(failpoint.map(|place| ("TOKENWARD_FAILPOINT".to_owned(), place)));
        self.process = Some(Process::start(&spec)?);
        Ok(())
    }

    fn address_file(&self) -> PathBuf {
        self.folder.path().join("address")
    }

    /// Waits until it logs where it listens.
    pub async fn wait_until_listening(&mut self) -> anyhow::Result<()> {
        let address_file = self.address_file();
        let process = self.process()?;
        let limit = Instant::now() + STARTS_WITHIN;
        let address = loop {
            let written = std::fs::read_to_string(&address_file).unwrap_or_default();
            if let Ok(address) = written.trim().parse() {
                break address;
            }
            process.ensure_running()?;
            if Instant::now() > limit {
                bail!(
                    "control does not listen within {STARTS_WITHIN:?}:\n{}",
                    process.log().tail(30)
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        self.address = address;
        Ok(())
    }
}
