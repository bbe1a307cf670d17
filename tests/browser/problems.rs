//! Pages that state what is wrong, where the browser must not be sent to a client.

use tokenward_harness::issuer::{Endpoint, Failure, FakeDex};

use super::chromium::{Chromium, Manner};
use super::stage::{ALLOW, ONE_CLICK, Stage};

const NONE: [String; 0] = [];

/// The page of a problem: readable, without a way on, and without a complaint of the browser but the status.
async fn assert_problem(browser: &Chromium, name: &str, states: &[&str]) -> anyhow::Result<()> {
    browser.element("main h2:last-of-type").await?;
    browser.picture(&format!("problem-{name}")).await?;
    let text = browser.text().await?;
    for stated in states {
        assert!(text.contains(stated), "{stated}: {text}");
    }
    assert!(text.contains("What to do"), "{text}");
    assert!(text.contains("reference"), "{text}");
    assert_eq!(browser.overflow().await?, 0, "{name}");
    let complaints = browser.complaints().await?;
    let others = complaints
        .into_iter()
        .filter(|line| !line.contains("the server responded with a status of"));
    assert_eq!(others.collect::<Vec<_>>(), NONE);
    Ok(())
}

async fn phone(story: &str) -> anyhow::Result<Option<(Chromium, Stage<FakeDex>)>> {
    let Some(browser) = super::browser(story, Manner::PHONE).await? else {
        return Ok(None);
    };
    Ok(Some((browser, Stage::set("Example Editor").await?)))
}

#[tokio::test]
async fn an_unregistered_redirect_and_an_unknown_client_end_on_a_page() -> anyhow::Result<()> {
    let Some((browser, stage)) = phone("a foreign redirect").await? else {
        return Ok(());
    };
    for (name, parameter, value) in [
        ("redirect", "redirect_uri", "https://evil.example/callback"),
        ("client", "client_id", "twc1.nonsense"),
    ] {
        let mut url = stage.login.authorization_request()?.url;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let changed = pairs.into_iter().map(|(key, old)| {
            let value = if key == parameter { value.to_owned() } else { old };
            (key, value)
        });
        let changed: Vec<_> = changed.collect();
        url.query_pairs_mut().clear().extend_pairs(changed);
        browser.open(url.as_str()).await?;
        assert_problem(&browser, name, &[]).await?;
        assert_eq!(browser.address().await?.path(), "/authorize");
        assert!(!browser.has("#onward").await?);
    }
    assert_eq!(stage.world.home.counts().authorizations, 0);
    Ok(())
}

#[tokio::test]
async fn a_callback_that_this_browser_did_not_start_ends_on_a_page() -> anyhow::Result<()> {
    let Some((browser, stage)) = phone("a foreign callback").await? else {
        return Ok(());
    };
    let issuer = stage.world.authorization_issuer();
    browser
        .open(&format!("{issuer}/authorize/callback?code=stolen&state=other"))
        .await?;
    assert_problem(&browser, "callback", &[]).await?;
    assert_eq!(stage.world.home.counts().logins, 0);
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_gives_no_refresh_token_is_named() -> anyhow::Result<()> {
    let Some((browser, stage)) = phone("no refresh token").await? else {
        return Ok(());
    };
    stage
        .world
        .home
        .fail_next(Endpoint::Login, 1, &Failure::DropRefreshToken);
    stage.ask(&browser).await?;
    browser.click(ALLOW).await?;
    browser.click(ONE_CLICK).await?;
    assert_problem(&browser, "no-refresh-token", &["refresh token"]).await?;
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_is_away_is_named_and_the_next_try_works() -> anyhow::Result<()> {
    let Some((browser, stage)) = phone("an issuer that is away").await? else {
        return Ok(());
    };
    stage
        .world
        .home
        .fail_next(Endpoint::Login, 1, &Failure::CloseBeforeAnswer);
    stage.ask(&browser).await?;
    browser.click(ALLOW).await?;
    browser.click(ONE_CLICK).await?;
    assert_problem(&browser, "issuer-away", &[]).await?;
    let request = stage.ask(&browser).await?;
    browser.click(ALLOW).await?;
    browser.click(ONE_CLICK).await?;
    stage.redeem(request).await?;
    assert_eq!(stage.world.home.counts().logins, 1);
    Ok(())
}
