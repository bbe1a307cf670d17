//! An operator who has only YAML: the steps of `docs/install.md` for an unmodified aggregator, each with its check, on a real
//! Envoy Gateway.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::control_config::text_of;
use tokenward_harness::parts::{tools, write_file};
use tokenward_harness::world::{ALICE, LOCAL, Login, World};

use super::page::{blocks, console_command, document, run};
use super::relay::{Client, HOST, Secret, relaying};

const REMOTE: &str = "remote-1";
const BOB: &str = "bob@example.com";
/// Envoy Gateway reads its resources again, and Envoy compiles the module for a new listener.
const APPLIED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn yaml(text: &str) -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(text)?)
}

/// The page's YAML block that has this top-level field.
fn page_block(path: &str, field: &str) -> anyhow::Result<Value> {
    for block in blocks(path, "yaml")? {
        let value = yaml(&block)?;
        if value.get(field).is_some() {
            return Ok(value);
        }
    }
    anyhow::bail!("no YAML block with {field} in {path}")
}

#[test]
fn the_pages_values_are_those_of_the_example() -> anyhow::Result<()> {
    let example = yaml(&document("envoy/gateway/values.yaml")?)?;
    for field in ["issuers", "exchangeEndpoint"] {
        let shown = page_block("docs/install.md", field)?;
        assert_eq!(shown[field], example[field], "{field}");
    }
    // The two fields of the resource lead to control's route, and name the issuer of the values.
    let changed = &page_block("docs/muster.md", "spec")?["spec"]["auth"]["tokenExchange"];
    let server = &example["servers"][1];
    let host = example["exchangeEndpoint"]["hostnames"][0]
        .as_str()
        .context("no host")?;
    let name = server["name"].as_str().context("no name")?;
    assert_eq!(
        *changed,
        json!({
            "dexTokenEndpoint": format!("https://{host}/exchange/{name}/token"),
            "expectedIssuer": server["auth"]["tokenExchange"]["expectedIssuer"],
        })
    );
    Ok(())
}

/// muster's own request.
async fn exchange(world: &World, gateway: &str, login: &Login) -> anyhow::Result<(u16, Value)> {
    let client = world.exchange_client(REMOTE).context("no exchange")?;
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{gateway}/exchange/{REMOTE}/token"))
        .basic_auth(&client.id, Some(&client.secret))
        .form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("connector_id", "home"),
            ("scope", "openid profile email groups"),
            ("subject_token", &login.tokens.id_token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
        ])
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_that_exchanges_itself_does_so_at_control() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("the exchange endpoint").await? else {
        return Ok(());
    };
    let installation = installation.value("/exchangeEndpoint", json!({"hostnames": [HOST]}))?;
    let envoy = world.install(&installation).await?;
    let gateway = format!("http://{HOST}:{}", installation.port());

    let client = world.exchange_client(REMOTE).context("no exchange")?;
    let check = console_command(&["curl", "/exchange/"])?;
    let shown = check.split('"').nth(1).context("no credentials")?;
    let printed = |secret: &str| {
        run(
            &check,
            &[
                (shown, &format!("{}:{secret}", client.id)),
                (
                    "https://mcp.example.com/exchange/kubernetes-remote",
                    &format!("{gateway}/exchange/{REMOTE}"),
                ),
            ],
        )
    };
    let answer = printed(&client.secret)?;
    assert!(answer.contains("unsupported_grant_type"), "{answer}");
    let answer = printed("another")?;
    assert!(answer.contains("invalid_client"), "{answer}");

    let login = world.log_in_unregistered(ALICE).await?;
    for _ in 0..8 {
        let (status, answer) = exchange(&world, &gateway, &login).await?;
        assert_eq!(status, 200, "{answer}");
        let exchanged = answer["access_token"].as_str().context("no token")?;
        let call = world.call(REMOTE).at(&envoy.url()).bearer(exchanged);
        assert_eq!(call.send().await?.status, 200);
    }
    let tally = world.tally();
    assert_eq!((tally.exchanges, tally.accepted), (1, 8));
    assert_eq!((tally.rejected_expired, tally.rejected_other), (0, 0));
    Ok(())
}

/// The installation page's lines that begin so.
fn page_lines(begin: &str) -> anyhow::Result<Vec<String>> {
    let page = document("docs/install.md")?;
    let lines: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with(begin))
        .map(str::to_owned)
        .collect();
    ensure!(!lines.is_empty(), "no line {begin}");
    Ok(lines)
}

/// `tokenward doctor`, as step 5 of the page runs it.
fn doctor(world: &World) -> anyhow::Result<String> {
    let folder = TempDir::with_prefix("tokenward-doctor-")?;
    let document = world
        .control
        .config()
        .document(&folder, world.control.address())?;
    let file = write_file(&folder, "tokenward.yaml", text_of(&document, &folder))?;
    let run = std::process::Command::new(tools::tokenward()?)
        .args(["doctor", "--config"])
        .arg(file)
        .output()?;
    Ok(String::from_utf8(run.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_aggregator_needs_the_route_alone() -> anyhow::Result<()> {
    let Some((world, installation)) = relaying("an unmodified aggregator").await? else {
        return Ok(());
    };
    let gateway = world.install(&installation).await?;
    let here = format!("http://{HOST}:{}/dex/token", installation.port());
    let check = console_command(&["curl", "https://dex.example.com/token"])?;
    let arrives = || run(&check, &[("https://dex.example.com/token", &here)]);
    assert_eq!(arrives()?, "", "not routed yet");
    let discovery = format!("http://{HOST}:{}/dex", installation.port());
    let named = run(
        &console_command(&["openid-configuration"])?,
        &[("https://dex.example.com", &discovery)],
    )?;
    ensure!(named.contains("/dex/token"), "{named}");
    let unrouted = doctor(&world)?;
    ensure!(
        unrouted.contains("something else than control answers"),
        "{unrouted}"
    );

    let installation = installation.value("/issuers/0/relay/route", json!({}))?;
    gateway.replace_resources(&world.resources(&installation)?)?;
    let limit = Instant::now() + APPLIED_WITHIN;
    while arrives()?.is_empty() {
        ensure!(Instant::now() < limit, "the route does not lead to control");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    // As the page has it, but for names and times.
    let routed = doctor(&world)?;
    for line in page_lines("OK    issuer https://dex.example.com")? {
        let (check, finding) = line.rsplit_once("  ").context("no finding")?;
        let check = check.trim_end().rsplit(": ").next().context("no check")?;
        let finding = finding.split(" at https:").next().context("no words")?;
        let found = routed.lines().any(|line| {
            line.starts_with("OK") && line.contains(&format!(": {check} ")) && line.contains(finding)
        });
        ensure!(found, "no {check} with {finding}: {routed}");
    }

    let http = reqwest::Client::builder().no_proxy().build()?;
    let client = Client::of(&installation, &http);
    let login = client.log_in(Secret::Header, ALICE).await?;
    assert_eq!((login.status, login.through_control), (200, true), "{login:?}");

    // `doctor` presents made-up tokens.
    let probed = world.tally();
    // A login from before the installation, idle since an hour: its next refresh shows it to control.
    let old = world.log_in_unregistered_an_hour_ago(BOB).await?;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &old.tokens.refresh_token),
    ];
    let refreshed = client.post(Secret::Header, &form).await?;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    ensure!(refreshed.body["id_token"].is_string() && refreshed.body["refresh_token"].is_string());
    // The same request in muster's other form, and 20 at once with the older token: one refresh in all.
    let again = client.post(Secret::Form, &form).await?;
    assert_eq!(again.status, 200, "{again:?}");
    let mut parallel = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (installation, http) = (installation.clone(), http.clone());
        let token = old.tokens.refresh_token.clone();
        parallel.spawn(async move {
            let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
            Client::of(&installation, &http).post(Secret::Header, &form).await
        });
    }
    for answer in parallel.join_all().await {
        assert_eq!(answer?.status, 200);
    }
    assert_eq!(world.tally().refreshes, probed.refreshes + 1);

    // Its listener still presents the token of an hour ago.
    for server in [LOCAL, REMOTE] {
        let call = world.call(server).at(&gateway.url());
        let answer = call.bearer(&old.tokens.id_token).send().await?;
        assert_eq!(answer.status, 200, "{server}: {answer:?}");
    }
    let tally = world.tally();
    assert_eq!(
        (tally.refreshes, tally.exchanges, tally.accepted),
        (probed.refreshes + 1, probed.exchanges + 1, 2)
    );
    assert_eq!((tally.rejected_expired, tally.rejected_other), (0, 0));
    let stats = gateway.stats().await?;
    let replaced = [("outcome", "replaced")];
    ensure!(stats.sum("tokenward_requests_total", &replaced) >= 1.0);
    let counted = run(
        &console_command(&["/metrics", "tokenward_relay_logins_total"])?,
        &[("http://127.0.0.1:8080", &world.control.url())],
    )?;
    ensure!(counted.contains(r#"outcome="learned""#), "{counted}");
    let metrics = world.control.metrics().await?;
    let relay = |family: &str, outcome: &str| {
        metrics.count(
            &format!("tokenward_relay_{family}_total"),
            &[("outcome", outcome)],
        )
    };
    assert_eq!((relay("logins", "learned"), relay("logins", "attached")), (1, 1));
    assert_eq!(
        (relay("refreshes", "refreshed"), relay("refreshes", "stored")),
        (1, 21)
    );
    Ok(())
}
