//! A real control service with a store file that can be made to refuse writes: by the limit of file sizes, which needs no
//! disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tempfile::TempDir;
use tokenward_harness::issuer::{DexConfig, LoginTokens};
use tokenward_harness::parts::{Control, LogBook, tools, write_file};

use crate::deployment::{ADMIN, Deployment, Plan, Processes};

/// On a loaded machine; far longer than the pauses between attempts.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const ID_TOKEN_LIFETIME: Duration = Duration::from_secs(1800);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The first page of the file, in bytes: its header can be written, and nothing else.
pub(super) const FULL: &str = "4096";
/// What is logged of each attempt that fails.
const REOPEN_FAILED: &str = "cannot reopen the store file";

pub(super) struct Stage {
    pub(super) deployment: Deployment<Processes>,
    /// The file of its store.
    pub(super) store: PathBuf,
    _folder: TempDir,
}

impl Stage {
    /// `None`, and why, where nothing can make writes fail.
    pub(super) async fn start() -> anyhow::Result<Option<Self>> {
        if Command::new("prlimit").arg("--version").output().is_err() {
            tokenward_harness::aloud!(
                "skipped: there is no prlimit (util-linux) here, which makes writes fail"
            );
            return Ok(None);
        }
        let folder = TempDir::with_prefix("tokenward-full-disk-")?;
        let levels = "info,tokenward_control::store=debug";
        let plan = Plan {
            dex: DexConfig::default().id_token_lifetime(ID_TOKEN_LIFETIME),
            program: Some(unkilled(&folder)?),
            environment: vec![("RUST_LOG".to_owned(), levels.to_owned())],
            ..Plan::of_one_process()
        };
        let deployment = Deployment::start_processes(plan).await?;
        let store = deployment.replicas.controls[0].store_file();
        Ok(Some(Self {
            deployment,
            store,
            _folder: folder,
        }))
    }

    pub(super) fn control(&mut self) -> &mut Control {
        &mut self.deployment.replicas.controls[0]
    }

    pub(super) fn log(&self) -> LogBook {
        self.deployment.replicas.controls[0].log()
    }

    /// From now on no write past the file's first page works.
    pub(super) fn fill_the_disk(&mut self) -> anyhow::Result<()> {
        limit_files(self.pid()?, FULL)
    }

    pub(super) fn make_room(&mut self) -> anyhow::Result<()> {
        limit_files(self.pid()?, "unlimited")
    }

    pub(super) fn pid(&mut self) -> anyhow::Result<u32> {
        Ok(self.control().process()?.pid())
    }

    /// The tokens of a new login.
    pub(super) async fn log_in(&self) -> anyhow::Result<LoginTokens> {
        self.deployment.dex.log_in(ADMIN, "muster").await
    }

    /// The status of registering `session`.
    pub(super) async fn put(&self, session: &str, tokens: &LoginTokens) -> anyhow::Result<u16> {
        Ok(self.deployment.put_login(session, tokens).await?.status)
    }

    /// The status of a call for the token of `session`.
    pub(super) async fn ask(&self, session: &str, tokens: &LoginTokens) -> anyhow::Result<u16> {
        let call = self.deployment.ask(&tokens.id_token).session(session);
        Ok(call.send().await?.status)
    }

    /// The status of `/readyz` or `/livez`.
    pub(super) async fn probe(&self, path: &str) -> anyhow::Result<u16> {
        Ok(self.deployment.get(path).await?.status)
    }

    pub(super) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let limit = Instant::now() + PATIENCE;
        while self.probe("/readyz").await? != 200 {
            ensure!(Instant::now() < limit, "still not ready:\n{}", self.log().tail(5));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Probes until one more attempt to open the file has failed for a reason that contains `why`.
    pub(super) async fn wait_for_a_vain_attempt(&self, why: &str) -> anyhow::Result<()> {
        let log = self.log();
        let vain = || log.count(|line| line.contains(REOPEN_FAILED) && line.contains(why));
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
        self.lines(REOPEN_FAILED)
    }

    pub(super) fn lines(&self, saying: &str) -> usize {
        self.log().count(|line| line.contains(saying))
    }

    /// How many writes of the store had no answer, and how many operations of any kind.
    pub(super) async fn failures(&self) -> anyhow::Result<(u64, u64)> {
        const NAME: &str = "tokenward_store_errors_total";
        let metrics = self.deployment.replicas.controls[0].metrics().await?;
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
    let path = write_file(folder, "unkilled", script)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(path)
}
