//! Live updates: what happens at one replica shows on a page of the other, without a reload.

use tokenward_tests::deployment::{ADMIN, Plan, email, with_users};

use super::stage::{Stage, awaits, complaints};
use crate::chromium::Manner;

#[tokio::test]
async fn a_login_and_a_sign_out_appear_on_an_open_page() -> anyhow::Result<()> {
    let Some(browser) = crate::browser("live updates", Manner::DESK).await? else {
        return Ok(());
    };
    let plan = Plan {
        dex: with_users(Plan::default().dex, 1),
        ..Plan::default()
    };
    let stage = Stage::set(plan).await?;
    stage.log_in(&browser, "/console/users").await?;
    assert!(browser.text().await?.contains("No user has a login here."));

    stage.deployment.log_in("handle-of-admin").await?;
    awaits(&browser, ADMIN).await?;
    awaits(&browser, "Live.").await?;
    stage.deployment.log_in_as("handle-of-another", &email(0)).await?;
    awaits(&browser, &email(0)).await?;
    awaits(&browser, "5 min 0 s left").await?;

    // The stream ends and is opened again by the browser: updates go on.
    stage.deployment.advance(400);
    awaits(&browser, "expired 1 min 40 s ago").await?;
    let subject = stage.deployment.dex.subject(ADMIN);
    stage.deployment.sign_out(&subject).await?;
    awaits(&browser, "signed out").await?;
    assert_eq!(complaints(&browser).await?, [] as [String; 0]);
    Ok(())
}
