use std::time::Duration;

use tokenward_harness::issuer::fingerprint;
use tokenward_harness::world::{ALICE, LOCAL, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_near_its_expiry_is_forwarded_and_the_next_one_fetched_once() -> anyhow::Result<()> {
    let world = World::builder()
        .tokens_live(Duration::from_secs(115), Duration::from_secs(1800))
        .start()
        .await?;
    let alice = world.log_in(ALICE).await?;
    world.home.set_id_token_lifetime(Duration::from_secs(1800));
    for _ in 0..20 {
        assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    }
    world
        .home
        .wait_for_counts(|counts| counts.refreshes_succeeded == 1, Duration::from_secs(40))
        .await?;
    for _ in 0..20 {
        assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    }
    assert_eq!(
        world.home.counts().refreshes_presented,
        1,
        "two workers, forty requests"
    );
    let presented = fingerprint(&alice.tokens.id_token);
    assert!(
        world
            .server(LOCAL)
            .seen()
            .iter()
            .all(|token| token.fingerprint == presented),
        "still good, so untouched"
    );
    assert_eq!(
        world
            .envoy
            .wasm_lines()
            .iter()
            .filter(|line| line.level == "warning")
            .count(),
        0
    );
    Ok(())
}
