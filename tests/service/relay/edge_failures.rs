//! What the edge of the relay does when something is away: the issuer, the store, the way to the issuer.

use std::time::Duration;

use serde_json::json;
use tokenward_control::serve::reload::apply;
use tokenward_harness::issuer::Endpoint;

use super::raw::{Forward, Play, RawIssuer};
use super::{counted, edge, relayed};
use crate::deployment::{ADMIN, Deployment, Plan};
use crate::secrecy::Captured;
use crate::traffic::metrics;

fn lines(captured: &Captured, level: &str, text: &str) -> usize {
    let logged = captured.text();
    logged
        .lines()
        .filter(|line| line.contains(level) && line.contains(text))
        .count()
}

#[tokio::test]
async fn a_request_that_comes_back_is_refused_by_name_and_logged_once_a_minute() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let back = Forward::start().await?;
    let deployment = Deployment::start(Plan {
        own_endpoint: Some(back.url("/token")),
        ..relayed()
    })
    .await?;
    back.to(&deployment.urls[0])?;
    let any = deployment.relayed(0, &[("grant_type", "client_credentials")]);
    let mine = |call: &crate::deployment::RelayCall| call.request().header("x-tokenward-relay", "forged");
    for _ in 0..3 {
        let answered = crate::deployment::RelayAnswer::of(mine(&any)).await?;
        assert_eq!(
            (answered.status, answered.text("error").as_str()),
            (503, "temporarily_unavailable")
        );
        assert!(
            answered
                .text("error_description")
                .contains("leads back to the relay")
        );
        assert_eq!(answered.header("retry-after"), Some("60"));
    }
    assert_eq!(
        counted(&deployment, "tokenward_relay_passed_total", "loop").await?,
        3
    );
    let loops = || lines(&captured, "ERROR", "came back to control");
    assert_eq!(loops(), 1);
    // Control's own refreshes name the host of token_endpoint, and find nothing there. No login ends for it.
    let login = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let stale = deployment.ask(&login.id_token).session("s-1").send().await?;
    assert_eq!(stale.refusal(), (500, "issuer_misconfigured"));
    assert_eq!(any.send().await?.status, 503);
    assert_eq!(loops(), 2);
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);

    let repaired = deployment.changed(|document| {
        document["issuers"][0]["token_endpoint"] = json!(deployment.dex.token_endpoint());
    })?;
    apply(deployment.service(0), repaired)?;
    deployment.advance(301);
    let stale = deployment.ask(&login.id_token).session("s-1").send().await?;
    assert_eq!(stale.status, 200, "{stale:?}");
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_is_away_is_503_that_states_what_may_have_happened() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let (deployment, issuer) = edge::before(Vec::new()).await?;
    let calls = [
        deployment.relayed(0, &[("grant_type", "client_credentials")]),
        deployment.relayed_login(0, ADMIN),
        deployment.relayed(
            0,
            &[("grant_type", "authorization_code"), ("code", "code-of-one-use")],
        ),
    ];
    // It takes each request and closes the connection.
    for call in &calls {
        let answered = call.send().await?;
        assert_eq!(
            (answered.status, answered.text("error").as_str()),
            (503, "temporarily_unavailable")
        );
        assert!(answered.text("error_description").contains("may have processed"));
        assert_eq!(answered.header("retry-after"), Some("2"));
    }
    assert_eq!(issuer.requests().len(), calls.len());
    drop(issuer);
    for call in &calls {
        let answered = call.send().await?;
        assert_eq!(
            (answered.status, answered.text("error").as_str()),
            (503, "temporarily_unavailable")
        );
        assert!(answered.text("error_description").contains("has not received"));
    }
    assert_eq!(
        counted(&deployment, "tokenward_relay_passed_total", "unavailable").await?,
        6
    );
    assert_eq!(lines(&captured, "WARN", "the relay does not reach"), 1);
    Ok(())
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_clients_fault() -> anyhow::Result<()> {
    let (deployment, issuer) = edge::before(edge::odd_answer()).await?;
    let head = b"POST /token HTTP/1.1\r\nhost: login.example.com\r\ncontent-length: 100000\r\n\r\nabc";
    let mut stream = super::raw::connect(&deployment.urls[0]).await?;
    tokio::io::AsyncWriteExt::write_all(&mut stream, head).await?;
    drop(stream);
    // The issuer gets no complete request, and the next one passes.
    let answered = deployment.relayed(0, &[("a", "b")]).send().await?;
    assert_eq!(answered.status, 418);
    assert_eq!(issuer.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn while_the_store_is_down_refreshes_wait_and_everything_else_passes() -> anyhow::Result<()> {
    let deployment = Deployment::start(relayed()).await?;
    let login = deployment.relayed_login(0, ADMIN).send().await?;
    let refresh_token = login.text("refresh_token");
    deployment.store().set_off(true);
    let refused = deployment.relayed_refresh(0, &refresh_token).send().await?;
    assert_eq!(
        (refused.status, refused.text("error").as_str()),
        (503, "temporarily_unavailable")
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    let second = deployment.relayed_login(0, ADMIN).send().await?;
    assert_eq!(second.status, 200);
    assert!(!second.text("id_token").is_empty());
    let code = deployment.relayed(
        0,
        &[("grant_type", "authorization_code"), ("code", "unknown-code")],
    );
    assert_eq!(code.send().await?.status, 400);
    deployment.store().set_off(false);
    // Its first refresh is asked of the issuer: nothing of the second login could be stored.
    let refreshed = deployment
        .relayed_refresh(0, &second.text("refresh_token"))
        .send()
        .await?;
    assert_eq!(refreshed.status, 200, "{}", refreshed.json());
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_refresh_past_the_deadline_is_503_and_its_result_the_next_answer() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        relay: Some(json!({"deadline": "300ms"})),
        ..Plan::default()
    })
    .await?;
    let login = deployment.relayed_login(0, ADMIN).send().await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let refresh = deployment.relayed_refresh(0, &login.text("refresh_token"));
    let late = refresh.send().await?;
    assert_eq!(
        (late.status, late.text("error").as_str()),
        (503, "temporarily_unavailable")
    );
    deployment.dex.release(Endpoint::Refresh);
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    let answered = loop {
        let answered = refresh.send().await?;
        if answered.status != 503 {
            break answered;
        }
        anyhow::ensure!(tokio::time::Instant::now() < limit, "never answered");
    };
    assert_eq!(answered.status, 200, "{}", answered.json());
    assert_ne!(answered.text("refresh_token"), login.text("refresh_token"));
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_slow_answer_that_has_begun_is_passed_as_it_comes() -> anyhow::Result<()> {
    let issuer = RawIssuer::start(Play::Bytes(edge::odd_answer())).await?;
    let deployment = Deployment::start(Plan {
        own_endpoint: Some(issuer.endpoint()),
        ..relayed()
    })
    .await?;
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    issuer.play(Play::Bytes(cut));
    // A body that the issuer cuts off ends the client's connection: it must not look complete.
    let any = deployment.relayed(0, &[("grant_type", "client_credentials")]);
    assert!(any.send().await.is_err());
    // Of a login the whole answer is awaited.
    let login = deployment.relayed_login(0, ADMIN).send().await?;
    assert_eq!(
        (login.status, login.text("error").as_str()),
        (503, "temporarily_unavailable")
    );
    Ok(())
}

#[tokio::test]
async fn strangers_with_half_a_body_do_not_keep_a_checked_client_out() -> anyhow::Result<()> {
    const BYTES: usize = 2 * 1024 * 1024;
    const STRANGERS: usize = 40;
    let issuer = RawIssuer::start(Play::Bytes(edge::odd_answer())).await?;
    let deployment = Deployment::start(Plan {
        own_endpoint: Some(issuer.endpoint()),
        settings: json!({"intake": {"bytes": BYTES}}),
        ..relayed()
    })
    .await?;
    let head = "POST /token HTTP/1.1\r\nhost: login.example.com\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 65536\r\n\r\n";
    let half = [head.as_bytes(), &[b'a'; 60_000]].concat();
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        let mut stream = super::raw::connect(&deployment.urls[0]).await?;
        tokio::io::AsyncWriteExt::write_all(&mut stream, &half).await?;
        strangers.push(stream);
    }
    let answered = deployment.relayed_login(0, ADMIN).send().await?;
    assert_eq!(answered.status, 418);
    // Strangers share an eighth, and those that made room for others hold as much at most until they are gone.
    let held = metrics(&deployment).await?.sum("tokenward_intake_bytes", &[]);
    assert!(held <= (BYTES / 8 * 2) as f64, "{held}");
    assert_eq!(issuer.requests().len(), 1);
    Ok(())
}
