//! A server that answers 401 to a token that has not expired.

use std::time::{Duration, Instant};

use http::StatusCode;
use tokenward_harness::issuer::fingerprint;
use tokenward_harness::world::{ALICE, LOCAL, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_that_a_server_rejects_burns_no_session_and_is_made_anew_once() -> anyhow::Result<()> {
    let world = World::builder()
        .workers(1)
        .control_setting("rejected_interval", "1ms")
        .start()
        .await?;
    let alice = world.log_in(ALICE).await?;
    world.server(LOCAL).set_trust_revoked(true);
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(answer.status, 503, "never the server's 401: {}", answer.body);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("www-authenticate"), None);
    world
        .home
        .wait_for_counts(|counts| counts.refreshes_succeeded == 1, Duration::from_secs(60))
        .await?;
    world.server(LOCAL).set_trust_revoked(false);
    let begun = Instant::now();
    while world.call(LOCAL).login(&alice).send().await?.status != 200 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(90), "still refused");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last = world.server(LOCAL).seen().pop().expect("a token");
    assert_ne!(
        last.fingerprint,
        fingerprint(&alice.tokens.id_token),
        "the newly made one"
    );
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_rejects_every_token_is_spared_the_storm() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let alice = world.log_in(ALICE).await?;
    world.server(LOCAL).set_trust_revoked(true);
    let begun = Instant::now();
    for _ in 0..10 {
        for answer in world.call(LOCAL).login(&alice).send_many(20).await? {
            assert_eq!(answer.status, 503, "{}", answer.body);
        }
    }
    // At first each worker forwards what is under way at once; after the first rejections all is refused from memory.
    let requests = world.server(LOCAL).counts().requests;
    assert!(requests <= 60, "{requests} of 200 reached the server");
    // At most one in each `rejected_interval`, and one WARN a minute.
    let half_minutes = usize::try_from(begun.elapsed().as_secs() / 30)?;
    let refreshes = world.home.counts().refreshes_presented;
    assert!(refreshes <= 2 + half_minutes, "{:?}", world.home.counts());
    let warnings = world.tally().warnings;
    assert!(
        warnings <= 1 + half_minutes / 2,
        "{:#?}",
        world.envoy.wasm_lines()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_403_is_passed_on_as_the_server_said_it() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    world.server(LOCAL).answer_next(3, StatusCode::FORBIDDEN);
    for _ in 0..3 {
        assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 403);
    }
    assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    assert_eq!(world.home.counts().refreshes_presented, 0);
    let stats = world.envoy.stats().await?;
    assert_eq!(stats.count("tokenward_control_calls_total", &[]), 0);
    Ok(())
}
