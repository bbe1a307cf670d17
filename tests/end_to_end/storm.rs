use std::time::{Duration, Instant};

use tokenward_harness::issuer::Endpoint;
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

/// Four workers, 32 connections at a time, for eight seconds: what hundreds of listeners do after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_on_four_workers_is_one_warning_a_pair_and_reaches_nobody() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(8) || refused < 200 {
        for server in [LOCAL, "remote-1"] {
            let answers = world.call(server).login(&alice).send_many(32).await?;
            assert!(
                answers.iter().all(|answer| answer.status == 401),
                "{:?}",
                answers[0]
            );
            refused += answers.len();
        }
    }
    let tally = world.tally();
    assert_eq!((world.upstream_requests(), tally.rejected_expired), (0, 0));
    assert_eq!(tally.refreshes, 1);
    world.ensure_one_warning_per_pair_and_minute(2).await?;
    let stats = world.envoy.stats().await?;
    // Per pair: at first up to one call per worker (the gate is still open), then one probe after about 5, 10, 20 s …
    let calls = stats.count("tokenward_control_calls_total", &[]);
    let probes = begun.elapsed().as_secs().div_ceil(4);
    assert!(
        calls <= 2 * (4 + probes),
        "{calls} calls to control for {refused} requests"
    );

    let alice = world.log_in_again(&alice).await?;
    for server in [LOCAL, "remote-1"] {
        let answers = world.call(server).login(&alice).send_many(32).await?;
        assert!(
            answers.iter().all(|answer| answer.status == 200),
            "{:?}",
            answers[0]
        );
    }
    world.tally_when(|tally| tally.recoveries >= 2).await?;
    let infos: Vec<_> = world
        .envoy
        .wasm_lines()
        .into_iter()
        .filter(|line| line.level == "info")
        .collect();
    assert_eq!(infos.len(), 2, "one recovery per pair: {infos:#?}");
    assert!(
        infos
            .iter()
            .all(|line| line.message.contains("recovered") && line.message.contains("suppressed="))
    );
    Ok(())
}

/// Two hundred callers, all at once, on four workers: the issuer sees one refresh, control one call per worker at most.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_of_one_stale_pair_on_four_workers_are_one_refresh() -> anyhow::Result<()> {
    let world = World::builder()
        .workers(4)
        .filter_setting(
            "control",
            serde_json::json!({
                "cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"}, "timeout": "34s",
            }),
        )
        .control_setting("caller_deadline", "30s")
        .start()
        .await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    world.home.hold(Endpoint::Refresh);
    let call = world.call(LOCAL).login(&alice);
    let mut paused = Vec::new();
    for _ in 0..200 {
        paused.push(call.send_alone().await?);
    }
    // All of them wait at the same moment: none was answered before another one came.
    world.wait_for_requests_under_way(200).await?;
    world.home.wait_until_held(Endpoint::Refresh, 1).await;
    world.home.release(Endpoint::Refresh);
    for waiting in paused {
        let answer = waiting.whole_answer().await?;
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    let calls = world
        .envoy
        .stats()
        .await?
        .count("tokenward_control_calls_total", &[]);
    println!("200 callers on 4 workers: {calls} calls to control, 1 refresh");
    assert!((1..=4).contains(&calls), "{calls} calls to control");
    assert_eq!(world.home.counts().refreshes_presented, 1);
    assert_eq!(world.server(LOCAL).counts().accepted, 200);
    let tokens: std::collections::BTreeSet<_> = world
        .server(LOCAL)
        .seen()
        .into_iter()
        .map(|token| token.fingerprint)
        .collect();
    assert_eq!(tokens.len(), 1, "everybody got the same new token");
    assert_eq!((world.rejected_expired(), world.tally().warnings), (0, 0));
    Ok(())
}
