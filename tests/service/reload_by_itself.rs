//! Reloads without a signal: changed files, and `tokenward reload`.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::parts::{Control, ControlConfig, LogBook, MountedSecret, tools};

const PATIENCE: Duration = Duration::from_secs(20);
const OLD: &str = "the-first-aggregator-credential";
const NEW: &str = "the-second-aggregator-credential";
/// So that nothing is noticed during a test.
const NEVER: &str = "9m";

/// A control process whose aggregator credential is in a mounted Secret.
struct Stage {
    control: Control,
    secret: MountedSecret,
    _dex: FakeDex,
}

impl Stage {
    async fn start(watch_interval: &str) -> anyhow::Result<Self> {
        let secret = MountedSecret::mount(&[("filter", "the-filter-credential"), ("aggregator", OLD)])?;
        let dex = FakeDex::start(DexConfig::default()).await?;
        let config = ControlConfig::default()
            .issuer(&dex, "muster", "s3cret")
            .forwarding_server("kubernetes", &["muster"])
            .setting("watch_interval", watch_interval)
            .setting(
                "credentials",
                json!({
                    "filter": {"file": secret.path("filter")},
                    "aggregator": {"file": secret.path("aggregator")},
                }),
            );
        Ok(Self {
            control: Control::start(config).await?,
            secret,
            _dex: dex,
        })
    }

    /// The Secret with another credential of the aggregator.
    fn rotate(&mut self, credential: &str) -> std::io::Result<()> {
        let files = [("filter", "the-filter-credential"), ("aggregator", credential)];
        self.secret.update(&files)
    }

    async fn accepts(&self, credential: &str) -> anyhow::Result<bool> {
        let answer = reqwest::Client::new()
            .get(format!("{}/v1/sessions/none", self.control.url()))
            .bearer_auth(credential)
            .send()
            .await?;
        Ok(answer.status() == 404)
    }

    async fn reloads(&self, outcome: &str) -> anyhow::Result<u64> {
        let metrics = self.control.metrics().await?;
        Ok(metrics.count("tokenward_config_reloads_total", &[("outcome", outcome)]))
    }

    fn log(&self) -> LogBook {
        self.control.log()
    }
}

/// `tokenward reload` for the configuration `file`.
async fn reload(file: &Path) -> anyhow::Result<Output> {
    let mut command = tokio::process::Command::new(tools::tokenward()?);
    Ok(command.args(["reload", "--config"]).arg(file).output().await?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_rotated_secret_applies_without_a_signal_in_one_reload() -> anyhow::Result<()> {
    let mut stage = Stage::start("100ms").await?;
    assert!(stage.accepts(OLD).await?);
    stage.rotate(NEW)?;
    let said = stage
        .log()
        .wait_for_line(|line| line.contains("the configuration was reloaded"), PATIENCE)
        .await?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    let file = stage.secret.path("aggregator");
    assert_eq!(said["cause"], format!("changed: {}", file.display()));
    assert!(stage.accepts(NEW).await? && !stage.accepts(OLD).await?);
    assert_eq!(stage.reloads("applied").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_bad_file_is_reported_once_and_its_correction_applies() -> anyhow::Result<()> {
    let mut stage = Stage::start("100ms").await?;
    stage.rotate("short")?;
    let refused = |line: &str| line.contains("was not reloaded") && line.contains("needs at least 16");
    stage.log().wait_for_line(refused, PATIENCE).await?;
    assert!(stage.accepts(OLD).await?);
    stage.rotate(NEW)?;
    let reloaded = |line: &str| line.contains("the configuration was reloaded");
    stage.log().wait_for_line(reloaded, PATIENCE).await?;
    assert!(stage.accepts(NEW).await?);
    assert_eq!(
        (stage.reloads("applied").await?, stage.reloads("rejected").await?),
        (1, 1)
    );
    assert_eq!(stage.log().count(refused), 1);
    Ok(())
}

#[tokio::test]
async fn tokenward_reload_makes_the_process_reload_and_prints_what_became_of_it() -> anyhow::Result<()> {
    let mut stage = Stage::start(NEVER).await?;
    let file = stage.control.config_file();
    stage.rotate(NEW)?;
    let output = reload(&file).await?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("applied"), "{output:?}");
    assert!(stage.accepts(NEW).await?);

    let before = stage.control.config().clone();
    stage
        .control
        .rewrite(before.clone().setting("margin", "soon").setting("lease", "10m"))?;
    let output = reload(&file).await?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let problems = text(&output.stderr);
    for problem in [
        "old configuration stays in force",
        "margin: bad duration",
        "lease must be shorter",
    ] {
        assert!(problems.contains(problem), "{problems}");
    }
    stage
        .control
        .rewrite(before.clone().setting("listen", "127.0.0.1:1"))?;
    let output = reload(&file).await?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("restart needed: listen"),
        "{output:?}"
    );
    assert_eq!(
        (
            stage.reloads("applied").await?,
            stage.reloads("rejected").await?,
            stage.reloads("restart_needed").await?
        ),
        (1, 1, 1)
    );

    stage.control.kill()?;
    let output = reload(&file).await?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("no tokenward serve"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn many_requests_for_a_reload_are_answered_each() -> anyhow::Result<()> {
    let stage = Stage::start(NEVER).await?;
    let file = stage.control.config_file();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let file = file.clone();
            tokio::spawn(async move { reload(&file).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await??.status.code(), Some(0));
    }
    assert_eq!(stage.reloads("applied").await?, 8);
    assert!(stage.accepts(OLD).await?);
    Ok(())
}
