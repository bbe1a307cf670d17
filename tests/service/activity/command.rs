//! `tokenward explain` asks a running control.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::tools;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::PATIENCE;
use crate::deployment::{ADMIN, AGGREGATOR, Deployment, Plan};

struct Ran {
    succeeded: bool,
    output: String,
    errors: String,
}

/// Runs `tokenward explain` with `arguments`, the deployment's address and the aggregator's credential.
async fn explain(deployment: &Deployment, arguments: &[&str], input: &str) -> anyhow::Result<Ran> {
    let folder = TempDir::with_prefix("tokenward-explain-")?;
    let credential = folder.path().join("credential");
    std::fs::write(&credential, format!("{AGGREGATOR}\n"))?;
    let mut child = Command::new(tools::tokenward()?)
        .arg("explain")
        .args(arguments)
        .env("TOKENWARD_URL", &deployment.urls[0])
        .env("TOKENWARD_CREDENTIAL_FILE", &credential)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await??;
    Ok(Ran {
        succeeded: ended.status.success(),
        output: String::from_utf8(ended.stdout)?,
        errors: String::from_utf8(ended.stderr)?,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_explains_a_session_a_user_and_a_pair() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("a-handle").await?;
    let ask = deployment.ask(&tokens.id_token).session("a-handle");
    assert_eq!(ask.send().await?.status, 200);
    assert!(deployment.service(0).drain(PATIENCE).await);

    let arguments = ["--server", "kubernetes", "--session-file", "-", "--json"];
    let by_session = explain(&deployment, &arguments, "a-handle\n").await?;
    assert!(by_session.succeeded, "{}", by_session.errors);
    let json: Value = serde_json::from_str(&by_session.output)?;
    assert_eq!(
        (&json["next"], &json["session"]["known"]),
        (&json!("serve"), &json!(true))
    );
    let pair = json["pair"]["digest"].as_str().unwrap_or_default().to_owned();

    let by_pair = explain(&deployment, &["--pair", &format!("pair={pair}")], "").await?;
    assert!(by_pair.succeeded, "{}", by_pair.errors);
    for words in [
        "server    kubernetes",
        ADMIN,
        "registered by the aggregator",
        pair.as_str(),
        "last: token",
        "Every request gets the stored ID token",
    ] {
        assert!(by_pair.output.contains(words), "{words:?} in {}", by_pair.output);
    }
    assert!(!by_pair.output.contains("a-handle"));

    let subject = json["pair"]["user"]["subject"].as_str().unwrap_or_default();
    let by_user = explain(&deployment, &["--server", "kubernetes", "--user", subject], "").await?;
    assert!(by_user.output.contains("login     active"), "{}", by_user.output);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_without_an_answer_fails_with_the_reason() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let cases: [(&[&str], &str); 5] = [
        (&["--server", "kubernetes"], "name one of --user"),
        (
            &["--server", "nowhere", "--user", "u"],
            "configured are kubernetes",
        ),
        (&["--pair", "zz"], "eight lower-case"),
        (
            &["--pair", "0f86f317", "--url", "http://127.0.0.1:1"],
            "gives no answer",
        ),
        (
            &["--pair", "0f86f317", "--credential-file", "/no/such/file"],
            "cannot read /no/such/file",
        ),
    ];
    for (arguments, why) in cases {
        let ran = explain(&deployment, arguments, "").await?;
        assert!(
            !ran.succeeded && ran.errors.contains(why),
            "{arguments:?}: {}",
            ran.errors
        );
        assert!(ran.output.is_empty(), "{}", ran.output);
    }
    Ok(())
}
