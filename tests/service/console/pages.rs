//! What the pages show.

use serde_json::json;

use super::stage::Stage;
use crate::deployment::{ADMIN, Plan};

const HANDLE: &str = "handle-of-a-session";

#[tokio::test]
async fn a_session_a_user_and_a_pair_lead_to_each_other() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    let tab = stage.operator().await?;
    let session = tab.open("/console/sessions").await?.links("/console/sessions/")[0].clone();
    let page = tab.open(&session).await?;
    for shown in [ADMIN, "muster", "kubernetes", "5 min 0 s left", "the aggregator"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let pair = page.links(&format!("{session}/servers/"));
    assert_eq!(pair, [format!("{session}/servers/kubernetes")]);
    let explained = tab.open(&pair[0]).await?;
    assert!(
        explained.body.contains("Every request gets the stored ID token"),
        "{}",
        explained.body
    );

    let user = page.links("/console/users/")[0].clone();
    let page = tab.open(&user).await?;
    for shown in [ADMIN, "admin", "Sessions (1)", "login 1 of this user"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    assert_eq!(page.links(&session).first(), Some(&session));
    let explained = tab.open(&format!("{user}/servers/kubernetes")).await?;
    assert!(
        explained.body.contains("the user&#39;s own ID token"),
        "{}",
        explained.body
    );
    Ok(())
}

#[tokio::test]
async fn the_lives_on_a_page_are_those_of_now() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    let tab = stage.operator().await?;
    let session = tab.open("/console/sessions").await?.links("/console/sessions/")[0].clone();
    stage.deployment.advance(61);
    assert!(tab.open(&session).await?.body.contains("3 min 59 s left"));
    stage.deployment.advance(300);
    let page = tab.open(&session).await?;
    assert!(page.body.contains("expired 1 min 1 s ago"), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn the_overview_shows_store_issuers_and_every_replica() -> anyhow::Result<()> {
    let plan = Plan {
        replicas: 2,
        valkey: true,
        ..Plan::default()
    };
    let stage = Stage::start_with(plan, json!({})).await?;
    stage.deployment.log_in(HANDLE).await?;
    let tab = stage.operator().await?;
    let is_complete = |body: &str| body.matches("data-label=\"Seen\"").count() == 2;
    let page = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        loop {
            let page = tab.open("/console/").await?;
            if is_complete(&page.body) {
                return anyhow::Ok(page);
            }
        }
    })
    .await??;
    for shown in ["valkey", "closed", "none since its start", "0 of 32"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let issuer = tokenward_harness::issuer::Issuer::issuer(&stage.deployment.dex).to_owned();
    assert!(page.body.contains(&issuer), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn what_has_ended_or_never_was_is_a_page_too() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.operator().await?;
    let none = "0".repeat(64);
    for path in [
        format!("/console/sessions/{none}"),
        format!("/console/users/{none}"),
        "/console/sessions/short".to_owned(),
        "/console/users/..%2f..%2fmetrics".to_owned(),
        format!("/console/sessions/{none}/servers/none"),
        "/console/nothing".to_owned(),
    ] {
        let page = tab.open(&path).await?;
        assert_eq!(page.status, 404, "{path}: {}", page.body);
        assert!(page.body.contains("id=\"problem\""), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn no_page_contains_a_token_a_secret_or_a_handle() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let login = stage.deployment.log_in(HANDLE).await?;
    let tab = stage.operator().await?;
    let page = tab.open("/console/sessions").await?;
    let session = page.links("/console/sessions/")[0].clone();
    let user = page.links("/console/users/")[0].clone();
    let mut pages = vec![
        page.clone(),
        tab.submit(&page, "/console/search", &[("term", HANDLE)]).await?,
        tab.submit(&page, "/console/search", &[("term", "another-handle")])
            .await?,
    ];
    for path in [
        "/console/".to_owned(),
        "/console/users".to_owned(),
        session.clone(),
        user.clone(),
        format!("{session}/servers/kubernetes"),
        format!("{session}/sign-out"),
        format!("{user}/sign-out"),
    ] {
        pages.push(tab.open(&path).await?);
    }
    for page in &pages {
        let all = format!("{:?} {}", page.headers, page.body);
        for secret in [
            HANDLE,
            "another-handle",
            &login.id_token,
            &login.refresh_token,
            "console-client-secret",
        ] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        let visible = &page.body;
        assert!(!tokenward_harness::secrets::are_in(visible), "{visible}");
    }
    Ok(())
}
