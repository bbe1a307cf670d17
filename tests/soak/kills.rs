//! Control processes that are killed at random moments while logins are refreshed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokenward_harness::issuer::Endpoint;
use tokenward_tests::deployment::{Deployment, Ending, Plan, Processes, Session, email, with_users};
use tokio::task::JoinSet;

use crate::table::Table;

const KILLS: usize = 200;
/// Each user logs in once; so many are refreshed when a process dies.
const USERS_PER_KILL: usize = 6;
const PROCESSES: usize = 3;
/// For one round: a dead process's lease, and all that its heir does.
const SETTLED_WITHIN: Duration = Duration::from_secs(40);
/// For the whole test.
const DEADLINE: Duration = Duration::from_secs(400);
/// A refresh takes this long at the issuer; kills come within it and a little more.
const LATENCY_MS: u64 = 60;
const LATEST_KILL_MS: u64 = 160;
const PROGRESS_EVERY: usize = 20;

#[derive(Debug, Default)]
struct Counted {
    served: usize,
    lost: usize,
    rotated_for_the_dead: usize,
    most_presented: usize,
}

/// One kill: all callers at once, a process dies, and every caller comes again until it is settled.
async fn round(
    deployment: &mut Deployment<Processes>,
    number: usize,
    counted: &mut Counted,
) -> anyhow::Result<()> {
    let mut sessions = Vec::new();
    for user in number * USERS_PER_KILL..(number + 1) * USERS_PER_KILL {
        sessions.push(deployment.log_in_an_hour_ago(&email(user)).await?);
    }
    let victim = number % PROCESSES;
    let mut callers = JoinSet::new();
    for session in sessions.clone() {
        // Two callers at the victim, one at another process that finds the lease taken.
        for process in [victim, victim, (victim + 1) % PROCESSES] {
            let call = deployment.ask_for(&session).replica(process);
            callers.spawn(async move { call.send().await.map(|answer| answer.status) });
        }
    }
    let chance = u64::from(getrandom::u32()?);
    tokio::time::sleep(Duration::from_millis(chance % LATEST_KILL_MS)).await;
    deployment.replicas.controls[victim].kill()?;
    // Any answer to these, or none, is no promise yet.
    callers.join_all().await;
    deployment.replicas.controls[victim].restart().await?;
    let mut heirs = JoinSet::new();
    for (at, session) in sessions.into_iter().enumerate() {
        let call = deployment.ask_for(&session).replica(at % PROCESSES);
        heirs.spawn(async move {
            let ending = call.send_until_settled(SETTLED_WITHIN).await;
            (session, ending)
        });
    }
    while let Some(heir) = heirs.join_next().await {
        let (session, ending) = heir?;
        judge(deployment, &session, &ending?, counted).await?;
    }
    Ok(())
}

/// Exactly the logins that the issuer refused after it had rotated the token are lost, with the reason, once.
async fn judge(
    deployment: &Deployment<Processes>,
    session: &Session,
    ending: &Ending,
    counted: &mut Counted,
) -> anyhow::Result<()> {
    let counts = deployment.dex.counts_of(&session.email);
    let (presented, rotated) = (counts.refreshes_presented, counts.refreshes_succeeded);
    counted.most_presented = counted.most_presented.max(presented);
    match ending {
        Ending::Served(_) => {
            ensure!(
                presented == rotated,
                "{}: served, and refused: {counts:?}",
                session.email
            );
            counted.served += 1;
            counted.rotated_for_the_dead += usize::from(rotated > 1);
        }
        Ending::NeedsLogin(why) => {
            ensure!(
                why.contains("answer to a refresh was lost"),
                "{}: {why}",
                session.email
            );
            ensure!(rotated == 1 && presented > 1, "{}: {counts:?}", session.email);
            let again = deployment.ask_for(session).send().await?;
            ensure!(again.refusal() == (400, "needs_login"), "{again:?}");
            let after = deployment.dex.counts_of(&session.email).refreshes_presented;
            ensure!(after == presented, "{}: asked again", session.email);
            counted.lost += 1;
        }
    }
    Ok(())
}

async fn soak(reuse_seconds: u64) -> anyhow::Result<Counted> {
    let dex = Plan::default()
        .dex
        .reuse_interval(Duration::from_secs(reuse_seconds));
    let mut deployment = Deployment::start_processes(Plan {
        replicas: PROCESSES,
        dex: with_users(dex, KILLS * USERS_PER_KILL),
        ..Plan::of_processes()
    })
    .await?;
    deployment
        .dex
        .set_latency(Endpoint::Refresh, Duration::from_millis(LATENCY_MS));
    let (begun, mut counted) = (Instant::now(), Counted::default());
    let mut killed: BTreeMap<usize, usize> = BTreeMap::new();
    for number in 0..KILLS {
        round(&mut deployment, number, &mut counted).await?;
        *killed.entry(number % PROCESSES).or_default() += 1;
        if (number + 1) % PROGRESS_EVERY == 0 {
            println!(
                "{:>4} s: {} kills, {counted:?}",
                begun.elapsed().as_secs(),
                number + 1
            );
        }
    }
    let mut table = Table::new("kill -9 at random moments of a refresh");
    table.row("reuseInterval, seconds", reuse_seconds, "");
    table.row("seconds", begun.elapsed().as_secs(), "");
    table.row("kills of each process", format!("{:?}", killed.values()), "");
    table.row("logins", KILLS * USERS_PER_KILL, "");
    table.row("served in the end", counted.served, "");
    table.row(
        "of these after a second rotation",
        counted.rotated_for_the_dead,
        "",
    );
    table.row("sent to log in", counted.lost, "0 with a reuse interval");
    table.row(
        "most presentations of one login",
        counted.most_presented,
        "at most 3",
    );
    table.print();
    assert_eq!(counted.served + counted.lost, KILLS * USERS_PER_KILL);
    assert!(counted.most_presented <= 3, "{counted:?}");
    Ok(counted)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask soak"]
async fn two_hundred_kills_with_a_reuse_interval_of_a_minute_lose_nobody() -> anyhow::Result<()> {
    let counted = tokio::time::timeout(DEADLINE, soak(60)).await??;
    assert_eq!(counted.lost, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask soak"]
async fn two_hundred_kills_without_reuse_lose_exactly_whose_answer_was_in_flight() -> anyhow::Result<()> {
    let counted = tokio::time::timeout(DEADLINE, soak(0)).await??;
    assert!(
        counted.lost > 0 && counted.served > 0,
        "the kills hit nothing: {counted:?}"
    );
    Ok(())
}
