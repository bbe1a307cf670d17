//! The filter in step with control on a real Envoy with four workers: servers, sign-outs, outages.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenward_harness::issuer::http_client;
use tokenward_harness::parts::Envoy;
use tokenward_harness::world::{ALICE, LOCAL, Login, World, WorldBuilder};

const REMOTE: &str = "remote-1";
const BOB: &str = "bob@example.com";
/// How late a sign-out, or a new server, may be in force.
const PROMISED: Duration = Duration::from_secs(10);
/// Requests on connections of their own: so many that every worker gets some.
const MANY: usize = 64;

/// Servers only from control, found by the annotations of their routes.
fn builder() -> WorldBuilder {
    World::builder()
        .workers(4)
        .annotated()
        .user(BOB)
        .filter_setting("servers", Value::Null)
        .filter_setting("state", json!({}))
}

/// How `MANY` requests are answered: status and refusal, each kind once.
async fn answers(world: &World, server: &str, login: &Login) -> anyhow::Result<Vec<(u16, Option<String>)>> {
    let many = world.call(server).login(login).send_many_alone(MANY).await?;
    let mut kinds: Vec<_> = many
        .iter()
        .map(|answer| (answer.status(), answer.refusal()))
        .collect();
    kinds.sort();
    kinds.dedup();
    Ok(kinds)
}

/// Waits until all of `MANY` requests are answered so. Returns how long that took.
async fn until(
    world: &World,
    server: &str,
    login: &Login,
    status: u16,
    refusal: Option<&str>,
) -> anyhow::Result<Duration> {
    let (begun, wanted) = (Instant::now(), vec![(status, refusal.map(str::to_owned))]);
    loop {
        let kinds = answers(world, server, login).await?;
        if kinds == wanted {
            return Ok(begun.elapsed());
        }
        anyhow::ensure!(begun.elapsed() < 3 * PROMISED, "{kinds:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_is_in_force_in_every_worker_within_ten_seconds_and_one_worker_polls() -> anyhow::Result<()>
{
    let world = builder().start().await?;
    let (alice, bob) = (world.log_in(ALICE).await?, world.log_in(BOB).await?);
    until(&world, LOCAL, &alice, 200, None).await?;
    world.sign_out(&alice).await?;
    let took = until(&world, LOCAL, &alice, 401, Some("signed_out")).await?;
    println!("a sign-out was in force in all workers after {took:?}");
    assert!(took < PROMISED, "{took:?}");
    let before = world.server(LOCAL).counts().requests;
    for _ in 0..4 {
        assert_eq!(
            answers(&world, LOCAL, &alice).await?,
            [(401, Some("signed_out".to_owned()))]
        );
    }
    assert_eq!(world.server(LOCAL).counts().requests, before);
    assert_eq!(answers(&world, LOCAL, &bob).await?, [(200, None)]);
    // A new login of the same user is in force at once.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let again = world.log_in(ALICE).await?;
    assert_eq!(answers(&world, LOCAL, &again).await?, [(200, None)]);
    let polls = |stats: &tokenward_harness::parts::Metrics| stats.count("tokenward_state_polls_total", &[]);
    let (begun, first) = (Instant::now(), polls(&world.envoy.stats().await?));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let made = polls(&world.envoy.stats().await?) - first;
    // Every two seconds, of all workers together.
    let most = begun.elapsed().as_secs() / 2 + 2;
    assert!((2..=most).contains(&made), "{made} polls");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_control_gains_is_protected_within_ten_seconds_without_a_change_at_envoy()
-> anyhow::Result<()> {
    let mut world = builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    let whole = world.control.config().clone();
    let mut less = whole.clone();
    less.servers.retain(|server| server.name != REMOTE);
    world.control.restart_with(less).await?;
    until(&world, LOCAL, &alice, 200, None).await?;
    until(&world, REMOTE, &alice, 503, Some("unknown_server")).await?;
    assert_eq!(world.server(REMOTE).counts().requests, 0);
    world.control.rewrite(whole)?;
    world.control.hang_up()?;
    let took = until(&world, REMOTE, &alice, 200, None).await?;
    println!("a new server was protected by all workers after {took:?}");
    assert!(took < PROMISED, "{took:?}");
    let answer = world.call(REMOTE).send().await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (401, Some("missing_bearer"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_state_holds_while_control_is_away_and_an_envoy_without_any_refuses() -> anyhow::Result<()> {
    let mut world = builder()
        .filter_setting("unmatched", "refuse")
        .filter_setting("unprotected", json!([{"path_prefix": "/open"}]))
        .start()
        .await?;
    let (alice, bob) = (world.log_in(ALICE).await?, world.log_in(BOB).await?);
    until(&world, LOCAL, &alice, 200, None).await?;
    world.sign_out(&bob).await?;
    until(&world, LOCAL, &bob, 401, Some("signed_out")).await?;
    world.control.kill()?;
    for _ in 0..3 {
        assert_eq!(answers(&world, LOCAL, &alice).await?, [(200, None)]);
        assert_eq!(
            answers(&world, LOCAL, &bob).await?,
            [(401, Some("signed_out".to_owned()))]
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let config = world.envoy.config().clone();
    world.envoy = Envoy::start(&config).await?;
    let before = world.upstream_requests();
    for login in [&alice, &bob] {
        assert_eq!(
            answers(&world, LOCAL, login).await?,
            [(503, Some("state_missing".to_owned()))]
        );
    }
    let answer = world.call(LOCAL).send().await?;
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.upstream_requests(), before);
    // It passes the filter: no route leads on from there.
    let open = http_client()
        .get(format!("{}/open", world.envoy.url()))
        .send()
        .await?;
    assert_eq!((open.status().as_u16(), open.text().await?.as_str()), (404, ""));
    world.control.restart().await?;
    let took = until(&world, LOCAL, &alice, 200, None).await?;
    assert!(took < PROMISED, "{took:?}");
    assert_eq!(
        answers(&world, LOCAL, &bob).await?,
        [(401, Some("signed_out".to_owned()))]
    );
    Ok(())
}
