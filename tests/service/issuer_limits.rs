//! The limits of calls to an issuer: what callers get beyond them, and what a reload changes.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_control::serve::reload::apply;
use tokenward_harness::issuer::{DexConfig, DexUser, Endpoint, Failure};
use tokenward_protocol::token_endpoint::Reason;

use crate::deployment::{Deployment, Plan};

fn email(number: usize) -> String {
    format!("user-{number}@example.com")
}

/// So many users, logged in, at an issuer with these limits. A call waits for its turn for 900 ms at most.
async fn users(count: usize, limits: Value) -> anyhow::Result<(Deployment, Vec<String>)> {
    let mut dex = DexConfig::default().id_token_lifetime(Duration::from_secs(300));
    for number in 0..count {
        dex = dex.user(DexUser::new(&email(number)));
    }
    let deployment = Deployment::start(Plan {
        dex,
        settings: json!({"issuer_timeout": "20s", "caller_deadline": "1200ms"}),
        issuer: json!({"limits": limits}),
        ..Plan::default()
    })
    .await?;
    deployment.clock().stop();
    let mut tokens = Vec::new();
    for number in 0..count {
        let login = deployment
            .log_in_as(&format!("s-{number}"), &email(number))
            .await?;
        tokens.push(login.id_token);
    }
    Ok((deployment, tokens))
}

#[tokio::test]
async fn beyond_the_limits_callers_get_turns_one_after_the_other_and_each_login_is_refreshed_once()
-> anyhow::Result<()> {
    let limits = json!({"calls_per_second": 1, "burst": 2, "concurrent_calls": 4});
    let (deployment, tokens) = users(6, limits).await?;
    deployment.advance(301);
    let mut turns_seconds = Vec::new();
    for (number, token) in tokens.iter().enumerate() {
        let answer = deployment.ask(token).send().await?;
        if number < 2 {
            assert_eq!(answer.status, 200, "{answer:?}");
            continue;
        }
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
        turns_seconds.extend(answer.retry_after().map(|wait| wait.as_secs()));
    }
    assert_eq!(turns_seconds, [2, 3, 4, 5]);
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);

    for token in &tokens[2..] {
        deployment.advance(2);
        let answer = deployment.ask(token).send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (6, 6));
    Ok(())
}

#[tokio::test]
async fn a_renewal_ahead_of_time_leaves_the_issuer_to_callers_that_wait() -> anyhow::Result<()> {
    let limits = json!({"calls_per_second": 2, "burst": 1});
    let (deployment, tokens) = users(3, limits).await?;
    deployment.advance(235);
    let ahead = |token: &str| deployment.ask(token).reason(Reason::NearExpiry);
    assert_eq!(ahead(&tokens[0]).send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    let kept = ahead(&tokens[1]).send().await?;
    assert_eq!((kept.status, kept.token()), (200, tokens[1].as_str()));
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    let waited = deployment.ask(&tokens[1]).send().await?;
    assert_eq!(waited.status, 200, "{waited:?}");
    assert_ne!(waited.token(), tokens[1]);
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn changed_limits_apply_by_a_reload_and_leave_the_circuit_as_it_is() -> anyhow::Result<()> {
    let (deployment, tokens) = users(8, json!({"calls_per_second": 1, "burst": 6})).await?;
    deployment.advance(301);
    let failure = Failure::answer(502, "<html>");
    deployment.dex.fail_always(Endpoint::Refresh, failure);
    for token in &tokens[..5] {
        assert_eq!(deployment.ask(token).send().await?.status, 503);
    }
    deployment.dex.heal(Endpoint::Refresh);
    let limits = |limits: Value| deployment.changed(|document| document["issuers"][0]["limits"] = limits);
    apply(
        deployment.service(0),
        limits(json!({"calls_per_second": 1, "burst": 2}))?,
    )?;
    let held = deployment.ask(&tokens[5]).send().await?;
    assert_eq!(held.refusal(), (503, "issuer_unavailable"));
    assert_eq!(
        deployment.dex.counts().refreshes_presented,
        5,
        "the circuit is open"
    );

    deployment.advance(60);
    let statuses = async |tokens: &[String]| {
        let mut statuses = Vec::new();
        for token in tokens {
            statuses.push(deployment.ask(token).send().await?.status);
        }
        anyhow::Ok(statuses)
    };
    assert_eq!(statuses(&tokens[5..]).await?, [200, 200, 503], "a burst of 2");
    apply(
        deployment.service(0),
        limits(json!({"calls_per_second": 1, "burst": 6}))?,
    )?;
    assert_eq!(statuses(&tokens[7..]).await?, [200], "of 6");
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 3);
    Ok(())
}
