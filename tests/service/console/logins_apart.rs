//! Logins with grants of their own on the console.

use serde_json::json;

use super::stage::Stage;
use crate::deployment::ADMIN;
use crate::logins_apart::stage::{PATIENCE, asked, plan};

#[tokio::test]
async fn the_console_shows_each_login_and_signs_the_user_out_of_all() -> anyhow::Result<()> {
    let stage = Stage::start_with(plan(), json!({})).await?;
    let deployment = &stage.deployment;
    let first = deployment.log_in("s-1").await?;
    deployment.dex.revoke(ADMIN, "muster");
    deployment.advance(301);
    deployment.log_in("s-2").await?;
    assert_eq!(
        asked(deployment, &first, "s-1").await?.refusal(),
        (400, "needs_login")
    );
    assert!(deployment.service(0).drain(PATIENCE).await);
    let tab = stage.operator().await?;
    let users = tab.open("/console/users").await?.links("/console/users/");
    assert_eq!(users.len(), 2, "a row for each login: {users:?}");
    for user in &users {
        let page = tab.open(user).await?;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.links("/console/sessions/").len(), 2, "{page:?}");
    }
    let path = format!("{}/sign-out", users[0]);
    let confirm = tab.open(&path).await?;
    assert_eq!(tab.submit(&confirm, &path, &[]).await?.status, 200);
    for session in ["s-1", "s-2"] {
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    Ok(())
}
