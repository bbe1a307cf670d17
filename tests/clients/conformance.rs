//! The MCP conformance suite in its mode for authorization servers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::browser::Browser;
use tokenward_harness::issuer::http_client;
use tokenward_harness::parts::{Process, ProcessSpec, ports, tools};

use super::stage::{self, Stage};
use super::user;

const PATIENCE: Duration = Duration::from_secs(120);
const ENTRY: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
/// The scenarios of this mode.
const SCENARIOS: usize = 2;

/// Results of its checks.
#[derive(Debug, Serialize)]
pub(crate) struct Conformance {
    passed: usize,
    failed: usize,
    /// Names of the checks that did not pass, with what the suite says.
    not_passed: Vec<String>,
    #[serde(skip)]
    printed: String,
}

impl Conformance {
    pub(crate) fn ensure_passed(&self) -> anyhow::Result<()> {
        ensure!(
            self.failed == 0 && self.passed > SCENARIOS,
            "{self:#?}\n{}",
            self.printed
        );
        Ok(())
    }
}

/// Runs all scenarios; a user logs in where the suite wants it.
pub(crate) async fn run(stage: &Stage) -> anyhow::Result<Conformance> {
    let programs = tools::login_programs().context(tools::LOGIN_CLIENTS_ARE_MISSING)?;
    let (issuer, port) = (stage.world.authorization_issuer(), ports::free_port()?);
    let client_id = register(&issuer, port).await?;
    let folder = TempDir::with_prefix("tokenward-conformance-")?;
    let results = folder.path().join("results");
    let entry = programs.node_packages.join(ENTRY);
    let mut arguments = vec![entry.into_os_string(), "authorization".into()];
    for (flag, value) in [
        ("--url", issuer),
        ("--client-id", client_id),
        ("--resource", stage.world.resource(stage::EVERYTHING)),
        ("--port", port.to_string()),
        ("--output-dir", results.display().to_string()),
    ] {
        arguments.extend([flag.into(), value.into()]);
    }
    let spec = ProcessSpec::new("conformance", programs.node, arguments);
    let mut process = Process::start(&spec)?;
    let is_address = |line: &str| line.starts_with("http") && line.contains("/authorize?");
    let address = process.log().wait_for_line(is_address, PATIENCE).await?;
    let line = json!({"url": address});
    user::log_in(&Browser::new()?, &line, &stage::user(0)).await?;
    process.wait_for_exit(PATIENCE).await?;
    read(&results, process.log().tail(60))
}

/// A public client with the redirect that the suite listens on (RFC 7591).
async fn register(issuer: &str, port: u16) -> anyhow::Result<String> {
    let registration = json!({
        "client_name": "conformance suite",
        "redirect_uris": [format!("http://127.0.0.1:{port}/callback")],
        "token_endpoint_auth_method": "none",
    });
    let answer = http_client()
        .post(format!("{issuer}/register"))
        .json(&registration)
        .send()
        .await?;
    let (status, answer) = (answer.status(), answer.text().await?);
    ensure!(status == 201, "{status}: {answer}");
    let answer: Value = serde_json::from_str(&answer)?;
    Ok(answer["client_id"].as_str().context("no client_id")?.to_owned())
}

/// Each scenario leaves a folder with its checks.
fn read(results: &Path, printed: String) -> anyhow::Result<Conformance> {
    let mut conformance = Conformance {
        passed: 0,
        failed: 0,
        not_passed: Vec::new(),
        printed,
    };
    let folders: Vec<_> = std::fs::read_dir(results)
        .with_context(|| conformance.printed.clone())?
        .collect::<Result<_, _>>()?;
    ensure!(folders.len() == SCENARIOS, "{folders:?}\n{}", conformance.printed);
    for folder in folders {
        let checks = std::fs::read(folder.path().join("checks.json"))?;
        let checks: Vec<Value> = serde_json::from_slice(&checks)?;
        for check in checks {
            let text = |name: &str| check[name].as_str().unwrap_or_default();
            match text("status") {
                "SUCCESS" => conformance.passed += 1,
                "INFO" => {}
                // A warning and a check that was left out are no success either.
                status => {
                    conformance.failed += 1;
                    let result = format!("{} {status}: {}", text("id"), text("errorMessage"));
                    conformance.not_passed.push(result);
                }
            }
        }
    }
    Ok(conformance)
}
