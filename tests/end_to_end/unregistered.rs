//! An aggregator that registers nothing, on a real Envoy.

use std::time::{Duration, Instant};

use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

/// A fresh token needs no registration anywhere: forwarded as it is, or exchanged once for all workers.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_of_an_unregistered_user_works_at_both_kinds_of_servers() -> anyhow::Result<()> {
    let mut world = World::builder().workers(4).start().await?;
    let alice = world.log_in_unregistered(ALICE).await?;
    let fresh = &alice.tokens.id_token;
    for server in [LOCAL, "remote-1"] {
        for answer in world.call(server).bearer(fresh).send_many(30).await? {
            assert_eq!(answer.status, 200, "{server}: {}", answer.body);
        }
        assert_eq!(world.server(server).counts().accepted, 30);
    }
    assert_eq!((world.tally().exchanges, world.tally().warnings), (1, 0));
    // The aggregator restarts and presents another fresh token, control restarts too: the stored token serves both.
    world.control.kill()?;
    world.control.restart().await?;
    let next = world.home.mint(ALICE, CLIENT.0).token();
    assert_eq!(world.call("remote-1").bearer(&next).send().await?.status, 200);
    let tally = world.tally();
    assert_eq!(
        (tally.exchanges, tally.refreshes, tally.rejected_expired),
        (1, 0, 0)
    );
    Ok(())
}

/// A listener keeps the header that it was opened with and retries for as long as it lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_keeps_an_old_header_gets_401_quietly_and_reaches_no_server() -> anyhow::Result<()> {
    let world = World::builder().workers(2).start().await?;
    let alice = world.log_in_unregistered(ALICE).await?;
    assert_eq!(
        world
            .call("remote-1")
            .bearer(&alice.tokens.id_token)
            .send()
            .await?
            .status,
        200
    );
    let served = world.upstream_requests();
    let old = world.home.mint(ALICE, CLIENT.0).expires_in_seconds(-60).token();
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(8) || refused < 100 {
        for server in [LOCAL, "remote-1"] {
            let answer = world.call(server).bearer(&old).listen().send().await?;
            let refusal = answer.refusal().unwrap_or_default();
            assert_eq!(
                (answer.status, refusal.as_str()),
                (401, "token_expired"),
                "{server}"
            );
            assert!(answer.body.contains("present a fresh token"), "{}", answer.body);
            assert!(answer.header("www-authenticate").is_some());
            assert_eq!(answer.header("retry-after"), None);
            refused += 1;
        }
    }
    assert_eq!(world.upstream_requests(), served);
    let tally = world.tally();
    assert_eq!(
        (tally.exchanges, tally.refreshes, tally.rejected_expired),
        (1, 0, 0)
    );
    world.ensure_one_warning_per_pair_and_minute(2).await?;
    // Per pair one call at first per worker, then probes after about 5, 10, 20 s …: about 6 in the first minute, 2 in each
    // later one.
    let stats = world.envoy.stats().await?;
    let calls = stats.count("tokenward_control_calls_total", &[]);
    let probes = begun.elapsed().as_secs().div_ceil(4);
    assert!(
        calls <= 1 + 2 * (2 + probes),
        "{calls} calls to control for {refused} requests"
    );
    let warnings = world
        .control
        .log()
        .count(|line| line.contains("WARN") && line.contains("no token"));
    let minutes = 1 + usize::try_from(begun.elapsed().as_secs() / 60)?;
    assert!(
        (1..=2 * minutes).contains(&warnings),
        "{warnings} lines of control"
    );
    println!("{refused} requests of two listeners: {calls} calls to control, {warnings} WARN lines there");
    // Its next header works at once.
    let fresh = world.home.mint(ALICE, CLIENT.0).token();
    for server in [LOCAL, "remote-1"] {
        assert_eq!(
            world.call(server).bearer(&fresh).send().await?.status,
            200,
            "{server}"
        );
    }
    Ok(())
}

/// The worker got the exchanged token while its header was fresh, and that token lives on: a stale header opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_uses_the_exchanged_token_of_a_header_only_while_the_header_is_fresh() -> anyhow::Result<()>
{
    let world = World::builder().workers(1).start().await?;
    // Fresh for ten seconds by the margin of a minute.
    let header = world.home.mint(ALICE, CLIENT.0).expires_in_seconds(70).token();
    let begun = Instant::now();
    let mut served = 0;
    let refused = loop {
        let answer = world.call("remote-1").bearer(&header).send().await?;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(40), "served {served} times");
    };
    assert!(served > 0);
    assert_eq!(
        (refused.status, refused.refusal().as_deref()),
        (401, Some("token_expired"))
    );
    assert_eq!((world.tally().exchanges, world.rejected_expired()), (1, 0));
    assert_eq!(world.server("remote-1").counts().accepted, served);
    Ok(())
}
