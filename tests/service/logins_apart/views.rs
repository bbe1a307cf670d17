//! What operators see: each login with a state of its own.

use serde_json::Value;
use tokenward_harness::parts::Metrics;

use super::stage::{asked, logged_in, presented, start};
use crate::deployment::{ADMIN, AGGREGATOR, Deployment};

async fn explained(deployment: &Deployment, by: (&str, &str)) -> anyhow::Result<Value> {
    let url = format!("{}/v1/explain?server=kubernetes", deployment.urls[0]);
    let request = deployment.http.get(url).bearer_auth(AGGREGATOR);
    let answer = deployment.request(request.header(by.0, by.1)).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.body)
}

#[tokio::test]
async fn explain_states_the_login_of_the_session_and_the_users_newest() -> anyhow::Result<()> {
    let deployment = start().await?;
    let first = deployment.log_in("s-1").await?;
    deployment.dex.revoke(ADMIN, "muster");
    deployment.advance(301);
    let second = deployment.log_in("s-2").await?;
    assert_eq!(
        asked(&deployment, &first, "s-1").await?.refusal(),
        (400, "needs_login")
    );
    asked(&deployment, &second, "s-2").await?;
    let calls = presented(&deployment);
    let subject = deployment.dex.subject(ADMIN);
    for (by, next) in [
        (("x-tokenward-session", "s-1"), "refuse"),
        (("x-tokenward-session", "s-2"), "serve"),
        (("x-tokenward-subject", subject.as_str()), "serve"),
    ] {
        let explanation = explained(&deployment, by).await?;
        assert_eq!(explanation["next"], next, "{by:?}: {explanation}");
    }
    deployment.end("s-2").await?;
    let of_user = explained(&deployment, ("x-tokenward-subject", &subject)).await?;
    assert_eq!(of_user["refusal"], "needs_login", "{of_user}");
    assert_eq!(presented(&deployment), calls);
    Ok(())
}

#[tokio::test]
async fn sessions_and_grants_are_counted_by_login() -> anyhow::Result<()> {
    let deployment = start().await?;
    logged_in(&deployment, "s-1", "sid-1").await?;
    let second = logged_in(&deployment, "s-2", "sid-2").await?;
    logged_in(&deployment, "s-3", "sid-3").await?;
    deployment.put_login("s-2b", &second).await?;
    deployment.end("s-3").await?;
    let count = async || {
        deployment.advance(300);
        assert!(deployment.service(0).service().census().update().await);
        let metrics = Metrics::read(&deployment.service(0).service().metrics().exposition());
        let sessions = |state| metrics.count("tokenward_sessions", &[("state", state)]);
        let grants = |state| metrics.count("tokenward_grants", &[("state", state)]);
        let changed = |change| metrics.count("tokenward_session_changes_total", &[("change", change)]);
        (
            [sessions("usable"), sessions("needs_login")],
            [grants("active"), grants("signed_out")],
            [changed("created"), changed("ended"), changed("signed_out")],
        )
    };
    assert_eq!(count().await, ([3, 0], [2, 1], [4, 1, 0]));
    // The user's own grant counts as signed out beside its three logins.
    deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    assert_eq!(count().await, ([0, 0], [0, 4], [4, 1, 3]));
    Ok(())
}
