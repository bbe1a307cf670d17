use tokenward_harness::issuer::fingerprint;
use tokenward_harness::world::{ALICE, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_server_gets_a_token_of_its_own_issuer_and_never_the_presented_one() -> anyhow::Result<()>
{
    let world = World::builder().workers(4).remotes(3).start().await?;
    let alice = world.log_in(ALICE).await?;
    for server in ["remote-1", "remote-2", "remote-3"] {
        let answers = world.call(server).login(&alice).send_many(30).await?;
        assert!(
            answers.iter().all(|answer| answer.status == 200),
            "{:?}",
            answers[0]
        );
        let presented = fingerprint(&alice.tokens.id_token);
        assert!(
            world
                .server(server)
                .seen()
                .iter()
                .all(|token| token.fingerprint != presented)
        );
        assert_eq!(world.server(server).counts().accepted, 30);
    }
    // The three servers' exchanges differ in nothing that decides the token, so one serves them all.
    assert_eq!(world.remote.counts().exchanges_presented, 1);
    assert_eq!(
        world.home.counts().refreshes_presented,
        0,
        "the subject was fresh"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_subject_is_refreshed_first_and_then_exchanged_once() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let answers = world.call("remote-1").login(&alice).send_many(100).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers[0]
    );
    assert_eq!(world.home.counts().refreshes_presented, 1);
    assert_eq!(world.remote.counts().exchanges_presented, 1);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_control_and_envoys_forgetting_cost_no_new_exchange() -> anyhow::Result<()> {
    let mut world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    assert_eq!(world.call("remote-1").login(&alice).send().await?.status, 200);
    world.control.kill()?;
    world.control.restart().await?;
    // Another presented token of the same login: the filter's own cache does not know it.
    world.home.clock().advance(std::time::Duration::from_secs(1));
    let bob = world.session(&alice).await?;
    assert_eq!(bob["state"], "active");
    for _ in 0..4 {
        assert_eq!(world.call("remote-1").login(&alice).send().await?.status, 200);
    }
    assert_eq!(world.remote.counts().exchanges_presented, 1);
    Ok(())
}
