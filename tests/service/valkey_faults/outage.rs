//! A Valkey that stops, hangs, or restarts empty.

use std::time::Duration;

use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::Valkey;
use tokio::time::{Instant, sleep};

use super::{assert_retry_later, on, on_store, recovered, save};
use crate::deployment::{Answer, Deployment, STORE_DEADLINE, valkey_config};

/// Real time: Valkey's, not the deployment's.
const OUTAGE: Duration = Duration::from_secs(20);
/// The interval between two requests of a caller that ignores `Retry-After`.
const REQUEST_INTERVAL: Duration = Duration::from_millis(250);

/// A deployment with the store's default deadline and a strict issuer.
async fn with_default_deadline(valkey: &Valkey) -> anyhow::Result<Deployment> {
    on_store(valkey_config(valkey.url()), "strict", Duration::ZERO).await
}

/// One caller for the duration of the outage: each request gets 503, and at least half of them within twice the deadline
/// of one operation, which leaves room for a busy machine.
async fn request_during_outage(deployment: &Deployment, token: &str) -> anyhow::Result<usize> {
    let (until, mut waits) = (Instant::now() + OUTAGE, Vec::new());
    while Instant::now() < until {
        let begun = Instant::now();
        let answer = deployment.ask(token).session("s-1").send().await?;
        assert_retry_later(&answer, "during the outage");
        waits.push(begun.elapsed());
        sleep(REQUEST_INTERVAL).await;
    }
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < STORE_DEADLINE * 2, "{waits:?}");
    Ok(waits.len())
}

/// The session recovered without intervention: it exists, and one refresh replaces the stale token.
async fn assert_recovered(deployment: &Deployment, token: &str, presented: usize) -> anyhow::Result<Answer> {
    assert_eq!(deployment.status("s-1").await?.text("state"), "active");
    let answer = deployment.ask(token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, presented);
    Ok(answer)
}

#[tokio::test]
async fn a_valkey_that_restarts_with_its_data_loses_no_login() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = with_default_deadline(&valkey).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    save(&valkey).await?;
    valkey.kill()?;
    let asked = request_during_outage(&deployment, &tokens.id_token).await?;
    assert!(asked > 5, "{asked} requests");
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    valkey.restart().await?;
    recovered(&deployment).await?;
    // It may have lost the last writes: nothing is presented until Dex has reported that the stored token is unused.
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{answer:?}");
    deployment.advance(61);
    assert_recovered(&deployment, &tokens.id_token, 1).await?;
    assert_eq!(deployment.dex.counts().introspections, 1);
    Ok(())
}

#[tokio::test]
async fn a_valkey_that_hangs_and_resumes_loses_no_login() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = with_default_deadline(&valkey).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    valkey.pause()?;
    let asked = request_during_outage(&deployment, &tokens.id_token).await?;
    assert!(asked > 3, "{asked} requests");
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    valkey.resume()?;
    recovered(&deployment).await?;
    assert_recovered(&deployment, &tokens.id_token, 1).await?;
    Ok(())
}

/// A hanging Valkey executes its pending commands when it resumes, long after their callers have left.
#[tokio::test]
async fn a_rotated_token_is_stored_once_whatever_a_hanging_valkey_does_with_the_attempts()
-> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = with_default_deadline(&valkey).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    let (answer, paused) = tokio::join!(ask.send(), async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        let paused = valkey.pause();
        deployment.dex.release(Endpoint::Refresh);
        paused
    });
    paused?;
    assert_eq!(answer?.status, 503);
    valkey.resume()?;
    assert!(deployment.service(0).drain(super::PATIENCE).await);
    let first = assert_recovered(&deployment, &tokens.id_token, 1).await?;
    deployment.advance(301);
    let second = assert_recovered(&deployment, &tokens.id_token, 2).await?;
    assert_ne!(first.token(), second.token());
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn an_empty_valkey_requires_a_login_and_the_aggregator_can_register_an_existing_one_again()
-> anyhow::Result<()> {
    for refreshed_before in [false, true] {
        let mut valkey = Valkey::start().await?;
        let deployment = on(&valkey, "strict", Duration::ZERO).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        if refreshed_before {
            assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
        }
        let before = deployment.dex.counts().refreshes_presented;
        valkey.kill()?;
        valkey.restart().await?;
        recovered(&deployment).await?;
        for ask in [
            deployment.ask(&tokens.id_token),
            deployment.ask(&tokens.id_token).session("s-1"),
        ] {
            let answer = ask.send().await?;
            assert_eq!(answer.refusal(), (400, "token_expired"));
            assert_eq!(answer.text("error"), "invalid_grant");
            assert_eq!(answer.header("retry-after"), None);
        }
        // No login by a person: the aggregator registers the tokens of the earlier login.
        let put = deployment.put_login("s-1", &tokens).await?;
        assert_eq!((put.status, put.text("state")), (201, "active"));
        let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
        assert_eq!(
            answer.status, 200,
            "refreshed before: {refreshed_before}: {answer:?}"
        );
        // Its refresh token was presented once, before or now.
        assert_eq!(before, usize::from(refreshed_before));
        assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    }
    Ok(())
}
