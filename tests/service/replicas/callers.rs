use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::Endpoint;
use tokio::task::JoinSet;

use crate::deployment::{Deployment, Ending, Plan, email, with_users};

const DEADLINE: Duration = Duration::from_secs(60);

/// For a loaded machine: nothing in these tests waits for a deadline, and no process dies, so a lease that runs out
/// only means that its holder got no CPU.
fn patient(issuer_timeout: &str) -> Value {
    json!({"issuer_timeout": issuer_timeout, "caller_deadline": "40s", "lease": "30s"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_of_one_stale_session_on_three_processes_cause_one_refresh() -> anyhow::Result<()>
{
    for reuse_seconds in [0, 60] {
        let reuse_interval = Duration::from_secs(reuse_seconds);
        let mut deployment = Deployment::start_processes(Plan {
            dex: with_users(Plan::default().dex.reuse_interval(reuse_interval), 1),
            store_deadline: Some("20s"),
            settings: patient("30s"),
            ..Plan::of_processes()
        })
        .await?;
        let alice = deployment.log_in_an_hour_ago(&email(0)).await?;
        deployment
            .dex
            .set_latency(Endpoint::Refresh, Duration::from_millis(500));
        let mut callers = JoinSet::new();
        for caller in 0..1_000 {
            let call = deployment.ask_for(&alice).replica(caller % 3);
            callers.spawn(async move { call.send().await });
        }
        let (mut tokens, mut served) = (BTreeSet::new(), 0);
        while let Some(answer) = callers.join_next().await {
            let answer = answer??;
            assert_eq!(answer.status, 200, "{answer:?}");
            tokens.insert(answer.token().to_owned());
            served += 1;
        }
        assert_eq!((served, tokens.len()), (1_000, 1));
        let counts = deployment.dex.counts();
        assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sessions_of_a_hundred_users_that_expire_together_cause_a_hundred_refreshes()
-> anyhow::Result<()> {
    let mut deployment = Deployment::start_processes(Plan {
        dex: with_users(Plan::default().dex, 100),
        store_deadline: Some("20s"),
        settings: patient("30s"),
        ..Plan::of_processes()
    })
    .await?;
    let mut sessions = Vec::new();
    for user in 0..100 {
        let login = deployment.log_in_an_hour_ago(&email(user)).await?;
        for _ in 0..4 {
            sessions.push(deployment.put_again(&login).await?);
        }
        sessions.push(login);
    }
    assert_eq!(sessions.len(), 500);
    let mut callers = JoinSet::new();
    for (caller, session) in sessions.into_iter().enumerate() {
        let call = deployment.ask_for(&session).replica(caller % 3);
        callers.spawn(async move {
            let ending = call.send_until_settled(DEADLINE).await;
            (session.email, ending)
        });
    }
    let mut tokens: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Some(called) = callers.join_next().await {
        let (email, ending) = called?;
        let Ending::Served(token) = ending? else {
            panic!("{email} was sent to log in");
        };
        tokens.entry(email).or_default().insert(token);
    }
    assert_eq!(tokens.len(), 100);
    assert!(
        tokens.values().all(|tokens| tokens.len() == 1),
        "one token for each user"
    );
    for email in tokens.keys() {
        assert_eq!(deployment.dex.counts_of(email).refreshes_presented, 1, "{email}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_on_sigterm_completes_the_refresh_that_is_under_way() -> anyhow::Result<()> {
    let mut deployment = Deployment::start_processes(Plan {
        replicas: 2,
        store_deadline: Some("20s"),
        settings: patient("20s"),
        ..Plan::of_processes()
    })
    .await?;
    let alice = deployment.log_in_an_hour_ago(&email(0)).await?;
    deployment.dex.hold(Endpoint::Refresh);
    let caller = tokio::spawn({
        let call = deployment.ask_for(&alice);
        async move { call.send().await }
    });
    deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
    let (dex, controls) = (&deployment.dex, &mut deployment.replicas.controls);
    let log = controls[0].log();
    let (ended, ()) = tokio::join!(controls[0].terminate(Duration::from_secs(60)), async {
        let stopping = log
            .wait_for_line(|line| line.contains("stopping"), Duration::from_secs(30))
            .await;
        assert!(stopping.is_ok(), "{stopping:?}");
        dex.release(Endpoint::Refresh);
    });
    let (status, log) = ended?;
    assert!(status.success(), "{status}: {}", log.tail(20));
    assert_eq!(caller.await??.status, 200, "the caller is not left alone either");
    let answer = deployment.ask_for(&alice).replica(1).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    Ok(())
}
