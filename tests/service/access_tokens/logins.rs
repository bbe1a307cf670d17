//! Access tokens that come with a login.

use serde_json::{Value, json};
use tokenward_control::serve::reload::apply;

use super::stage::{FILES, OPAQUE_LIFE, access_token, files, plan, presented, put, record_bytes};
use crate::deployment::{ADMIN, AGGREGATOR, Deployment, Plan};

#[tokio::test]
async fn a_registered_access_token_is_served_until_it_is_stale() -> anyhow::Result<()> {
    for (is_opaque, expires_in, life) in [
        (true, Some(900), 900),
        // A JWT states its own, and an opaque token without any lives as the ID token that it came with.
        (false, Some(900), 300),
        (true, None, 300),
    ] {
        let deployment = Deployment::start(plan(is_opaque)).await?;
        let login = deployment.dex.log_in(ADMIN, "muster").await?;
        assert_eq!(put(&deployment, "s-1", &login, expires_in).await?.status, 201);
        let ask = deployment.ask(&login.id_token).server(FILES);
        let answer = ask.send().await?;
        assert_eq!(access_token(&answer), login.access_token);
        assert_eq!(
            answer.body["expires_in"],
            json!(life),
            "{is_opaque} {expires_in:?}"
        );
        deployment.advance(life - 61);
        assert_eq!(access_token(&ask.send().await?), login.access_token);
        assert_eq!(presented(&deployment), 0);
        deployment.advance(1);
        assert_ne!(access_token(&ask.send().await?), login.access_token);
        assert_eq!(presented(&deployment), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_login_that_is_registered_again_keeps_the_access_token_that_lives_longer() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(true)).await?;
    let login = deployment.log_in("s-1").await?;
    // Registered without its access token before.
    assert_eq!(put(&deployment, "s-1", &login, Some(300)).await?.status, 200);
    let ask = deployment.ask(&login.id_token).server(FILES);
    assert_eq!(access_token(&ask.send().await?), login.access_token);
    deployment.advance(250);
    let refreshed = access_token(&ask.send().await?);
    assert_eq!(presented(&deployment), 1);
    put(&deployment, "s-1", &login, Some(50)).await?;
    assert_eq!(access_token(&ask.send().await?), refreshed);
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn an_access_token_is_kept_only_where_a_server_needs_it() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        servers: Vec::new(),
        ..plan(true)
    })
    .await?;
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    put(&deployment, "s-1", &login, Some(300)).await?;
    let without = record_bytes(&deployment).await?;
    assert!(
        without < login.id_token.len() + login.refresh_token.len() + 400,
        "{without}"
    );
    let next = deployment.changed(|config| {
        let servers = config["servers"].as_array_mut().expect("a list");
        servers.push(files(&json!({})));
    })?;
    apply(deployment.service(0), next)?;
    access_token(&deployment.ask(&login.id_token).server(FILES).send().await?);
    assert_eq!(presented(&deployment), 1);
    assert!(record_bytes(&deployment).await? > without);
    Ok(())
}

#[tokio::test]
async fn the_store_has_at_most_two_bytes_for_each_byte_of_the_tokens() -> anyhow::Result<()> {
    for is_opaque in [false, true] {
        let deployment = Deployment::start(plan(is_opaque)).await?;
        let login = deployment.dex.log_in(ADMIN, "muster").await?;
        put(&deployment, "s-1", &login, Some(300)).await?;
        let tokens = [&login.id_token, &login.access_token, &login.refresh_token];
        let bytes: usize = tokens.into_iter().map(String::len).sum();
        let stored = record_bytes(&deployment).await?;
        assert!(
            (bytes..=bytes * 2).contains(&stored),
            "{stored} bytes for {bytes} of tokens"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_explanation_states_which_token_a_server_gets_and_how_long_it_lives() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(true)).await?;
    let login = deployment.log_in("s-1").await?;
    let explained = async || -> anyhow::Result<Value> {
        let url = format!("{}/v1/explain?server={FILES}", deployment.urls[0]);
        let request = deployment.http.get(url).bearer_auth(AGGREGATOR);
        let answer = deployment
            .request(request.header("x-tokenward-session", "s-1"))
            .await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        Ok(answer.body)
    };
    let before = explained().await?;
    assert_eq!(
        (
            &before["server"]["receives"],
            &before["next"],
            &before["grant"]["access_token"]
        ),
        (&json!("access_token"), &json!("refresh"), &Value::Null)
    );
    access_token(&deployment.ask(&login.id_token).server(FILES).send().await?);
    let after = explained().await?;
    assert_eq!(after["next"], "serve");
    assert_eq!(
        after["grant"]["access_token"]["expires_in_seconds"],
        json!(OPAQUE_LIFE)
    );
    let sentence = after["what_next"].as_str().unwrap_or_default();
    assert!(
        sentence.contains("the stored access token, for 239 s"),
        "{sentence}"
    );
    Ok(())
}
