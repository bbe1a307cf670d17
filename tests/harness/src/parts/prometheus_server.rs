//! A real Prometheus that scrapes what a test runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::LOOK_AGAIN;
use super::{Process, ProcessSpec, ports, tools, write_file};
use crate::issuer::jose::http_client;

const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Two scrapes of each target make a rate.
const SCRAPE_INTERVAL: &str = "1s";

/// What is scraped, with the labels that a cluster's configuration would add.
#[derive(Debug, Clone)]
pub struct ScrapeTarget {
    /// Where.
    pub address: SocketAddr,
    /// The path of its metrics.
    pub path: &'static str,
    /// Name and value of each label.
    pub labels: Vec<(&'static str, String)>,
}

/// A running Prometheus. It ends with this guard.
#[derive(Debug)]
pub struct PrometheusServer {
    url: String,
    process: Process,
    _folder: TempDir,
}

impl PrometheusServer {
    /// Starts one and waits until it answers; `None` where there is no Prometheus.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(targets: &[ScrapeTarget]) -> anyhow::Result<Option<Self>> {
        let Some(program) = tools::prometheus()? else {
            return Ok(None);
        };
        let folder = TempDir::with_prefix("tokenward-prometheus-")?;
        let file = write_file(&folder, "prometheus.yaml", configuration(targets).to_string())?;
        let address = format!("127.0.0.1:{}", ports::free_port()?);
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let process = Process::start(&ProcessSpec::new("prometheus", program, arguments))?;
        let mut server = Self {
            url: format!("http://{address}"),
            process,
            _folder: folder,
        };
        server.wait_until_ready().await?;
        Ok(Some(server))
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let limit = Instant::now() + STARTS_WITHIN;
        loop {
            let answer = http_client().get(format!("{}/-/ready", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            self.process.ensure_running()?;
            if Instant::now() > limit {
                bail!("Prometheus is not ready:\n{}", self.process.log().tail(30));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The samples of an instant query, now: each with `metric` (its labels) and `value`.
    ///
    /// # Errors
    /// Prometheus' message, when the expression is not valid or not a vector.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Value>> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", expression)
            .finish();
        let answer: Value = http_client()
            .post(format!("{}/api/v1/query", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?
            .json()
            .await?;
        ensure!(answer["status"] == "success", "{expression}: {}", answer["error"]);
        let result = answer["data"]["result"].as_array();
        Ok(result
            .with_context(|| format!("{expression}: no vector"))?
            .clone())
    }

    /// Waits until the expression has a sample.
    ///
    /// # Errors
    /// When it is not valid, or has none within `limit`.
    pub async fn wait_for(&self, expression: &str, limit: Duration) -> anyhow::Result<Vec<Value>> {
        let begun = Instant::now();
        loop {
            let samples = self.query(expression).await?;
            if !samples.is_empty() {
                return Ok(samples);
            }
            ensure!(
                begun.elapsed() < limit,
                "{expression} has no sample within {limit:?}"
            );
            tokio::time::sleep(10 * LOOK_AGAIN).await;
        }
    }
}

fn configuration(targets: &[ScrapeTarget]) -> Value {
    let jobs = targets.iter().enumerate().map(|(number, target)| {
        let labels: serde_json::Map<String, Value> = target
            .labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({
            "job_name": format!("target-{number}"),
            "metrics_path": target.path,
            "static_configs": [{"targets": [target.address.to_string()], "labels": labels}],
        })
    });
    json!({
        "global": {"scrape_interval": SCRAPE_INTERVAL, "scrape_timeout": SCRAPE_INTERVAL},
        "scrape_configs": jobs.collect::<Vec<_>>(),
    })
}
