//! A client without an aggregator: it logs in at control's own authorization server, calls, idles, refreshes and is sent
//! back to the login when that is over.

use std::time::Duration;

use tokenward_harness::browser::Browser;
use tokenward_harness::issuer::Issuer;
use tokenward_harness::mcp_login::{McpLogin, McpTokens, tokens};
use tokenward_harness::world::{ALICE, Answer, LOCAL, World, WorldBuilder};

const TOKENS_LIVE: Duration = Duration::from_secs(12);
const MARGIN: Duration = Duration::from_secs(4);

/// The world of both stories.
pub fn of_logins_here() -> WorldBuilder {
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

/// A client calls, idles and refreshes.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn calls_idles_and_refreshes<I: Issuer>(world: &World<I>) -> anyhow::Result<()> {
    let (client, first) = log_in(world, LOCAL).await?;
    let call = |token: &str| world.call(LOCAL).bearer(token);
    assert_eq!(call(&first.access_token).send().await?.status, 200);
    for server in world.server_names().iter().filter(|server| *server != LOCAL) {
        // Another server is another resource, with a login of its own.
        let elsewhere = world.call(server).bearer(&first.access_token).send().await?;
        assert_eq!(outcome(&elsewhere), (401, Some("wrong_audience".to_owned())));
        let (_, own) = log_in(world, server).await?;
        let served = world.call(server).bearer(&own.access_token).send().await?;
        assert_eq!(served.status, 200, "{server}");
    }

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

/// A login that the issuer ends sends the client back to the login.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn is_sent_back_to_the_login<I: Issuer>(world: &World<I>) -> anyhow::Result<()> {
    let (client, first) = log_in(world, LOCAL).await?;
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
