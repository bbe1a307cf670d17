//! A Valkey that stops, hangs, or comes back with nothing.

use std::time::Duration;

use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::Valkey;
use tokio::time::{Instant, sleep};

use super::{assert_come_back, on, on_store, recovered, save};
use crate::deployment::{Answer, Deployment, STORE_DEADLINE, valkey_config};

/// Real time: Valkey's, not the deployment's.
const OUTAGE: Duration = Duration::from_secs(20);
/// Between two questions of a caller that follows `Retry-After` badly.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// A deployment with the store's usual deadline, at a strict issuer.
async fn in_time(valkey: &Valkey) -> anyhow::Result<Deployment> {
    on_store(valkey_config(valkey.url()), "strict", Duration::ZERO).await
}

/// One caller for as long as the outage lasts: each question is answered 503, and at least half of them within the
/// deadline of one operation with as much again as room for a busy machine.
async fn endure(deployment: &Deployment, token: &str) -> anyhow::Result<usize> {
    let (until, mut waits) = (Instant::now() + OUTAGE, Vec::new());
    while Instant::now() < until {
        let begun = Instant::now();
        let answer = deployment.ask(token).session("s-1").send().await?;
        assert_come_back(&answer, "during the outage");
        waits.push(begun.elapsed());
        sleep(ASK_EVERY).await;
    }
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < STORE_DEADLINE * 2, "{waits:?}");
    Ok(waits.len())
}

/// No user or operator had to act: the session is there, and a stale token becomes a fresh one with one refresh.
async fn assert_as_before(deployment: &Deployment, token: &str, presented: usize) -> anyhow::Result<Answer> {
    assert_eq!(deployment.status("s-1").await?.text("state"), "active");
    let answer = deployment.ask(token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, presented);
    Ok(answer)
}

#[tokio::test]
async fn a_valkey_that_was_stopped_and_comes_back_with_its_data_costs_no_login() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = in_time(&valkey).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    save(&valkey).await?;
    valkey.kill()?;
    let asked = endure(&deployment, &tokens.id_token).await?;
    assert!(asked > 5, "{asked} questions");
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    valkey.restart().await?;
    recovered(&deployment).await?;
    // It may have lost the end: nothing is presented until Dex has reported the stored token as unused.
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{answer:?}");
    deployment.advance(61);
    assert_as_before(&deployment, &tokens.id_token, 1).await?;
    assert_eq!(deployment.dex.counts().introspections, 1);
    Ok(())
}

#[tokio::test]
async fn a_valkey_that_hangs_and_goes_on_costs_no_login() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = in_time(&valkey).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    valkey.pause()?;
    let asked = endure(&deployment, &tokens.id_token).await?;
    assert!(asked > 3, "{asked} questions");
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    valkey.resume()?;
    recovered(&deployment).await?;
    assert_as_before(&deployment, &tokens.id_token, 1).await?;
    Ok(())
}

/// What was sent to a hanging Valkey is carried out when it goes on, long after the last waiting caller has left.
#[tokio::test]
async fn a_rotated_token_is_stored_once_whatever_a_hanging_valkey_does_with_the_attempts()
-> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = in_time(&valkey).await?;
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
    let first = assert_as_before(&deployment, &tokens.id_token, 1).await?;
    deployment.advance(301);
    let second = assert_as_before(&deployment, &tokens.id_token, 2).await?;
    assert_ne!(first.token(), second.token());
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn an_empty_valkey_means_a_clear_login_and_what_the_aggregator_still_has_is_taken_again()
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
        // No login of a person: the aggregator puts what the login once gave it.
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
