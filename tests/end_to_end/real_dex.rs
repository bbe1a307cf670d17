//! The main stories on two real Dex in real time. Left out, with a line that says so, where Dex is not built.

use std::time::{Duration, Instant};

use tokenward_harness::issuer::{Issuer as _, fingerprint};
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World, WorldBuilder};

const REMOTE: &str = "remote-1";
const TOKENS_LIVE: Duration = Duration::from_secs(12);
const MARGIN: Duration = Duration::from_secs(3);

/// A world on two real Dex whose tokens live some seconds; `None` where there is no Dex.
async fn on_real_dex(story: &str) -> anyhow::Result<Option<World<RealDex>>> {
    start(story, World::builder().short_lived(TOKENS_LIVE, MARGIN)).await
}

/// How often a token may have come near its end since `then`, so that control renews it for whoever asks: 0 unless the
/// machine is slow.
fn ends_since(then: Instant) -> usize {
    let soonest = TOKENS_LIVE / 2 - MARGIN;
    usize::try_from(then.elapsed().as_millis() / soonest.as_millis()).unwrap_or(usize::MAX)
}

/// Something was done once, and once more for each time that a token came to its end meanwhile.
fn assert_once(what: &str, times: usize, since: Instant) {
    let most = 1 + ends_since(since);
    assert!(
        (1..=most).contains(&times),
        "{times} {what} instead of 1 to {most}"
    );
}

async fn start(story: &str, world: WorldBuilder) -> anyhow::Result<Option<World<RealDex>>> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: {story}: {}", tools::DEX_IS_MISSING);
        return Ok(None);
    }
    world.workers(4).start_on().await.map(Some)
}

async fn status(world: &World<RealDex>, server: &str, login: &Login) -> anyhow::Result<u16> {
    Ok(world.call(server).login(login).send().await?.status)
}

/// #838: an ID token without `typ`, as Dex makes them, was refused.
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
    for round in 1..=2 {
        world.wait_until_tokens_expired().await;
        let (before, begun) = (world.home.counts(), Instant::now());
        let answers = world.call(LOCAL).login(&alice).send_many(50).await?;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 50], "{:?}", answers[0]);
        let counts = world.home.counts();
        assert_once(
            "refreshes",
            counts.refreshes_succeeded - before.refreshes_succeeded,
            begun,
        );
        assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded);
        assert_eq!(world.server(LOCAL).counts().accepted, 50 * round);
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
    let logged_in = Instant::now();
    let alice = world.log_in(ALICE).await?;
    for idle in [false, true] {
        if idle {
            world.wait_until_tokens_expired().await;
        }
        let (home, remote) = (world.home.counts(), world.remote.counts());
        let since = if idle { Instant::now() } else { logged_in };
        let answers = world.call(REMOTE).login(&alice).send_many(20).await?;
        assert!(
            answers.iter().all(|answer| answer.status == 200),
            "{:?}",
            answers[0]
        );
        let now = world.remote.counts();
        assert_once(
            "exchanges",
            now.exchanges_succeeded - remote.exchanges_succeeded,
            since,
        );
        assert_eq!(now.exchanges_presented, now.exchanges_succeeded);
        let refreshes = world.home.counts().refreshes_presented - home.refreshes_presented;
        match idle {
            true => assert_once("refreshes", refreshes, since),
            false => assert!(refreshes <= ends_since(since), "the login was fresh"),
        }
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
    world.wait_until_tokens_expired().await;
    let begun = Instant::now();
    for login in [&first, &second] {
        assert_eq!(status(&world, LOCAL, login).await?, 200, "{}", login.session);
    }
    // The dead token of the first login was not even presented.
    let presented = world.home.presentations();
    assert_once("refreshes", presented.len(), begun);
    assert_eq!(
        presented[0].fingerprint,
        fingerprint(&second.tokens.refresh_token)
    );
    assert_eq!(world.home.counts().refreshes_succeeded, presented.len());
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
    world.wait_until_tokens_expired().await;
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
    world.ensure_one_warning_per_pair_and_minute(2).await?;

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
    world.wait_until_tokens_expired().await;
    world.home.set_down(true);
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(answer.status, 503, "{}", answer.body);
    let retry_after_seconds: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=60).contains(&retry_after_seconds));
    assert_eq!(world.session(&alice).await?["state"], "active");
    assert_eq!(world.home.counts().refreshes_presented, 0, "nothing arrived");

    world.home.set_down(false);
    let begun = Instant::now();
    let back = tokio::time::timeout(Duration::from_secs(90), async {
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
    assert_once("refreshes", counts.refreshes_succeeded, begun);
    assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}
