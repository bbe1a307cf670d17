//! Issuers that are reached no more, and sealing keys that are to go.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_control::serve::reload::apply;
use tokenward_harness::issuer::{DexConfig, Endpoint, Failure};

use crate::deployment::{Deployment, Plan};

/// Connections are accepted, and nothing is sent on them: a handshake never ends, as behind a firewall that drops.
async fn silent() -> anyhow::Result<(std::net::SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    Ok((address, holding))
}

#[tokio::test]
async fn a_strict_issuer_that_cannot_be_connected_to_in_time_was_presented_nothing() -> anyhow::Result<()> {
    let (address, holding) = silent().await?;
    let deployment = Deployment::start(Plan {
        policy: "strict",
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let with_endpoint = |endpoint: &Value| {
        deployment.changed(|document| {
            document["issuer_timeout"] = json!("2s");
            document["issuers"][0]["token_endpoint"] = endpoint.clone();
        })
    };
    let silent = with_endpoint(&json!(format!("https://{address}/token")))?;
    apply(deployment.service(0), silent)?;
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    assert_eq!(ask.send().await?.refusal(), (503, "issuer_unavailable"));
    assert_eq!(deployment.status("s-1").await?.text("state"), "active");
    let good = with_endpoint(&json!(deployment.dex.token_endpoint()))?;
    apply(deployment.service(0), good)?;
    deployment.advance(61);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    holding.abort();
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_that_is_never_rotated_moves_to_the_new_sealing_key_all_the_same()
-> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        dex: DexConfig::default().id_token_lifetime(Duration::from_secs(300)),
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.write_file("key-2", "c2VhbGluZy1rZXktbnVtYmVyLXR3by0zMi1ieXRlcyE=")?;
    let keys = |previous: bool| {
        deployment.changed(|document| {
            let old = document["sealing"]["current"].clone();
            document["sealing"] = json!({"current": {"id": "k2", "key": {"file": "@key-2"}}});
            if previous {
                document["sealing"]["previous"] = json!([old]);
            }
        })
    };
    let (both, new) = (keys(true)?, keys(false)?);
    apply(deployment.service(0), both)?;
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    let unrotated = Failure::DropRefreshToken;
    deployment.advance(301);
    deployment.dex.fail_next(Endpoint::Refresh, 1, &unrotated);
    assert_eq!(ask.send().await?.status, 200);
    // Everything in use has been written since: the old key may go.
    apply(deployment.service(0), new)?;
    assert_eq!(ask.send().await?.status, 200);
    deployment.advance(301);
    deployment.dex.fail_next(Endpoint::Refresh, 1, &unrotated);
    let answer = ask.send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (2, 2));
    Ok(())
}
