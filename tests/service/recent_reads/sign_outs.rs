//! A sign-out that one replica has acknowledged is in force at every other, however busy it is with the session's tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::deployment::{Deployment, Plan, Processes, email, with_users};

/// Sessions that end, each in turn.
const SESSIONS: usize = 12;
/// Callers of the other replica.
const CALLERS: usize = 4;

/// Two processes on one Valkey.
async fn two() -> anyhow::Result<Deployment<Processes>> {
    Deployment::start_processes(Plan {
        replicas: 2,
        dex: with_users(Plan::default().dex, SESSIONS),
        store_deadline: Some("20s"),
        ..Plan::of_processes()
    })
    .await
}

/// Logs a user in, has the other replica hand out the token without pause, and `end`s the session. Returns how many tokens were
/// handed out before, and asserts that no request gets one that began after the end was acknowledged.
async fn ended_while_busy<E: Future<Output = anyhow::Result<()>>>(
    deployment: &Deployment<Processes>,
    (session, user): (&str, &str),
    end: impl FnOnce() -> E,
) -> anyhow::Result<usize> {
    let tokens = deployment.log_in_as(session, user).await?;
    let (is_ended, handed_out) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let call = deployment.ask(&tokens.id_token).session(session).replica(1);
        let (is_ended, handed_out) = (Arc::clone(&is_ended), Arc::clone(&handed_out));
        callers.spawn(async move {
            loop {
                let is_after = is_ended.load(Ordering::SeqCst);
                let answer = call.send().await?;
                match (is_after, answer.status) {
                    (false, 200) => {
                        handed_out.fetch_add(1, Ordering::SeqCst);
                    }
                    (true, 200) => anyhow::bail!("a token after the end"),
                    (true, _) => {
                        assert_eq!(answer.refusal(), (400, "unknown_session"));
                        return Ok(());
                    }
                    // It ended under way.
                    (false, _) => {}
                }
            }
        });
    }
    while handed_out.load(Ordering::SeqCst) < CALLERS * 10 {
        sleep(Duration::from_millis(1)).await;
        if let Some(failed) = callers.try_join_next() {
            failed??;
            anyhow::bail!("no caller stops before the end");
        }
    }
    end().await?;
    is_ended.store(true, Ordering::SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(handed_out.load(Ordering::SeqCst))
}

/// Records that the replica used as it had read them before.
async fn recent_reads(deployment: &Deployment<Processes>) -> anyhow::Result<u64> {
    let metrics = deployment.replicas.controls[1].metrics().await?;
    Ok(metrics.count("tokenward_store_recent_reads_total", &[]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replica_hands_out_a_token_of_a_session_that_another_has_ended() -> anyhow::Result<()> {
    let deployment = two().await?;
    for number in 0..SESSIONS {
        let session = format!("s-{number}");
        let end = || async {
            assert_eq!(deployment.end(&session).await?.status, 204);
            Ok(())
        };
        ended_while_busy(&deployment, (&session, &email(number)), end).await?;
    }
    assert!(recent_reads(&deployment).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replica_hands_out_a_token_of_a_user_whom_another_has_signed_out() -> anyhow::Result<()> {
    let deployment = two().await?;
    for number in 0..SESSIONS {
        let (session, user) = (format!("s-{number}"), email(number));
        let subject = deployment.dex.subject(&user);
        let end = || async {
            assert_eq!(deployment.sign_out(&subject).await?.status, 200);
            Ok(())
        };
        ended_while_busy(&deployment, (&session, &user), end).await?;
    }
    assert!(recent_reads(&deployment).await? > 0);
    Ok(())
}
