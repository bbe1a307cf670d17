//! The console while something else is down: then it is needed most.

use super::stage::{OPERATOR, Stage};

const HANDLE: &str = "handle-of-a-session";

#[tokio::test]
async fn an_operator_gets_in_and_sees_the_cause_while_the_store_is_down() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    stage.deployment.store().set_off(true);
    let tab = stage.tab();
    let page = tab.log_in(OPERATOR, "/console/").await?;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("not ready"), "{}", page.body);
    assert!(
        page.body.contains("only the replica that made this page"),
        "{}",
        page.body
    );
    for path in ["/console/users", "/console/sessions"] {
        let page = tab.open(path).await?;
        assert_eq!(page.status, 503, "{path}");
        assert!(page.body.contains("· store_unavailable"), "{}", page.body);
    }
    stage.deployment.store().set_off(false);
    assert_eq!(tab.open("/console/users").await?.status, 200);
    let page = tab.open("/console/").await?;
    assert!(!page.body.contains("not ready"), "{}", page.body);
    assert!(!page.body.contains("none since its start"), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn nothing_is_changed_while_a_sign_out_of_the_operator_cannot_be_known() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    let tab = stage.operator().await?;
    let session = tab.open("/console/sessions").await?.links("/console/sessions/")[0].clone();
    let confirm = tab.open(&format!("{session}/sign-out")).await?;
    stage.deployment.store().set_off(true);
    let refused = tab.submit(&confirm, &format!("{session}/sign-out"), &[]).await?;
    assert_eq!(refused.status, 503, "{}", refused.body);
    stage.deployment.store().set_off(false);
    assert_eq!(stage.deployment.status(HANDLE).await?.status, 200);
    let done = tab.submit(&confirm, &format!("{session}/sign-out"), &[]).await?;
    assert_eq!(done.status, 200, "{}", done.body);
    Ok(())
}
