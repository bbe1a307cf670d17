//! The consent in a real browser, then a real Dex's form, then the client's listener.

use std::collections::BTreeMap;

use tokenward_harness::issuer::{FakeDex, Issuer};
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, LOCAL};

use super::chromium::{Chromium, Manner};
use super::stage::{ALLOW, DENY, ONE_CLICK, Stage};

const NONE: [String; 0] = [];

/// What a client may send as its name: markup, text that reads from right to left, and more than any window holds.
fn hostile_names() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (
            "markup",
            "<h1 onclick=alert(1)>Claude</h1><script>document.title='taken'</script><img src=//evil.example/a.png>".to_owned(),
        ),
        ("bidi", "\u{202e}edualC\u{2066}\u{200f} yb detsurT \u{2069}".to_owned()),
        ("long", "W".repeat(256)),
        ("lines", format!("Claude{}\r\n\r\nAllowed already", "\u{2028}".repeat(40))),
    ])
}

/// From the consent page to the listener, on an issuer whose form the caller fills in.
async fn log_in<I: Issuer>(stage: &Stage<I>, browser: &Chromium) -> anyhow::Result<()> {
    let request = stage.ask(browser).await?;
    browser.click(ALLOW).await?;
    browser.fill_in("#login", ALICE).await?;
    browser.fill_in("#password", "password").await?;
    browser.click("#submit-login").await?;
    let tokens = stage.redeem(request).await?;
    browser.element("#done").await?;
    let call = stage.world.call(LOCAL).bearer(&tokens.access_token);
    assert_eq!(call.send().await?.status, 200);
    assert_eq!(stage.world.home.counts_of(ALICE).logins, 1);
    assert_eq!(stage.world.own_tokens(), 0);
    Ok(())
}

#[tokio::test]
async fn a_person_allows_a_client_and_logs_in_at_a_real_dex() -> anyhow::Result<()> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!(
            "left out: the consent before a real Dex: {}",
            tools::DEX_IS_MISSING
        );
        return Ok(());
    }
    let Some(browser) = super::browser("the consent", Manner::DESK).await? else {
        return Ok(());
    };
    let stage = Stage::<RealDex>::set("Example Editor").await?;
    stage.ask(&browser).await?;
    browser.element(ALLOW).await?;
    browser.picture("consent-desk").await?;
    let text = browser.text().await?;
    for shown in ["Example Editor", "127.0.0.1", LOCAL, stage.world.home.issuer()] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert_eq!(browser.complaints().await?, NONE);
    assert_eq!(stage.world.home.counts().authorizations, 0, "before the consent");
    log_in(&stage, &browser).await?;
    // Dex's own page has a font that it does not serve everywhere; ours and the client's have no complaint.
    let issuer = stage.world.home.issuer();
    let complaints = browser.complaints().await?;
    let ours = complaints.into_iter().filter(|line| !line.contains(issuer));
    assert_eq!(ours.collect::<Vec<_>>(), NONE);
    Ok(())
}

#[tokio::test]
async fn no_script_is_needed_anywhere() -> anyhow::Result<()> {
    let scriptless = Manner {
        scripts: false,
        ..Manner::DESK
    };
    let Some(browser) = super::browser("the consent without scripts", scriptless).await? else {
        return Ok(());
    };
    let stage = Stage::<FakeDex>::set("Example Editor").await?;
    let request = stage.ask(&browser).await?;
    browser.click(ALLOW).await?;
    browser.click(ONE_CLICK).await?;
    let tokens = stage.redeem(request).await?;
    let call = stage.world.call(LOCAL).bearer(&tokens.access_token);
    assert_eq!(call.send().await?.status, 200);
    assert_eq!(browser.complaints().await?, NONE);
    Ok(())
}

#[tokio::test]
async fn a_person_denies_and_the_client_learns_it_without_a_login() -> anyhow::Result<()> {
    let Some(browser) = super::browser("a denied consent", Manner::DESK).await? else {
        return Ok(());
    };
    let stage = Stage::<FakeDex>::set("Example Editor").await?;
    let request = stage.ask(&browser).await?;
    browser.click(DENY).await?;
    let arrival = stage.client.arrival().await?;
    let arrived: BTreeMap<_, _> = arrival.into_iter().collect();
    assert_eq!(arrived["error"], "access_denied");
    assert_eq!(arrived["state"], request.state);
    assert_eq!(arrived["iss"], stage.world.authorization_issuer());
    assert!(!arrived.contains_key("code"));
    browser.element("#done").await?;
    assert_eq!(stage.world.home.counts().authorizations, 0);
    assert_eq!(browser.complaints().await?, NONE);
    Ok(())
}

#[tokio::test]
async fn a_hostile_name_is_text_and_leaves_the_question_readable_on_a_phone() -> anyhow::Result<()> {
    for (what, name) in hostile_names() {
        let Some(browser) = super::browser("a hostile name", Manner::PHONE).await? else {
            return Ok(());
        };
        let stage = Stage::<FakeDex>::set(&name).await?;
        stage.ask(&browser).await?;
        browser.element(ALLOW).await?;
        browser.picture(&format!("consent-hostile-{what}")).await?;
        assert_eq!(browser.overflow().await?, 0, "{what}");
        assert_eq!(browser.title().await?, "Allow access? · Tokenward", "{what}");
        assert!(!browser.has("main img, main script, main h1 h1").await?, "{what}");
        let text = browser.text().await?;
        assert!(
            text.contains("127.0.0.1") && text.contains("no one has checked it"),
            "{text}"
        );
        let hidden = ['\u{202e}', '\u{2066}', '\u{200f}', '\u{2069}', '\u{2028}'];
        assert!(!text.contains(hidden), "{text:?}");
        assert_eq!(browser.complaints().await?, NONE, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn the_consent_fits_a_phone_in_the_dark() -> anyhow::Result<()> {
    let dark = Manner {
        dark: true,
        ..Manner::PHONE
    };
    let Some(browser) = super::browser("the consent in the dark", dark).await? else {
        return Ok(());
    };
    let stage = Stage::<FakeDex>::set("Example Editor").await?;
    stage.ask(&browser).await?;
    browser.element(ALLOW).await?;
    browser.picture("consent-phone-dark").await?;
    assert_eq!(browser.overflow().await?, 0);
    assert!(browser.is_dark().await?, "the page has a light ground");
    Ok(())
}
