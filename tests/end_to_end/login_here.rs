//! A client without an aggregator: it logs in at control's own authorization server, calls, idles, refreshes and is sent
//! back to the login when that is over. On fake issuers and on real Dex.

use std::time::Duration;

use tokenward_harness::browser::Browser;
use tokenward_harness::issuer::Issuer;
use tokenward_harness::mcp_login::{McpLogin, McpTokens, tokens};
use tokenward_harness::world::{ALICE, Answer, LOCAL, World, WorldBuilder};

use crate::real_dex_stories;

const REMOTE: &str = "remote-1";
const TOKENS_LIVE: Duration = Duration::from_secs(12);
const MARGIN: Duration = Duration::from_secs(4);

fn world() -> WorldBuilder {
    World::builder().authorization().short_lived(TOKENS_LIVE, MARGIN)
}

async fn log_in<I: Issuer>(world: &World<I>, server: &str) -> anyhow::Result<(McpLogin, McpTokens)> {
    let client = McpLogin::register(&world.resource(server), "a program").await?;
    let tokens = client.log_in(&Browser::new()?, ALICE).await?;
    Ok((client, tokens))
}

fn outcome(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.refusal())
}

async fn a_client_calls_idles_and_refreshes<I: Issuer>(world: World<I>) -> anyhow::Result<()> {
    let (client, first) = log_in(&world, LOCAL).await?;
    let call = |token: &str| world.call(LOCAL).bearer(token);
    assert_eq!(call(&first.access_token).send().await?.status, 200);
    // Another server is another resource, with a login of its own.
    let elsewhere = world.call(REMOTE).bearer(&first.access_token).send().await?;
    assert_eq!(outcome(&elsewhere), (401, Some("wrong_audience".to_owned())));
    let (_, of_remote) = log_in(&world, REMOTE).await?;
    assert_eq!(
        world
            .call(REMOTE)
            .bearer(&of_remote.access_token)
            .send()
            .await?
            .status,
        200
    );

    world.wait_until_tokens_expired().await;
    let before = world.home.counts().refreshes_presented;
    for answer in call(&first.access_token).send_many(20).await? {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(world.home.counts().refreshes_presented, before + 1);
    // The client's own refresh is none at the issuer.
    let second = tokens(&client.refresh(&first.refresh_token).await?)?;
    assert_ne!(second.access_token, first.access_token);
    assert_eq!(world.home.counts().refreshes_presented, before + 1);
    assert_eq!(call(&second.access_token).send().await?.status, 200);
    let tally = world.tally();
    assert_eq!(
        (tally.own_tokens, tally.rejected_expired, tally.rejected_other),
        (0, 0, 0)
    );
    Ok(())
}

async fn a_dead_login_sends_the_client_back_to_the_login<I: Issuer>(world: World<I>) -> anyhow::Result<()> {
    let (client, first) = log_in(&world, LOCAL).await?;
    assert_eq!(
        world.call(LOCAL).bearer(&first.access_token).send().await?.status,
        200
    );
    world.home.end_login(ALICE, "muster").await?;
    world.wait_until_tokens_expired().await;
    let answer = world.call(LOCAL).bearer(&first.access_token).send().await?;
    assert_eq!(outcome(&answer), (401, Some("needs_login".to_owned())));
    assert!(
        answer
            .header("www-authenticate")
            .unwrap_or_default()
            .contains("resource_metadata=")
    );
    let refused = client.refresh(&first.refresh_token).await?;
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &"invalid_grant".into())
    );
    let again = client.log_in(&Browser::new()?, ALICE).await?;
    assert_eq!(
        world.call(LOCAL).bearer(&again.access_token).send().await?.status,
        200
    );
    assert_eq!((world.own_tokens(), world.rejected_expired()), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_fake_issuers_user_calls_idles_and_refreshes() -> anyhow::Result<()> {
    a_client_calls_idles_and_refreshes(world().workers(4).start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_a_fake_issuer_ends_sends_the_client_back_to_the_login() -> anyhow::Result<()> {
    a_dead_login_sends_the_client_back_to_the_login(world().start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_real_dex_user_calls_idles_and_refreshes() -> anyhow::Result<()> {
    match real_dex_stories::start("a client that logs in here", world()).await? {
        Some(world) => a_client_calls_idles_and_refreshes(world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_a_real_dex_ends_sends_the_client_back_to_the_login() -> anyhow::Result<()> {
    match real_dex_stories::start("a login here that ends", world()).await? {
        Some(world) => a_dead_login_sends_the_client_back_to_the_login(world).await,
        None => Ok(()),
    }
}
