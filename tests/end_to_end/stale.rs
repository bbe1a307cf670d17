use tokenward_harness::world::{ALICE, LOCAL, Store, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_replaced_by_a_refreshed_one_and_the_caller_notices_nothing() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    for _ in 0..10 {
        let answer = world.call(LOCAL).login(&alice).send().await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(world.home.counts().refreshes_presented, 1);
    assert_eq!(world.server(LOCAL).counts().accepted, 10);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_stale_requests_on_four_workers_are_one_refresh() -> anyhow::Result<()> {
    for store in [Store::Embedded, Store::Valkey] {
        let world = World::builder().workers(4).store(store).start().await?;
        let alice = world.log_in_an_hour_ago(ALICE).await?;
        let answers = world.call(LOCAL).login(&alice).send_many(200).await?;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 200], "{store:?}");
        assert_eq!(world.home.counts().refreshes_presented, 1, "{store:?}");
        assert_eq!(world.server(LOCAL).counts().accepted, 200);
        assert_eq!(world.rejected_expired(), 0);
    }
    Ok(())
}
