//! An operator's way: login, search, a look at the user, the explanation of a pair, sign-out.

use tokenward_tests::deployment::{Plan, email, with_users};

use super::stage::{Stage, awaits, complaints};
use crate::chromium::Manner;

const NONE: [String; 0] = [];

async fn with_a_few_users() -> anyhow::Result<Stage> {
    let plan = Plan {
        dex: with_users(Plan::default().dex, 6),
        ..Plan::default()
    };
    let stage = Stage::set(plan).await?;
    for user in 0..6 {
        for device in ["laptop", "phone"] {
            let session = format!("{device}-of-{user}");
            stage.deployment.log_in_as(&session, &email(user)).await?;
        }
    }
    Ok(stage)
}

#[tokio::test]
async fn an_operator_finds_a_user_reads_why_and_signs_the_user_out() -> anyhow::Result<()> {
    let manner = Manner {
        size: (1280, 800),
        ..Manner::DESK
    };
    let Some(browser) = crate::browser("the console", manner).await? else {
        return Ok(());
    };
    let stage = with_a_few_users().await?;
    stage.log_in(&browser, "/console/").await?;
    awaits(&browser, "Issuers").await?;
    browser.picture("console-overview").await?;

    browser.fill_in("#term", "user-3@example.com").await?;
    browser.click(".search button").await?;
    browser.element("#sign-out").await?;
    let text = browser.text().await?;
    for shown in ["user-3@example.com", "active", "Sessions (2)", "kubernetes"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    browser.picture("console-user").await?;
    browser.click("#user-pairs td a").await?;
    awaits(&browser, "Every request gets the stored ID token").await?;
    browser.picture("console-pair").await?;

    stage.open(&browser, "/console/sessions").await?;
    browser.picture("console-sessions").await?;
    browser.fill_in("#term", "laptop-of-3").await?;
    browser.click(".search button").await?;
    let session = browser
        .arrive(|url| url.path().starts_with("/console/sessions/"))
        .await?;
    assert!(
        !session.as_str().contains("laptop-of-3"),
        "a handle in an address: {session}"
    );

    browser.click("#sign-out").await?;
    browser.click("#confirm").await?;
    browser.element("#done").await?;
    assert_eq!(stage.deployment.status("laptop-of-3").await?.status, 404);
    assert_eq!(stage.deployment.status("phone-of-3").await?.status, 200);
    browser.click("#logout").await?;
    browser.element("#login").await?;
    assert_eq!(complaints(&browser).await?, NONE);
    let [one, other] = stage.connections();
    assert!(one > 0 && other > 0, "both replicas answer: {one} and {other}");
    Ok(())
}

#[tokio::test]
async fn the_console_can_be_read_and_used_without_scripts() -> anyhow::Result<()> {
    let scriptless = Manner {
        scripts: false,
        ..Manner::DESK
    };
    let Some(browser) = crate::browser("the console without scripts", scriptless).await? else {
        return Ok(());
    };
    let stage = with_a_few_users().await?;
    stage.log_in(&browser, "/console/users").await?;
    assert!(browser.text().await?.contains("user-0@example.com"));
    browser.fill_in("#term", "user-1@example.com").await?;
    browser.click(".search button").await?;
    browser.click("#sign-out").await?;
    browser.click("#confirm").await?;
    browser.element("#done").await?;
    assert_eq!(stage.deployment.status("phone-of-1").await?.status, 404);
    assert_eq!(complaints(&browser).await?, NONE);
    Ok(())
}

#[tokio::test]
async fn the_pages_fit_a_phone_and_a_dark_desk() -> anyhow::Result<()> {
    let dark = Manner {
        dark: true,
        size: (1280, 800),
        ..Manner::DESK
    };
    for (name, manner) in [("phone", Manner::PHONE), ("dark", dark)] {
        let Some(browser) = crate::browser("the console's looks", manner).await? else {
            return Ok(());
        };
        let stage = with_a_few_users().await?;
        stage.log_in(&browser, "/console/").await?;
        awaits(&browser, "Issuers").await?;
        for (page, path) in [
            ("overview", "/console/"),
            ("users", "/console/users"),
            ("sessions", "/console/sessions"),
        ] {
            stage.open(&browser, path).await?;
            browser.element("#main").await?;
            browser.picture(&format!("console-{page}-{name}")).await?;
            assert_eq!(browser.overflow().await?, 0, "{page} {name}");
        }
        browser.fill_in("#term", "user-2@example.com").await?;
        browser.click(".search button").await?;
        browser.element("#sign-out").await?;
        browser.picture(&format!("console-user-{name}")).await?;
        assert_eq!(browser.overflow().await?, 0, "user {name}");
        assert_eq!(browser.is_dark().await?, manner.dark, "{name}");
        assert_eq!(complaints(&browser).await?, NONE);
    }
    Ok(())
}
