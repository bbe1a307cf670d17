//! A real control service whose file can be made to refuse writes: by its limit of file sizes, which needs no disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tempfile::TempDir;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};
use tokenward_tests::issuer::{DexConfig, FakeDex, LoginTokens};
use tokenward_tests::parts::{Control, ControlConfig, tools, write_file};

use crate::deployment::basic;

/// On a loaded machine; far longer than the pauses between attempts.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const ID_TOKEN_LIFETIME: Duration = Duration::from_secs(1800);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The first page of the file, in bytes: its header can be written, and nothing else.
pub(super) const FULL: &str = "4096";
/// What is logged of each attempt that fails.
const STILL_LOST: &str = "the store file could not be opened again";

pub(super) struct Stage {
    pub(super) dex: FakeDex,
    pub(super) control: Control,
    pub(super) store: PathBuf,
    config: ControlConfig,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Stage {
    /// `None`, and why, where nothing can make writes fail.
    pub(super) async fn start() -> anyhow::Result<Option<Self>> {
        if Command::new("prlimit").arg("--version").output().is_err() {
            tokenward_tests::aloud!(
                "skipped: there is no prlimit (util-linux) here, which makes writes fail"
            );
            return Ok(None);
        }
        let folder = TempDir::with_prefix("tokenward-full-disk-")?;
        let store = folder.path().join("tokenward.redb");
        let dex = FakeDex::start(DexConfig::default().id_token_lifetime(ID_TOKEN_LIFETIME)).await?;
        let mut config = ControlConfig::default()
            .issuer(&dex, "muster", "s3cret")
            .forwarding_server("kubernetes", &[])
            .setting("store", json!({"embedded": {"path": store}}));
        config.program = Some(unkilled(&folder)?);
        let levels = "info,tokenward_control::store=debug";
        config
            .environment
            .push(("RUST_LOG".to_owned(), levels.to_owned()));
        Ok(Some(Self {
            dex,
            control: Control::start(config.clone()).await?,
            store,
            config,
            http: reqwest::Client::new(),
            _folder: folder,
        }))
    }

    /// From now on no write past the file's first page works.
    pub(super) fn fill_the_disk(&mut self) -> anyhow::Result<()> {
        limit_files(self.pid()?, FULL)
    }

    pub(super) fn make_room(&mut self) -> anyhow::Result<()> {
        limit_files(self.pid()?, "unlimited")
    }

    pub(super) fn pid(&mut self) -> anyhow::Result<u32> {
        Ok(self.control.process()?.pid())
    }

    /// A login whose ID token is stale by now.
    pub(super) async fn log_in_an_hour_ago(&self) -> anyhow::Result<LoginTokens> {
        const HOUR: Duration = Duration::from_secs(3600);
        self.dex.clock().rewind(HOUR);
        let tokens = self.dex.log_in("admin@example.com", "muster").await;
        self.dex.clock().advance(HOUR);
        tokens
    }

    pub(super) async fn put(&self, session: &str, tokens: &LoginTokens) -> anyhow::Result<u16> {
        let body = json!({
            "issuer": self.dex.issuer(), "client_id": "muster", "id_token": tokens.id_token,
            "refresh_token": tokens.refresh_token,
        });
        let put = self
            .http
            .put(format!("{}/v1/sessions/{session}", self.control.url()))
            .bearer_auth(self.config.aggregator_credential.expose_secret())
            .json(&body);
        Ok(put.send().await?.status().as_u16())
    }

    /// Asks for the token of `session`.
    pub(super) async fn ask(&self, session: &str, tokens: &LoginTokens) -> anyhow::Result<u16> {
        let form = TokenRequest {
            subject_token: tokens.id_token.clone().into(),
            server: "kubernetes".to_owned(),
            session: Some(session.to_owned().into()),
            reason: Reason::Stale,
        };
        let ask = self
            .http
            .post(format!("{}/oauth2/token", self.control.url()))
            .header(
                "authorization",
                basic("filter", self.config.filter_credential.expose_secret()),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_form());
        Ok(ask.send().await?.status().as_u16())
    }

    /// The status of `/readyz` or `/livez`.
    pub(super) async fn probe(&self, path: &str) -> anyhow::Result<u16> {
        let url = format!("{}{path}", self.control.url());
        Ok(self.http.get(url).send().await?.status().as_u16())
    }

    pub(super) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let limit = Instant::now() + PATIENCE;
        while self.probe("/readyz").await? != 200 {
            ensure!(
                Instant::now() < limit,
                "still not ready:\n{}",
                self.control.log().tail(5)
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Probes until one more attempt to open the file has failed for a reason that contains `why`.
    pub(super) async fn wait_for_a_vain_attempt(&self, why: &str) -> anyhow::Result<()> {
        let log = self.control.log();
        let vain = || log.count(|line| line.contains(STILL_LOST) && line.contains(why));
        let (before, limit) = (vain(), Instant::now() + PATIENCE);
        while vain() == before {
            assert_eq!(self.probe("/readyz").await?, 503);
            ensure!(
                Instant::now() < limit,
                "no attempt failed by {why:?}:\n{}",
                log.tail(5)
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    pub(super) fn vain_attempts(&self) -> usize {
        self.lines(STILL_LOST)
    }

    pub(super) fn lines(&self, saying: &str) -> usize {
        self.control.log().count(|line| line.contains(saying))
    }

    /// How many writes of the store had no answer, and how many operations of any kind.
    pub(super) async fn failures(&self) -> anyhow::Result<(u64, u64)> {
        const NAME: &str = "tokenward_store_errors_total";
        let metrics = self.control.metrics().await?;
        let writes = metrics.count(NAME, &[("operation", "write")]);
        Ok((writes, metrics.count(NAME, &[])))
    }
}

/// No write of process `pid` past `limit` bytes of a file works.
pub(super) fn limit_files(pid: u32, limit: &str) -> anyhow::Result<()> {
    let done = Command::new("prlimit")
        .args([format!("--pid={pid}"), format!("--fsize={limit}:unlimited")])
        .status()?;
    ensure!(done.success(), "prlimit failed: {done}");
    Ok(())
}

/// The service, with the signal ignored that would end it at the limit: a write fails then, as on a full disk.
fn unkilled(folder: &TempDir) -> anyhow::Result<PathBuf> {
    let program = tools::tokenward()?;
    let script = format!(
        "#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n",
        Path::display(&program)
    );
    let path = write_file(&folder, "unkilled", script)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(path)
}
