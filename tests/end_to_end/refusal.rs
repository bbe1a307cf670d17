use std::time::Duration;

use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Store, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_grant_is_answered_with_the_whole_challenge_and_no_server_is_reached() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    for server in [LOCAL, "remote-1"] {
        let answer = world.call(server).login(&alice).send().await?;
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.header("www-authenticate"),
            Some(
                "Bearer error=\"invalid_token\", \
                 error_description=\"the login has ended at the issuer; log in again\", \
                 resource_metadata=\"https://gateway.example.com/.well-known/oauth-protected-resource\""
            )
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.json();
        assert_eq!(body["error"], "invalid_token");
        assert_eq!(body["refusal"], "needs_login");
        assert_eq!(body["server"], server);
    }
    assert_eq!(world.upstream_requests(), 0);
    assert_eq!(
        world.home.counts().refreshes_presented,
        1,
        "a dead grant is asked for once, by whichever server"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_signs_nobody_out() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    world
        .home
        .fail_always(Endpoint::Refresh, Failure::internal_error());
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (503, Some("issuer_unavailable"))
    );
    let retry_after: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert_eq!(world.upstream_requests(), 0);
    world.home.heal(Endpoint::Refresh);
    let healed = poll_until_ok(&world, &alice).await?;
    assert!(healed <= Duration::from_secs(60), "{healed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_is_gone_is_503_and_back_without_anybodys_help() -> anyhow::Result<()> {
    let mut world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    world.control.kill()?;
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (503, Some("control_unreachable"))
    );
    assert!(answer.header("retry-after").is_some());
    assert_eq!(world.upstream_requests(), 0);
    world.control.restart().await?;
    let healed = poll_until_ok(&world, &alice).await?;
    assert!(healed <= Duration::from_secs(60), "{healed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_hangs_is_503_within_the_filters_own_deadline() -> anyhow::Result<()> {
    let mut world = World::builder()
        .filter_setting("control", serde_json::json!({
            "cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"}, "timeout": "1s",
        }))
        .start()
        .await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    world.control.process()?.pause()?;
    let begun = std::time::Instant::now();
    let answers = world.call(LOCAL).login(&alice).send_many(20).await?;
    let waited = begun.elapsed();
    world.control.process()?.resume()?;
    for answer in &answers {
        assert_eq!(
            (answer.status, answer.refusal().as_deref()),
            (503, Some("control_late"))
        );
    }
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    assert_eq!(world.upstream_requests(), 0);
    Ok(())
}

/// #578, #579 of mcp-oauth: two minutes without Valkey were 401, and clients threw their logins away.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_503_and_signs_nobody_out() -> anyhow::Result<()> {
    let mut world = World::builder().store(Store::Valkey).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let valkey = world.valkey.as_mut().expect("a Valkey");
    valkey.pause()?;
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (503, Some("store_unavailable"))
    );
    world.valkey.as_mut().expect("a Valkey").resume()?;
    let healed = poll_until_ok(&world, &alice).await?;
    assert!(healed <= Duration::from_secs(60), "{healed:?}");
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}

/// Calls as a client that honours `Retry-After` does, until it is served; how long that took.
async fn poll_until_ok(world: &World, login: &tokenward_harness::world::Login) -> anyhow::Result<Duration> {
    let begun = std::time::Instant::now();
    loop {
        let answer = world.call(LOCAL).login(login).send().await?;
        if answer.status == 200 {
            return Ok(begun.elapsed());
        }
        anyhow::ensure!(answer.status == 503, "{} {}", answer.status, answer.body);
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(90), "still {}", answer.body);
        let retry_after: u64 = answer.header("retry-after").unwrap_or("1").parse()?;
        tokio::time::sleep(Duration::from_secs(retry_after.min(2))).await;
    }
}
