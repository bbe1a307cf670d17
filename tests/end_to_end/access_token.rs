//! A server that gets the login's access token, which nothing between the issuer and the server can read.

use std::time::Duration;

use tokenward_harness::world::{ALICE, LOCAL, World};

/// Every token that the server saw was an access token.
fn assert_only_access_tokens(world: &World) {
    let seen = world.server(LOCAL).seen();
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|token| token.is_opaque), "{seen:?}");
    let counts = world.server(LOCAL).counts();
    assert_eq!(
        (
            counts.rejected_other,
            world.rejected_expired(),
            world.own_tokens()
        ),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_after_an_idle_hour_cause_one_refresh_and_the_server_sees_no_id_token()
-> anyhow::Result<()> {
    let world = World::builder().access_tokens().workers(4).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let answers = world.call(LOCAL).login(&alice).send_many(50).await?;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200; 50]);
    assert_eq!(world.home.counts().refreshes_presented, 1);
    assert_eq!(world.server(LOCAL).counts().accepted, 50);
    // The login has an access token now: a fresh ID token gets it too, without a further call to the issuer.
    let bob = world.log_in("bob@example.com").await?;
    for _ in 0..3 {
        assert_eq!(world.call(LOCAL).login(&bob).send().await?.status, 200);
    }
    assert_eq!(world.home.counts().refreshes_presented, 2);
    assert_only_access_tokens(&world);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_carries_an_access_token_past_its_life_while_requests_keep_coming() -> anyhow::Result<()> {
    let (life, margin) = (Duration::from_secs(6), Duration::from_secs(2));
    let world = World::builder()
        .access_tokens()
        .short_lived(life, margin)
        .start()
        .await?;
    let alice = world.log_in(ALICE).await?;
    let until = tokio::time::Instant::now() + life * 3;
    let mut sent = 0;
    while tokio::time::Instant::now() < until {
        let answer = world.call(LOCAL).login(&alice).send().await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        sent += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.server(LOCAL).counts().accepted, sent);
    assert!(world.home.counts().refreshes_presented >= 3);
    assert_only_access_tokens(&world);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_login_is_refused_and_the_server_sees_nothing() -> anyhow::Result<()> {
    let world = World::builder().access_tokens().start().await?;
    let alice = world.log_in_unregistered(ALICE).await?;
    let answer = world.call(LOCAL).bearer(&alice.tokens.id_token).send().await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (503, Some("not_registered"))
    );
    assert_eq!(world.upstream_requests(), 0);
    Ok(())
}
