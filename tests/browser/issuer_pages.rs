//! The pages of the issuers themselves: what a user of the demo, and of a real Dex, sees after the consent.

use tokenward_harness::issuer::{DexClient, DexConfig, FakeDex, Issuer};
use tokenward_harness::parts::{RealDex, tools};

use super::chromium::{Chromium, Manner};
use super::loopback_client::LoopbackClient;
use super::stage::ONE_CLICK;

const CLIENT: &str = "tokenward";

async fn issuer<I: Issuer>(client: &LoopbackClient) -> anyhow::Result<I> {
    let redirecting = DexClient {
        redirect_uris: vec![client.redirect_uri()],
        ..DexClient::new(CLIENT, "secret")
    };
    I::start(DexConfig::default().client(redirecting)).await
}

async fn open_login(browser: &Chromium, issuer: &str, client: &LoopbackClient) -> anyhow::Result<()> {
    let mut url = url::Url::parse(&format!("{issuer}/auth"))?;
    url.query_pairs_mut().extend_pairs([
        ("client_id", CLIENT),
        ("redirect_uri", &client.redirect_uri()),
        ("response_type", "code"),
        ("scope", "openid offline_access"),
        ("state", "the state"),
    ]);
    browser.open(url.as_str()).await
}

fn assert_code(arrival: &[(String, String)]) {
    let names: Vec<&str> = arrival.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "state"]);
    assert_eq!(arrival[1].1, "the state");
}

#[tokio::test]
async fn a_person_logs_in_at_the_demos_issuer_with_one_click_on_any_screen() -> anyhow::Result<()> {
    let looks = [
        ("desk", Manner::DESK),
        ("phone", Manner::PHONE),
        (
            "dark",
            Manner {
                dark: true,
                ..Manner::PHONE
            },
        ),
    ];
    for (name, manner) in looks {
        let Some(browser) = super::browser("the demo's issuer", manner).await? else {
            return Ok(());
        };
        let client = LoopbackClient::start().await?;
        let issuer: FakeDex = issuer(&client).await?;
        open_login(&browser, issuer.issuer(), &client).await?;
        browser.element(ONE_CLICK).await?;
        browser.picture(&format!("demo-issuer-{name}")).await?;
        assert_eq!(browser.overflow().await?, 0);
        browser.click(ONE_CLICK).await?;
        assert_code(&client.arrival().await?);
        assert_eq!(browser.complaints().await?, [] as [String; 0]);
    }
    Ok(())
}

#[tokio::test]
async fn a_person_logs_in_at_a_real_dex_with_email_and_password() -> anyhow::Result<()> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: Dex's form: {}", tools::DEX_IS_MISSING);
        return Ok(());
    }
    let Some(browser) = super::browser("Dex's form", Manner::DESK).await? else {
        return Ok(());
    };
    let client = LoopbackClient::start().await?;
    let issuer: RealDex = issuer(&client).await?;
    open_login(&browser, issuer.issuer(), &client).await?;
    browser.fill_in("#login", "admin@example.com").await?;
    browser.fill_in("#password", "password").await?;
    browser.picture("real-dex").await?;
    browser.click("#submit-login").await?;
    assert_code(&client.arrival().await?);
    assert_eq!(browser.title().await?, "Done");
    Ok(())
}
