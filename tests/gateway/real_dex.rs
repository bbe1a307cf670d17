//! The main stories on two real Dex in real time. Left out, with a line that says so, where Dex is not built.

use std::time::Duration;

use tokenward_tests::issuer::{Issuer as _, fingerprint};
use tokenward_tests::parts::{RealDex, tools};
use tokenward_tests::world::{ALICE, CLIENT, LOCAL, Login, World, WorldBuilder};

const REMOTE: &str = "remote-1";
const TOKENS_LIVE: Duration = Duration::from_secs(6);

/// A world on two real Dex whose tokens live six seconds, with a margin of one; `None` where there is no Dex.
async fn on_real_dex(story: &str) -> anyhow::Result<Option<World<RealDex>>> {
    start(story, World::builder().tokens_live(TOKENS_LIVE, TOKENS_LIVE)).await
}

async fn start(story: &str, world: WorldBuilder) -> anyhow::Result<Option<World<RealDex>>> {
    if tools::dex()?.is_none() {
        println!("left out: {story}: {}", tools::DEX_IS_MISSING);
        return Ok(None);
    }
    let world = world
        .workers(4)
        .filter_setting("margin", "1s")
        .filter_setting("refresh_ahead", "1s")
        .control_setting("margin", "1s");
    world.start_on().await.map(Some)
}

async fn status(world: &World<RealDex>, server: &str, login: &Login) -> anyhow::Result<u16> {
    Ok(world.call(server).login(login).send().await?.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_of_a_real_dex_passes_as_it_is_and_nobody_is_asked() -> anyhow::Result<()> {
    let world = World::builder(); // Dex's tokens of half an hour
    let Some(world) = start("a fresh token", world).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    for _ in 0..20 {
        assert_eq!(status(&world, LOCAL, &alice).await?, 200);
    }
    let presented = fingerprint(&alice.tokens.id_token);
    let seen = world.server(LOCAL).seen();
    assert_eq!(seen.len(), 20);
    assert!(
        seen.iter().all(|token| token.fingerprint == presented),
        "byte for byte"
    );
    let counts = world.home.counts();
    assert_eq!((counts.logins, counts.refreshes_presented), (1, 0));
    assert_eq!(world.remote.counts().exchanges_presented, 0);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_callers_idle_past_expiry_are_one_refresh_at_a_real_dex() -> anyhow::Result<()> {
    let Some(world) = on_real_dex("idle past expiry").await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    for refreshes in 1..=2 {
        world.wait_until_tokens_expired(&alice).await?;
        let answers = world.call(LOCAL).login(&alice).send_many(50).await?;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 50], "{:?}", answers[0]);
        let counts = world.home.counts();
        assert_eq!(
            (counts.refreshes_presented, counts.refreshes_succeeded),
            (refreshes, refreshes)
        );
        assert_eq!(world.server(LOCAL).counts().accepted, 50 * refreshes);
    }
    let presented = world.home.presentations();
    assert_eq!(presented[0].fingerprint, fingerprint(&alice.tokens.refresh_token));
    assert_ne!(presented[0].fingerprint, presented[1].fingerprint, "rotated");
    assert!(presented.iter().all(|each| each.user.as_deref() == Some(ALICE)));
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_between_two_real_dex_is_done_once_and_renewed_once() -> anyhow::Result<()> {
    let Some(world) = on_real_dex("exchange and renewal").await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    for exchanges in 1..=2 {
        if exchanges > 1 {
            world.wait_until_tokens_expired(&alice).await?;
        }
        let answers = world.call(REMOTE).login(&alice).send_many(20).await?;
        assert!(
            answers.iter().all(|answer| answer.status == 200),
            "{:?}",
            answers[0]
        );
        let counts = world.remote.counts();
        assert_eq!(
            (counts.exchanges_presented, counts.exchanges_succeeded),
            (exchanges, exchanges)
        );
        assert_eq!(world.home.counts().refreshes_presented, exchanges - 1);
    }
    let presented = fingerprint(&alice.tokens.id_token);
    let seen = world.server(REMOTE).seen();
    assert!(seen.iter().all(|token| token.fingerprint != presented));
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_live_on_the_second_login_that_killed_the_first_grant_at_a_real_dex() -> anyhow::Result<()> {
    let Some(world) = on_real_dex("second login").await? else {
        return Ok(());
    };
    let first = world.log_in(ALICE).await?;
    let second = world.log_in(ALICE).await?;
    assert_ne!(first.session, second.session);
    world.wait_until_tokens_expired(&second).await?;
    for login in [&first, &second] {
        assert_eq!(status(&world, LOCAL, login).await?, 200, "{}", login.session);
    }
    // The dead token of the first login was not even presented.
    let presented = world.home.presentations();
    assert_eq!(presented.len(), 1);
    assert_eq!(
        presented[0].fingerprint,
        fingerprint(&second.tokens.refresh_token)
    );
    assert_eq!(world.home.counts().refreshes_succeeded, 1);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_a_real_dex_has_ended_is_401_after_one_refresh_and_no_more() -> anyhow::Result<()> {
    let Some(world) = on_real_dex("ended login").await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    world.home.end_login(ALICE, CLIENT.0).await?;
    world.wait_until_tokens_expired(&alice).await?;
    for _ in 0..5 {
        for server in [LOCAL, REMOTE] {
            let answers = world.call(server).login(&alice).send_many(4).await?;
            for answer in answers {
                assert_eq!(
                    (answer.status, answer.refusal().as_deref()),
                    (401, Some("needs_login"))
                );
            }
        }
    }
    let counts = world.home.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 0));
    assert_eq!(world.remote.counts().exchanges_presented, 0);
    assert_eq!(world.upstream_requests(), 0);
    assert_eq!(world.tally().warnings, 2, "one per pair");

    let alice = world.log_in_again(&alice).await?;
    assert_eq!(status(&world, LOCAL, &alice).await?, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_real_dex_is_down_callers_get_503_and_their_logins_survive() -> anyhow::Result<()> {
    let Some(world) = on_real_dex("issuer down").await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    world.wait_until_tokens_expired(&alice).await?;
    world.home.set_down(true);
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(answer.status, 503, "{}", answer.body);
    let retry_after_seconds: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=60).contains(&retry_after_seconds));
    assert_eq!(world.session(&alice).await?["state"], "active");
    assert_eq!(world.home.counts().refreshes_presented, 0, "nothing arrived");

    world.home.set_down(false);
    let back = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let answer = world.call(LOCAL).login(&alice).send().await?;
            match answer.status {
                200 => return anyhow::Ok(()),
                status => assert_eq!(status, 503, "{}", answer.body),
            }
            // The gateway itself says when to come again; it is asked again sooner, which costs the issuer nothing.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    back.await??;
    let counts = world.home.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}
