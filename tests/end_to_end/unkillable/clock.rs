//! Envoy's clock is set back an hour, and forward, while requests are under way. Control and the servers keep the right time.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_harness::parts::{Envoy, SteppingClock};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, UnderWay, World};

use super::updates::{builder, control_calls, paused};
use super::{is_refused_for_good, warnings_of_ends};

const HOUR_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 86_400;
const LIFE: Duration = Duration::from_secs(7200);
const USERS: [&str; 5] = ["bob", "known", "unknown", "waiting", "recovering"];
const WORKERS: usize = 4;

/// A world whose Envoy lives by a clock of its own; `None`, and a line that says why, where that cannot be had.
async fn world() -> anyhow::Result<Option<(World, SteppingClock)>> {
    let clock = match SteppingClock::build() {
        Ok(clock) => clock,
        Err(why) => {
            tokenward_harness::aloud!("left out, a program's clock cannot be stepped here: {why:#}");
            return Ok(None);
        }
    };
    let builder = USERS[1..]
        .iter()
        .fold(builder(), |world, user| world.user(&email(user)));
    let mut world = builder.tokens_live(LIFE, LIFE).start().await?;
    let mut config = world.envoy.config().clone();
    config.clock = Some(clock.clone());
    world.envoy = Envoy::start(&config).await?;
    // A program that is linked statically takes no preloaded library.
    if let Err(why) = step(&world, &clock, -HOUR_SECONDS).await {
        tokenward_harness::aloud!("left out, the clock of this Envoy cannot be stepped: {why:#}");
        return Ok(None);
    }
    step(&world, &clock, 0).await?;
    Ok(Some((world, clock)))
}

fn email(user: &str) -> String {
    format!("{user}@example.com")
}

/// Sets Envoy's clock, and waits until Envoy shows that time.
async fn step(world: &World, clock: &SteppingClock, offset_seconds: i64) -> anyhow::Result<()> {
    clock.set_offset_seconds(offset_seconds)?;
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_secs())?;
        let off = (envoys_second_of_the_day(world).await? - now - offset_seconds).rem_euclid(DAY_SECONDS);
        if off <= 10 || off >= DAY_SECONDS - 10 {
            return Ok(());
        }
        ensure!(Instant::now() < limit, "its date is {off} s off");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// From the `date` header that Envoy's admin interface writes.
async fn envoys_second_of_the_day(world: &World) -> anyhow::Result<i64> {
    let answer = reqwest::get(format!("{}/ready", world.envoy.admin_url())).await?;
    let date = answer.headers().get("date").context("no date")?.to_str()?;
    let time = date.split_whitespace().nth(4).context("no time in the date")?;
    let mut seconds = 0;
    for part in time.split(':') {
        seconds = seconds * 60 + part.parse::<i64>()?;
    }
    Ok(seconds)
}

/// The user logged in so many minutes ago; the token lived, or lives, two hours.
async fn logged_in(world: &World, user: &str, minutes_ago: u64) -> anyhow::Result<Login> {
    let ago = Duration::from_secs(minutes_ago * 60);
    world.home.clock().rewind(ago);
    let login = world.log_in_unregistered(&email(user)).await;
    world.home.clock().advance(ago);
    let login = login?;
    world.register(&login).await?;
    Ok(login)
}

/// A login that has ended, its gate closed on every worker, and one WARN written.
async fn ended(world: &World) -> anyhow::Result<Login> {
    let login = logged_in(world, ALICE.trim_end_matches("@example.com"), 240).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    is_refused_for_good(world, &login, 16).await?;
    is_refused_for_good(world, &login, 16).await?;
    assert_eq!(warnings_of_ends(world), 1);
    Ok(login)
}

/// A burst for an ended login, and another: how many calls to control the first one made; the second makes none.
async fn calls_of_two_bursts(world: &World, ended: &Login) -> anyhow::Result<usize> {
    let before = control_calls(world).await?;
    is_refused_for_good(world, ended, 16).await?;
    let after = control_calls(world).await?;
    is_refused_for_good(world, ended, 16).await?;
    assert_eq!(
        control_calls(world).await?,
        after,
        "the gate is closed again, for all"
    );
    Ok(usize::try_from(after - before)?)
}

async fn are_served(world: &World, waiting: Vec<UnderWay>) -> anyhow::Result<()> {
    world.home.release(Endpoint::Refresh);
    for request in waiting {
        let answer = request.whole_answer().await?;
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    Ok(())
}

async fn is_served_before_long(world: &World, login: &Login) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(90);
    loop {
        let answer = world.call(LOCAL).login(login).send().await?;
        if answer.status == 200 {
            return Ok(());
        }
        assert_eq!(answer.status, 503, "{}", answer.body);
        ensure!(Instant::now() < limit, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_back_an_hour_holds_no_gate_no_log_and_no_request() -> anyhow::Result<()> {
    let Some((world, clock)) = world().await? else {
        return Ok(());
    };
    let fresh = logged_in(&world, "bob", 0).await?;
    let ended = ended(&world).await?;
    let recovering = logged_in(&world, "recovering", 240).await?;
    world
        .home
        .fail_always(Endpoint::Refresh, Failure::internal_error());
    assert_eq!(world.call(LOCAL).login(&recovering).send().await?.status, 503);
    world.home.heal(Endpoint::Refresh);
    let waiting = paused(&world, &logged_in(&world, "waiting", 150).await?).await?;
    let vms = world.vms().await?;

    step(&world, &clock, -HOUR_SECONDS).await?;
    world.ensure_every_worker_serves(LOCAL, &fresh).await?;
    let calls = calls_of_two_bursts(&world, &ended).await?;
    assert!((1..=WORKERS).contains(&calls), "{calls} calls");
    assert_eq!(
        warnings_of_ends(&world),
        2,
        "said once by the clock before, once by this one"
    );
    are_served(&world, waiting).await?;
    is_served_before_long(&world, &recovering).await?;
    world.tally_when(|tally| tally.recoveries == 1).await?;

    step(&world, &clock, 0).await?;
    world.ensure_every_worker_serves(LOCAL, &fresh).await?;
    assert_eq!((world.vms().await?, world.rejected_expired()), (vms, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_before_the_clock_stepped_back_reaches_a_server_once_per_worker_at_the_most()
-> anyhow::Result<()> {
    let Some((world, clock)) = world().await? else {
        return Ok(());
    };
    // Both expired half an hour ago. An hour earlier, by Envoy's clock, they are fresh.
    let known = logged_in(&world, "known", 150).await?;
    let unknown = logged_in(&world, "unknown", 150).await?;
    let vms = world.vms().await?;
    world.ensure_every_worker_serves(LOCAL, &known).await?;

    step(&world, &clock, -HOUR_SECONDS).await?;
    world.ensure_every_worker_serves(LOCAL, &known).await?;
    assert_eq!(
        world.rejected_expired(),
        0,
        "every worker has seen that it was stale"
    );
    let mut softened = 0;
    for _ in 0..64 {
        let answer = world.call(LOCAL).login(&unknown).send().await?;
        assert!(
            [200, 503].contains(&answer.status),
            "never the server's 401: {}",
            answer.body
        );
        softened += usize::from(answer.status == 503);
    }
    assert!((1..=WORKERS).contains(&softened), "{softened} of 64 were refused");
    assert_eq!(world.rejected_expired(), softened);
    world.ensure_every_worker_serves(LOCAL, &unknown).await?;

    step(&world, &clock, 0).await?;
    for login in [&known, &unknown] {
        world.ensure_every_worker_serves(LOCAL, login).await?;
    }
    assert_eq!((world.vms().await?, world.rejected_expired()), (vms, softened));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_forward_an_hour_and_back_refuses_only_what_it_makes_stale() -> anyhow::Result<()>
{
    let Some((world, clock)) = world().await? else {
        return Ok(());
    };
    let fresh = logged_in(&world, "bob", 0).await?;
    // Half an hour is left of it.
    let soon = logged_in(&world, "known", 90).await?;
    world.ensure_every_worker_serves(LOCAL, &soon).await?;
    let ended = ended(&world).await?;
    let waiting = paused(&world, &logged_in(&world, "waiting", 150).await?).await?;
    let vms = world.vms().await?;

    step(&world, &clock, HOUR_SECONDS).await?;
    world.ensure_every_worker_serves(LOCAL, &fresh).await?;
    assert_eq!(
        calls_of_two_bursts(&world, &ended).await?,
        1,
        "the gate's time is over: one probe"
    );
    assert_eq!(warnings_of_ends(&world), 2);
    are_served(&world, waiting).await?;
    world
        .home
        .fail_always(Endpoint::Refresh, Failure::internal_error());
    let arrived = world.upstream_requests();
    for answer in world.call(LOCAL).login(&soon).send_many_alone(16).await? {
        // To control, whose clock is right, the token is fresh, and it can get no other now.
        assert_eq!(
            (answer.status(), answer.refusal().as_deref()),
            (503, Some("answer_stale"))
        );
    }
    assert_eq!(world.upstream_requests(), arrived);

    step(&world, &clock, 0).await?;
    for login in [&fresh, &soon] {
        world.ensure_every_worker_serves(LOCAL, login).await?;
    }
    let calls = calls_of_two_bursts(&world, &ended).await?;
    assert!((1..=WORKERS).contains(&calls), "{calls} calls");
    assert_eq!(warnings_of_ends(&world), 3);
    assert_eq!((world.vms().await?, world.rejected_expired()), (vms, 0));
    Ok(())
}
