//! What happened, as the console shows it: from a refusal, and from the digest of a log line, to its explanation.

use tokenward_harness::browser::ShownPage;

use std::time::Duration;

use super::stage::{OPERATOR, Stage};
use super::tab::Tab;
use crate::deployment::ADMIN;

const HANDLE: &str = "handle-of-a-session";

/// The page once it has `text`: events are recorded beside the requests.
async fn awaited(tab: &Tab<'_>, path: &str, text: &str) -> anyhow::Result<ShownPage> {
    let looking = async {
        loop {
            let page = tab.open(path).await?;
            if page.body.contains(text) {
                return anyhow::Ok(page);
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(30), looking).await {
        Ok(page) => page,
        Err(_) => anyhow::bail!("no {text} at {path}: {}", tab.open(path).await?.body),
    }
}

/// A session whose login is dead and which is refused.
async fn refused() -> anyhow::Result<Stage> {
    let stage = Stage::start().await?;
    let login = stage.deployment.log_in(HANDLE).await?;
    assert!(stage.deployment.dex.revoke(ADMIN, "muster"));
    stage.deployment.advance(400);
    let answer = stage
        .deployment
        .ask(&login.id_token)
        .session(HANDLE)
        .send()
        .await?;
    assert_eq!(answer.refusal(), (400, "needs_login"), "{answer:?}");
    Ok(stage)
}

#[tokio::test]
async fn a_refusal_is_on_the_overview_with_cause_and_cure_and_leads_to_its_pair() -> anyhow::Result<()> {
    let stage = refused().await?;
    let tab = stage.operator().await?;
    let page = awaited(&tab, "/console/", "refusal began").await?;
    for shown in ["needs login", "kubernetes", ADMIN] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let pair = page.links("/console/pairs/")[0].clone();
    let digest = pair.rsplit('/').next().unwrap_or_default().to_owned();
    let leads = tab.open(&pair).await?;
    let explained = tab.open(leads.location()).await?;
    assert!(
        explained.body.contains("The user must log in again"),
        "{}",
        explained.body
    );
    assert!(explained.body.contains(&digest), "{}", explained.body);

    let found = tab
        .submit(&page, "/console/search", &[("term", &format!("pair={digest}"))])
        .await?;
    assert_eq!(found.location(), leads.location());
    let session = tab.open("/console/sessions").await?.links("/console/sessions/")[0].clone();
    let page = tab.open(&session).await?;
    assert!(page.body.contains(&digest), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_is_recorded_with_its_operator() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    let tab = stage.operator().await?;
    let session = tab.open("/console/sessions").await?.links("/console/sessions/")[0].clone();
    let confirm = tab.open(&format!("{session}/sign-out")).await?;
    tab.submit(&confirm, &format!("{session}/sign-out"), &[]).await?;
    let page = awaited(&tab, "/console/activity?kind=sign_out", "by console").await?;
    assert!(page.body.contains(OPERATOR), "{}", page.body);
    assert!(
        !page.body.contains("<span class=\"state good\">login</span>"),
        "filtered"
    );
    let all = tab.open("/console/activity").await?;
    assert!(
        all.body.contains("<span class=\"state good\">login</span>"),
        "{}",
        all.body
    );
    let none = tab.open("/console/activity?kind=reload").await?;
    assert!(none.body.contains("id=\"nothing\""), "{}", none.body);
    Ok(())
}

#[tokio::test]
async fn an_open_page_receives_one_event_for_a_login() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.operator().await?;
    let mut stream = tab.begin("/console/events").await?;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await?.unwrap_or_default();
    assert_eq!(first, "retry: 1000\n\n");

    stage.deployment.log_in(HANDLE).await?;
    let rest = stream.text().await?;
    assert_eq!(rest.matches("event: changed").count(), 1, "{rest}");
    assert!(!rest.contains(ADMIN), "{rest}");
    Ok(())
}
