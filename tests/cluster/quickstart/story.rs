//! `quickstart.sh try` and an MCP client on real parts: Dex with the quickstart's configuration, its MCP server, Valkey, control as the
//! chart configures it, an API server with the one MCPServer, and the filter in Envoy with the policy's configuration.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::aloud;
use tokenward_harness::browser::Browser;
use tokenward_harness::mcp_login::McpLogin;

use super::file;
use super::parts::{CLIENT_SECRET, LOOK_AGAIN, PATIENCE, Places, Stage, dex, server};

const ALICE: &str = "alice@example.com";
/// `sub` as Dex makes it of the user's id and the connector's: a protocol buffer of the two, in base64url.
const ALICE_SUBJECT: &str = "CgExEgVsb2NhbA";

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_replaced_as_the_page_says() -> anyhow::Result<()> {
    let Some(stage) = Stage::start("quickstart-try").await? else {
        return Ok(());
    };
    let script = Command::new(file("quickstart.sh"))
        .arg("try")
        .env("TOKENWARD_QUICKSTART_URL", stage.url())
        .env("TOKENWARD_QUICKSTART_SECRET", CLIENT_SECRET)
        .env("TOKENWARD_QUICKSTART_COUNTS", stage.counts_url())
        .output()?;
    let (printed, said) = (
        String::from_utf8(script.stdout)?,
        String::from_utf8(script.stderr)?,
    );
    ensure!(script.status.success(), "{printed}{said}");
    ensure!(
        printed.contains(r#""refusal":"missing_bearer","server":"demo""#),
        "{printed}"
    );
    assert_eq!(
        printed.matches("alice@example.com: the token").count(),
        2,
        "{printed}"
    );
    assert_eq!(
        stage.counts().await?,
        json!({"accepted": 2, "expired": 0, "invalid": 0, "missing": 0})
    );
    ensure!(printed.contains(r#""expired": 0"#), "{printed}");
    Ok(())
}

/// Until so many connections in a row are answered like this that all four workers have: each learns by itself.
async fn every_worker(
    stage: &Stage,
    token: &str,
    within: Duration,
    is_so: impl Fn(u16, &Value) -> bool,
) -> anyhow::Result<()> {
    let (limit, mut in_a_row) = (Instant::now() + within, 0);
    while in_a_row < 64 {
        let (status, answer) = stage.ping(token).await?;
        if is_so(status, &answer) {
            in_a_row += 1;
            continue;
        }
        in_a_row = 0;
        ensure!(
            Instant::now() < limit,
            "still {status} after {within:?}: {answer}"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_client_logs_in_with_the_servers_url_and_a_sign_out_ends_that_within_ten_seconds()
-> anyhow::Result<()> {
    let Some(stage) = Stage::start("quickstart-login").await? else {
        return Ok(());
    };
    let url = format!("{}/demo/mcp", stage.url());
    every_worker(&stage, "a.b.c", PATIENCE, |_, answer| answer["server"] == "demo").await?;
    let client = McpLogin::register(&url, "a program").await?;
    let tokens = client.log_in(&Browser::new()?, ALICE).await?;
    for _ in 0..20 {
        let (status, answer) = stage.ping(&tokens.access_token).await?;
        assert_eq!((status, &answer["result"]), (200, &json!({})), "{answer}");
    }

    stage.sign_out(ALICE_SUBJECT).await?;
    let is_refused = |status, _: &Value| status == 401;
    every_worker(&stage, &tokens.access_token, Duration::from_secs(10), is_refused).await?;
    let counted = stage.counts().await?;
    for _ in 0..20 {
        assert_eq!(stage.ping(&tokens.access_token).await?.0, 401);
    }
    assert_eq!(
        stage.counts().await?,
        counted,
        "nothing reaches the server any more"
    );
    assert_eq!((&counted["expired"], &counted["invalid"]), (&json!(0), &json!(0)));
    Ok(())
}

/// The server is no witness unless it refuses by itself what the gateway would let through.
#[tokio::test(flavor = "multi_thread")]
async fn the_quickstarts_server_refuses_what_has_expired_or_was_changed() -> anyhow::Result<()> {
    let places = Places::new("unused")?;
    let folder = TempDir::with_prefix("tokenward-quickstart-")?;
    let Some(_dex) = dex(&places, &folder).await? else {
        aloud!("left out: the quickstart's server: no Dex");
        return Ok(());
    };
    let _server = server(&places).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let form = [
        ("grant_type", "password"),
        ("username", "alice@example.com"),
        ("password", "password"),
        ("scope", "openid email"),
    ];
    let login = http
        .post(format!("http://127.0.0.1:{}/dex/token", places.dex))
        .basic_auth("tokenward", Some(CLIENT_SECRET))
        .form(&form);
    let login: Value = login.send().await?.json().await?;
    let token = login["id_token"]
        .as_str()
        .with_context(|| login.to_string())?
        .to_owned();
    let url = format!("http://127.0.0.1:{}/demo/mcp", places.server);
    let call = async |token: &str| -> anyhow::Result<u16> {
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        Ok(http
            .post(&url)
            .bearer_auth(token)
            .json(&ping)
            .send()
            .await?
            .status()
            .as_u16())
    };
    assert_eq!(call(&token).await?, 200);
    let (signed, signature) = token.rsplit_once('.').context("no signature")?;
    let changed: String = signature.chars().rev().collect();
    assert_eq!(call(&format!("{signed}.{changed}")).await?, 401);
    let limit = Instant::now() + PATIENCE;
    while call(&token).await? != 401 {
        ensure!(Instant::now() < limit, "an expired token is accepted");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let counts: Value = http
        .get(format!("http://127.0.0.1:{}/counts", places.server))
        .send()
        .await?
        .json()
        .await?;
    assert_eq!((&counts["expired"], &counts["invalid"]), (&json!(1), &json!(1)));
    Ok(())
}
