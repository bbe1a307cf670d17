//! A control service that is started while its Valkey is away, as a node's restart does.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokenward_harness::issuer::{DexClient, DexConfig, DexUser, FakeDex};
use tokenward_harness::parts::{Control, ControlConfig, ControlStore, Valkey};
use tokenward_harness::world::ALICE;

const PROBES: usize = 20;

async fn probe(control: &Control, path: &str) -> anyhow::Result<(u16, Value)> {
    let answer = reqwest::get(format!("{}{path}", control.url())).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn ask(control: &Control, id_token: &str) -> anyhow::Result<(u16, Value)> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", id_token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("audience", "kubernetes"),
        ("session", "s-1"),
    ];
    let answer = reqwest::Client::new()
        .post(format!("{}/oauth2/token", control.url()))
        .bearer_auth(control.config().filter_credential.expose_secret())
        .form(&form)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// An orchestrator that restarts what does not live would keep it away for minutes after Valkey is back.
#[tokio::test]
async fn it_lives_refuses_with_503_and_is_ready_as_soon_as_valkey_is() -> anyhow::Result<()> {
    let dex = DexConfig::default()
        .user(DexUser::new(ALICE))
        .client(DexClient::new("muster", "s3cret"));
    let dex = FakeDex::start(dex).await?;
    let id_token = dex.log_in(ALICE, "muster").await?.id_token;
    let mut valkey = Valkey::start_on_a_port(&[]).await?;
    valkey.kill()?;
    let config = ControlConfig {
        store: ControlStore::Valkey {
            url: valkey.url(),
            password: None,
        },
        ..ControlConfig::default()
            .issuer(&dex, "muster", "s3cret")
            .forwarding_server("kubernetes", &["muster"])
    };
    let mut control = Control::start_without_waiting(config).await?;
    for _ in 0..PROBES {
        assert_eq!(probe(&control, "/livez").await?.0, 200);
        let (status, said) = probe(&control, "/readyz").await?;
        assert_eq!(
            (status, &said["status"]),
            (503, &Value::from("unavailable")),
            "{said}"
        );
    }
    let (status, said) = ask(&control, &id_token).await?;
    assert_eq!(
        (status, &said["refusal"]),
        (503, &Value::from("store_unavailable"))
    );
    let written = |control: &Control, words: &str| control.log().count(|line| line.contains(words));
    assert_eq!(written(&control, "starting without the store"), 1);
    assert_eq!(written(&control, "not ready"), 1, "{PROBES} probes, one WARN");

    valkey.restart().await?;
    control.wait_until_ready(Duration::from_secs(30)).await?;
    assert_eq!(written(&control, "ready again: the store answers"), 1);
    let (status, said) = ask(&control, &id_token).await?;
    assert_eq!((status, &said["refusal"]), (503, &Value::from("not_registered")));
    Ok(())
}
