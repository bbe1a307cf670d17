//! schemathesis sends the authorization server requests that it derives from the document, valid and invalid ones. No answer
//! is an error of the server's own, and each is as documented.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tempfile::TempDir;
use tokenward_control::serve::reload::apply;
use tokenward_harness::parts::tools;
use tokio::process::Command;

use crate::authorization::stage::{plan, registrations};
use crate::deployment::Deployment;

/// The paths of the authorization server.
const PATHS: &str = "^/(authorize|token|register|revoke|jwks|[.]well-known/oauth-authorization-server)";
/// What is checked of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,unsupported_method,allow_header_conformance";
/// Operations of [`PATHS`], with the preflights.
const OPERATIONS: usize = 14;
const LONGEST_RUN: Duration = Duration::from_secs(240);

#[tokio::test]
async fn no_request_to_the_authorization_server_is_answered_otherwise_than_documented() -> anyhow::Result<()>
{
    let Some((packages, python)) = tools::schemathesis() else {
        tokenward_harness::aloud!(
            "left out: schemathesis at the authorization server: {}",
            tools::SCHEMATHESIS_IS_MISSING
        );
        return Ok(());
    };
    let deployment = Deployment::start(plan(&json!({"trusted_proxies": 1}))?).await?;
    let url = deployment.urls[0].clone();
    let config = deployment.changed(|document| {
        document["authorization"]["issuer"] = json!(url);
    })?;
    apply(deployment.service(0), config)?;
    let folder = TempDir::with_prefix("tokenward-schemathesis-")?;
    std::fs::write(
        folder.path().join("own_addresses.py"),
        include_str!("own_addresses.py"),
    )?;
    let run = Command::new(python)
        .args([
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
            "run",
        ])
        .arg(format!("{url}/openapi.json"))
        .args(["--include-path-regex", PATHS, "--checks", CHECKS])
        // The same requests each time.
        .args([
            "--seed",
            "14",
            "--generation-deterministic",
            "--max-examples",
            "30",
            "--no-color",
        ])
        .env("SCHEMATHESIS_HOOKS", "own_addresses")
        .env(
            "PYTHONPATH",
            std::env::join_paths([packages.as_path(), folder.path()])?,
        )
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONGEST_RUN, run).await??;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{report}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(report.contains(&format!("Tested: {OPERATIONS}")), "{report}");
    let (before, _) = report
        .split_once(" generated, ")
        .context("no count of requests")?;
    let generated: usize = before
        .split_whitespace()
        .next_back()
        .context("no number")?
        .parse()?;
    assert!(
        report.contains(&format!("{generated} generated, {generated} passed")),
        "{report}"
    );
    assert!(generated > 200, "{report}");
    assert_eq!(registrations(&deployment, "too_many"), 0);
    assert!(registrations(&deployment, "registered") > 0, "{report}");
    Ok(())
}
