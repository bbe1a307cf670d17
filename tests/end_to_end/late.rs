//! What Envoy's router sends long after the filter has judged it.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::parts::{Envoy, Script, ScriptedServer};
use tokenward_harness::world::{ALICE, LOCAL, World};

const LIFE: Duration = Duration::from_secs(7);
const MARGIN: Duration = Duration::from_secs(3);

/// A request whose every try times out after 3 s and is made again, up to four times: tries at 0, 3, 6 and 9 s of a token
/// that lives between 6 and 7 s. Its answer, and the tries that arrived.
async fn tried_again(checks_each_try: Option<&str>) -> anyhow::Result<(u16, Option<String>, usize, World)> {
    let mut world = World::builder()
        .workers(1)
        .short_lived(LIFE, MARGIN)
        .start()
        .await?;
    let server = ScriptedServer::start(Script::answer(200, &[], b"late").late(LIFE)).await?;
    let mut config = world.envoy.config().clone();
    for route in &mut config.routes {
        *route = route.clone().stripped_to(server.address());
    }
    config.retries = Some(json!({
        "retry_on": "5xx,reset", "num_retries": 3, "per_try_timeout": "3s",
        "retry_back_off": {"base_interval": "0.025s"},
    }));
    config.checks_each_try = checks_each_try.map(str::to_owned);
    world.envoy = Envoy::start(&config).await?;
    let alice = world.log_in(ALICE).await?;
    let answer = world.call(LOCAL).login(&alice).send().await?;
    Ok((answer.status, answer.refusal(), server.requests(), world))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_begins_after_its_tokens_end_is_not_made_where_each_try_is_checked() -> anyhow::Result<()>
{
    let (status, refusal, tries, world) = tried_again(Some("1s")).await?;
    assert_eq!((status, refusal.as_deref(), tries), (503, Some("sent_late"), 2));
    let stats = world.envoy.stats().await?;
    let late = [("outcome", "sent_late")];
    assert_eq!(stats.count("tokenward_requests_total", &late), 1);
    Ok(())
}

/// The rule of docs/SECURITY.md is about this: without the check only a shorter time between the tries helps.
#[tokio::test(flavor = "multi_thread")]
async fn without_that_check_the_last_try_arrives_with_an_expired_token() -> anyhow::Result<()> {
    let (status, _, tries, _) = tried_again(None).await?;
    assert_eq!((status, tries), (504, 4));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_each_try_is_checked_good_requests_are_served_and_stale_ones_refreshed() -> anyhow::Result<()> {
    let mut world = World::builder().workers(1).start().await?;
    let mut config = world.envoy.config().clone();
    config.checks_each_try = Some("5s".to_owned());
    world.envoy = Envoy::start(&config).await?;
    let fresh = world.log_in("bob@example.com").await?;
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    for login in [&fresh, &stale] {
        for server in [LOCAL, "remote-1"] {
            let answer = world.call(server).login(login).send().await?;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }
    assert_eq!((world.upstream_requests(), world.rejected_expired()), (4, 0));
    Ok(())
}
