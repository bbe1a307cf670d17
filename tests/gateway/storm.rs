use std::time::{Duration, Instant};

use tokenward_tests::world::{ALICE, CLIENT, LOCAL, World};

/// Four workers, 32 connections at a time, for eight seconds: what hundreds of listeners do after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_on_four_workers_is_one_warning_a_pair_and_reaches_nobody() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(8) {
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
    assert!(refused >= 200, "only {refused} requests in eight seconds");
    assert_eq!((world.upstream_requests(), tally.rejected_expired), (0, 0));
    assert_eq!(tally.refreshes, 1);
    assert_eq!(tally.warnings, 2, "one per pair: {:#?}", world.envoy.wasm_lines());
    let stats = world.envoy.stats().await?;
    // Per pair: at first up to one call per worker (the gate is still open), then one probe after about 5 s.
    let calls = stats.count("tokenward_control_calls_total", &[]);
    assert!(
        calls <= 2 * (4 + 2),
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
