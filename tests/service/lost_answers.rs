//! A strict issuer's refresh that may or may not have been carried out: control queries the issuer (RFC 7662)
//! before a login ends, nothing is presented twice that may have arrived, and no login ends for a request that never did.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, Disguise, Endpoint, Failure};

use crate::deployment::{Deployment, Plan};

/// `issuer_timeout` and two deadlines of the store: how long a presentation is waited for.
const WAIT_SECONDS: u64 = 39;

/// An issuer that gives no token again: whatever is presented twice is refused.
fn strict() -> Plan {
    Plan {
        policy: "strict",
        dex: DexConfig::default().id_token_lifetime(Duration::from_secs(300)),
        ..Plan::default()
    }
}

#[tokio::test]
async fn a_request_that_the_issuer_never_saw_is_made_again_once_its_time_is_over() -> anyhow::Result<()> {
    for failure in [
        Failure::CloseBeforeAnswer,
        Failure::answer(502, "<html>"),
        Failure::answer(200, "<html>"),
        Failure::answer(500, "<html>"),
    ] {
        let deployment = Deployment::start(strict()).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        let ask = deployment.ask(&tokens.id_token).session("s-1");
        // By introspection the token is unused, but the request may still be under way.
        assert_eq!(
            ask.send().await?.refusal(),
            (503, "issuer_unavailable"),
            "{failure:?}"
        );
        assert_eq!(deployment.dex.counts().introspections, 1);
        deployment.advance(2);
        assert_eq!(
            ask.send().await?.refusal(),
            (503, "issuer_unavailable"),
            "{failure:?}"
        );
        deployment.advance(WAIT_SECONDS - 1);
        assert_eq!(
            ask.send().await?.refusal(),
            (503, "issuer_unavailable"),
            "{failure:?}"
        );
        assert_eq!(deployment.dex.counts().refreshes_presented, 1, "{failure:?}");
        deployment.advance(1);
        assert_eq!(ask.send().await?.status, 200, "{failure:?}");
        let counts = deployment.dex.counts();
        let numbers = (
            counts.introspections,
            counts.refreshes_presented,
            counts.refreshes_succeeded,
        );
        assert_eq!(numbers, (2, 2, 1), "{failure:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_was_truly_lost_ends_the_login_at_once_without_another_call() -> anyhow::Result<()> {
    for failure in [Failure::CloseAfterCommit, Failure::Garbage] {
        let deployment = Deployment::start(strict()).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        let ask = deployment.ask(&tokens.id_token).session("s-1");
        for _ in 0..3 {
            assert_eq!(ask.send().await?.refusal(), (400, "needs_login"), "{failure:?}");
            deployment.advance(61);
        }
        let counts = deployment.dex.counts();
        assert_eq!(
            (counts.refreshes_presented, counts.introspections),
            (1, 1),
            "{failure:?}"
        );
        let reason = deployment.status("s-1").await?;
        assert!(reason.text("reason").contains("answer"), "{reason:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_issuer_without_introspection_is_presented_nothing_twice() -> anyhow::Result<()> {
    let plan = strict();
    let deployment = Deployment::start(Plan {
        dex: plan.dex.clone().discovery("introspection_endpoint", json!(null)),
        ..plan
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::CloseBeforeAnswer);
    let ask = deployment.ask(&tokens.id_token);
    assert_eq!(ask.send().await?.refusal(), (400, "needs_login"));
    deployment.advance(61);
    assert_eq!(ask.send().await?.refusal(), (400, "needs_login"));
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn an_introspection_that_fails_ends_nothing_and_is_repeated() -> anyhow::Result<()> {
    let deployment = Deployment::start(strict()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::CloseBeforeAnswer);
    deployment
        .dex
        .fail_always(Endpoint::Introspect, Failure::answer(403, "<html>"));
    let ask = deployment.ask(&tokens.id_token);
    for _ in 0..4 {
        assert_eq!(ask.send().await?.refusal(), (503, "issuer_unavailable"));
        deployment.advance(45);
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    deployment.dex.heal(Endpoint::Introspect);
    deployment.advance(61);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn an_introspection_endpoint_that_is_closed_for_good_prevents_no_new_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(strict()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::CloseBeforeAnswer);
    deployment
        .dex
        .fail_always(Endpoint::Introspect, Failure::answer(404, "404 page not found"));
    let ask = deployment.ask(&tokens.id_token);
    let mut answers = Vec::new();
    for _ in 0..9 {
        answers.push(ask.send().await?.status);
        deployment.advance(90);
    }
    assert_eq!(answers.first(), Some(&503));
    assert_eq!(answers.last(), Some(&400), "{answers:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn what_must_not_come_twice_goes_over_a_connection_of_its_own() -> anyhow::Result<()> {
    // The pool takes a connection back a moment after the response, so that a call can miss it: fewer than one for each.
    for (policy, expected) in [("strict", 3..4), ("tolerant", 0..3)] {
        let deployment = Deployment::start(Plan { policy, ..strict() }).await?;
        let mut presented = deployment.log_in("s-1").await?.id_token;
        // The pool is filled, and the keys are known.
        deployment.advance(301);
        presented = deployment.ask(&presented).send().await?.token().to_owned();
        let before = deployment.dex.connections();
        for _ in 0..3 {
            deployment.advance(301);
            let answer = deployment.ask(&presented).send().await?;
            assert_eq!(answer.status, 200, "{policy}");
            presented = answer.token().to_owned();
        }
        let connections = deployment.dex.connections() - before;
        assert!(expected.contains(&connections), "{policy}: {connections}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_the_refresh_token_costs_a_strict_login_nothing() -> anyhow::Result<()>
{
    let deployment = Deployment::start(strict()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let broken = Failure::Disguised(Disguise::BrokenOff);
    deployment.dex.fail_next(Endpoint::Refresh, 1, &broken);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.introspections), (1, 0));
    Ok(())
}
