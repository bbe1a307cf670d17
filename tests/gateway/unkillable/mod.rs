use tokenward_tests::world::{ALICE, LOCAL, World};
#[tokio::test(flavor = "multi_thread")]
async fn explore() -> anyhow::Result<()> {
    let world = World::builder().workers(4).listener_from_file().start().await?;
    let alice = world.log_in(ALICE).await?;
    let a = world.call(LOCAL).login(&alice).send_alone().await?.whole_answer().await?;
    println!("{a:?}");
    let stats = world.envoy.stats().await?;
    for s in stats.samples().iter().filter(|s| s.name.contains("wasm") || s.name.contains("worker") || s.name.contains("lds") || s.name.contains("listener_manager") || s.name.starts_with("tokenward")) {
        println!("{s:?}");
    }
    Ok(())
}
