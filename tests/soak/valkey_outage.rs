use std::time::{Duration, Instant};

use anyhow::ensure;
use tokenward_harness::world::{ALICE, LOCAL, Login, Store, World};

/// How long Valkey is away.
const OUTAGE: Duration = Duration::from_secs(120);
/// For each test.
const DEADLINE: Duration = Duration::from_secs(240);
const BOB: &str = "bob@example.com";
const ASK_EVERY: Duration = Duration::from_millis(500);
/// `caller_deadline` of control, `deadline` of the filter, and room for a busy machine.
const LATEST_ANSWER: Duration = Duration::from_secs(10);
/// The longest that a gate stays closed after a transient refusal, and room.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

async fn ask(world: &World, login: &Login) -> anyhow::Result<u16> {
    let begun = Instant::now();
    let answer = world.call(LOCAL).login(login).send().await?;
    ensure!(
        begun.elapsed() < LATEST_ANSWER,
        "answered after {:?}",
        begun.elapsed()
    );
    let says_when = answer.header("retry-after").is_some();
    ensure!(
        answer.status != 503 || says_when,
        "503 without Retry-After: {answer:?}"
    );
    Ok(answer.status)
}

/// Alice's fresh token is known to the filter, Bob's is not: she is served all along, he gets 503 with `Retry-After`,
/// and neither has to act when Valkey is back.
async fn endure(
    away: impl AsyncFnOnce(&mut World) -> anyhow::Result<()>,
    back: impl AsyncFnOnce(&mut World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut world = World::builder()
        .workers(1)
        .store(Store::Valkey)
        .usual_deadlines()
        .start()
        .await?;
    let (alice, bob) = (
        world.log_in_an_hour_ago(ALICE).await?,
        world.log_in_an_hour_ago(BOB).await?,
    );
    assert_eq!(ask(&world, &alice).await?, 200);
    away(&mut world).await?;
    let (begun, mut asked) = (Instant::now(), 0);
    while begun.elapsed() < OUTAGE {
        assert_eq!(ask(&world, &alice).await?, 200);
        assert_eq!(ask(&world, &bob).await?, 503);
        asked += 1;
        tokio::time::sleep(ASK_EVERY).await;
    }
    println!("{asked} times each during {OUTAGE:?}");
    assert!(asked > 20);
    assert_eq!(world.home.counts().refreshes_presented, 1);
    back(&mut world).await?;
    let begun = Instant::now();
    while ask(&world, &bob).await? != 200 {
        ensure!(begun.elapsed() < NOTICED_WITHIN, "Bob is not served again");
        tokio::time::sleep(ASK_EVERY).await;
    }
    println!("served again after {:?}", begun.elapsed());
    for login in [&alice, &bob] {
        assert_eq!(world.session(login).await?["state"], "active");
        assert_eq!(world.home.counts_of(&login.email).refreshes_presented, 1);
    }
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "two minutes: cargo xtask soak"]
async fn two_minutes_without_valkey_cost_nobody_a_login() -> anyhow::Result<()> {
    let story = endure(
        async |world| {
            let valkey = world.valkey.as_mut().expect("a world on Valkey");
            ensure!(valkey.command(&["SAVE"]).await? == "+OK\r\n", "SAVE");
            valkey.kill()
        },
        async |world| world.valkey.as_mut().expect("a world on Valkey").restart().await,
    );
    tokio::time::timeout(DEADLINE, story).await?
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "two minutes: cargo xtask soak"]
async fn two_minutes_of_a_hanging_valkey_cost_nobody_a_login() -> anyhow::Result<()> {
    let story = endure(
        async |world| world.valkey.as_mut().expect("a world on Valkey").pause(),
        async |world| world.valkey.as_mut().expect("a world on Valkey").resume(),
    );
    tokio::time::timeout(DEADLINE, story).await?
}
