//! The demo that stays up: its one URL is enough for clients that know nothing else.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tokenward_harness::parts::{LoginClient, LoginClientKind, tools};
use tokenward_harness::world::LOCAL;

use super::chromium::{Chromium, Manner};
use super::stage::{ALLOW, ONE_CLICK};

/// For one line of a client on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The steps of a person who tries the client: what tools there are, and a call.
fn steps() -> [Value; 2] {
    [
        json!({"do": "tools"}),
        json!({"do": "call", "name": "echo", "arguments": {"text": "hello"}}),
    ]
}

/// Reads what the client prints until its end, and goes to the pages that it wants opened.
async fn accompany(client: &mut LoginClient, browser: &Chromium) -> anyhow::Result<Vec<Value>> {
    let mut done = Vec::new();
    loop {
        let line = client.next(PATIENCE).await?;
        if line["event"] == "login_wanted" {
            browser.open(line["url"].as_str().unwrap_or_default()).await?;
            browser.click(ALLOW).await?;
            browser.click(ONE_CLICK).await?;
        }
        if line["step"] == "end" {
            return Ok(done);
        }
        if line["step"].is_string() {
            ensure!(line["ok"] == true, "{line}\n{}", client.printed());
            done.push(line);
        }
    }
}

#[tokio::test]
async fn the_demos_url_is_enough_for_the_inspector_and_two_sdks() -> anyhow::Result<()> {
    if tools::login_programs().is_none() {
        tokenward_harness::aloud!(
            "left out: clients at the demo: {}",
            tools::LOGIN_CLIENTS_ARE_MISSING
        );
        return Ok(());
    }
    let world = tokenward_demo::stage().start().await?;
    for kind in [
        LoginClientKind::Inspector,
        LoginClientKind::TypeScript1,
        LoginClientKind::Python,
    ] {
        let Some(browser) = super::browser("clients at the demo", Manner::DESK).await? else {
            return Ok(());
        };
        let before = world.home.counts().logins;
        let mut client = LoginClient::start(kind, &world.resource(LOCAL), None, &steps())?;
        let done = accompany(&mut client, &browser).await?;
        let steps: Vec<&str> = done.iter().filter_map(|line| line["step"].as_str()).collect();
        assert_eq!(steps, ["connect", "tools", "call"], "{kind:?}");
        assert_eq!(done[1]["count"], 1, "{kind:?}");
        assert_eq!(done[2]["text"], "hello", "{kind:?}");
        assert_eq!(world.home.counts().logins - before, 1, "{kind:?}");
    }
    assert_eq!((world.own_tokens(), world.rejected_expired()), (0, 0));
    Ok(())
}
